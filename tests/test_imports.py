"""Imports run one way, subsetgrad ← benchmarks → rows on disk → reports, without a cycle; frameworks load on demand."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest
from imports import FOLDERS, PACKAGE, ROOT, cycle_in, import_graph, imported
from interpreter import python

import subsetgrad
from subsetgrad.base import Estimator

FRAMEWORKS = {"torch", "jax", "jaxlib", "array_api_compat"}
# The modules that estimators may import. Every other file of the package holds estimators or is imported by users.
FOUNDATION = {"base", "builders", "draws", "noise", "ops", "parameters", "plackett_luce", "soft_top_k", "subsets"}
SURFACE = {"__init__", "torch", "jax", "_layer", "families"}
# Family files whose estimators are not among `ESTIMATORS`; they are run by their full name.
PLUGINS = {"simple_as_printed"}
# The only modules of `benchmarks` that `reports` may import.
SHARED_WITH_REPORTS = ("benchmarks.results.names", "benchmarks.results.agreement")
# asv takes every public name with one of these prefixes for a benchmark, in any module below its folder.
TAKEN_BY_ASV = ("time_", "track_", "mem_", "peakmem_", "timeraw_", "Time", "Track", "Mem", "PeakMem", "Timeraw")
# The rooms of `benchmarks`. A room imports rooms of earlier layers only, so rooms of one layer are independent.
LAYERS = (
    ("backends", "machine"),
    ("objectives", "results"),
    ("quality", "cost"),
    ("experiments", "conformance"),
    ("commands", "tracked"),
    ("__main__", "bench_estimators", "bench_quality", "bench_subsets"),
)


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def roots(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(file)}


def families() -> list[Path]:
    """Returns the files that hold estimators."""
    return [file for file in (PACKAGE / "families").glob("*.py") if file.stem != "__init__"]


def test_relative_and_absolute_imports_are_seen():
    file = PACKAGE / "subsets" / "moments.py"
    assert "subsetgrad.ops" in imported(file)
    assert {"benchmarks.results.store", "benchmarks.results.cell"} <= imported(
        ROOT / "benchmarks" / "results" / "resume.py"
    )


@pytest.mark.parametrize(
    ("one", "cycle"),
    [
        ("from .two import second", "lib.one → lib.two → lib.one"),
        ("def f():\n    from . import two", "lib.one → lib.two → lib.one"),
        ("from . import first", "lib → lib.one → lib"),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import two", ""),
        ("from . import three", ""),
    ],
)
def test_a_cycle_is_found_and_named(tmp_path, one, cycle):
    files = {"__init__": "from .one import first", "one": one, "two": "import lib.one", "three": ""}
    (tmp_path / "lib").mkdir()
    for name, text in files.items():
        (tmp_path / "lib" / f"{name}.py").write_text(text)
    assert set(cycle_in(import_graph({"lib": tmp_path})).split(" → ")) == set(cycle.split(" → "))


def test_modules_import_each_other_without_a_cycle():
    graph = import_graph(FOLDERS)
    assert {"subsetgrad.base", "subsetgrad.ops", "benchmarks.__main__", "reports"} <= graph.keys()
    assert not cycle_in(graph)


def test_rooms_of_benchmarks_import_earlier_layers_only():
    layer = {room: index for index, rooms in enumerate(LAYERS) for room in rooms}
    pairs = [(module, target) for module, targets in import_graph({"benchmarks": ROOT}).items() for target in targets]
    against = []
    for module, target in pairs:
        room, imported_room = module.split(".")[1], target.split(".")[1]
        if imported_room != room and layer[imported_room] >= layer[room]:
            against.append(f"{module} imports {target}")
    assert {module.split(".")[1] for module, _ in pairs} >= {"quality", "cost", "experiments", "commands", "results"}
    assert not against


@pytest.mark.parametrize("file", modules("estimators"), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_package_imports_nothing_that_builds_on_it(file):
    assert not roots(file) & {"benchmarks", "reports", "tests"}


@pytest.mark.parametrize("file", modules("reports"), ids=lambda file: str(file.relative_to(ROOT)))
def test_reports_import_neither_estimators_nor_frameworks(file):
    assert not roots(file) & (FRAMEWORKS | {"subsetgrad"})


def test_reports_share_two_modules_with_benchmarks():
    graph = import_graph(FOLDERS)
    targets = {target for module in graph if module.split(".")[0] == "reports" for target in graph[module]}
    assert {target for target in targets if target.split(".")[0] == "benchmarks"} == set(SHARED_WITH_REPORTS)


@pytest.mark.parametrize("name", SHARED_WITH_REPORTS)
def test_the_shared_modules_import_the_standard_library_only(name):
    assert roots(ROOT / f"{name.replace('.', '/')}.py") <= set(sys.stdlib_module_names)


def test_benchmarks_do_not_read_reports():
    assert not [file for file in modules("benchmarks") if "reports" in roots(file)]


def test_every_estimator_is_defined_in_a_family_file():
    defined = {
        name
        for file in families()
        if file.stem not in PLUGINS
        for name, value in vars(sys.modules[f"subsetgrad.families.{file.stem}"]).items()
        if isinstance(value, Estimator)
    }
    assert len(families()) >= 7
    assert {id(e) for e in subsetgrad.ESTIMATORS} == {id(getattr(subsetgrad, name)) for name in defined}


@pytest.mark.parametrize("file", families(), ids=lambda file: file.stem)
def test_an_estimator_uses_the_foundation_and_no_other_estimator(file):
    used = {name.split(".")[1] for name in imported(file) if name.startswith("subsetgrad.")}
    assert used <= FOUNDATION
    assert not roots(file) & FRAMEWORKS


@pytest.mark.parametrize("stem", sorted(FOUNDATION - {"subsets", "ops"}))
def test_the_foundation_imports_no_estimator_file_and_no_framework(stem):
    file = PACKAGE / f"{stem}.py"
    used = {name.split(".")[1] for name in imported(file) if name.startswith("subsetgrad.")}
    assert not used & SURFACE
    assert not roots(file) & FRAMEWORKS


def test_only_the_backends_and_the_layers_for_users_import_a_framework_at_the_top():
    allowed = {f"estimators/subsetgrad/{name}.py" for name in ("ops/torch", "ops/jax", "torch", "jax")}
    importing = set()
    for file in modules("estimators") + modules("benchmarks"):
        top = ast.Module(
            [n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)], []
        )
        names = {alias.name for n in top.body if isinstance(n, ast.Import) for alias in n.names}
        names |= {n.module or "" for n in top.body if isinstance(n, ast.ImportFrom) and not n.level}
        if {name.split(".")[0] for name in names} & FRAMEWORKS:
            importing.add(str(file.relative_to(ROOT)))
    assert importing <= allowed


LOADED = """
import sys
import {module}
print(sorted({{"torch", "jax", "jaxlib", "array_api_compat"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "module", ["benchmarks, benchmarks.__main__, benchmarks.experiments.base, benchmarks.commands.run", "reports"]
)
def test_importing_imports_no_framework(module):
    assert python(LOADED.format(module=module)) == "[]\n"


@pytest.mark.parametrize("module", ["data", "quality.leaderboard", "cost.tables", "cost.timings"])
def test_printing_a_table_loads_no_drawing_library(module):
    code = f"import sys\nimport reports.{module}\nprint(sorted({{'matplotlib', 'seaborn'}} & set(sys.modules)))"
    assert python(code) == "[]\n"


def names_seen_by_asv(module: object) -> set[str]:
    """Returns the public names of a module, imported ones too, and of the functions in its classes."""
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    methods = [inspect.getmembers(value, inspect.isfunction) for value in public.values() if inspect.isclass(value)]
    return set(public) | {name for members in methods for name, _ in members}


@pytest.mark.parametrize(
    "file",
    [file for file in modules("benchmarks") if not file.name.startswith("bench_")],
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_asv_finds_no_benchmark_outside_bench_files(file):
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    names = names_seen_by_asv(importlib.import_module(name))
    assert not [name for name in names if name.startswith(TAKEN_BY_ASV)]


def test_the_command_line_is_guarded():
    # asv imports every module below its folder, including `__main__`.
    last = ast.parse((ROOT / "benchmarks" / "__main__.py").read_text()).body[-1]
    assert isinstance(last, ast.If) and "__name__" in ast.unparse(last.test)


@pytest.mark.parametrize(
    "file", [f for d in ("estimators", "benchmarks", "reports", "tests") for f in modules(d)], ids=str
)
def test_the_package_is_imported_as_subsetgrad_only(file):
    # In the checkout `import estimators.subsetgrad` works, but it loads a second copy of every class.
    assert "estimators" not in roots(file)


def test_the_folder_of_the_package_holds_nothing_else():
    # An editable install puts this folder on the import path, with everything in it.
    assert [path.name for path in PACKAGE.parent.iterdir() if path.name != "__pycache__"] == ["subsetgrad"]
