"""Imports run one way: subsetgrad ← benchmarks → rows on disk → reports; and no framework before it is asked for."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest
from interpreter import python

import subsetgrad
from subsetgrad.base import Estimator

ROOT = Path(__file__).parent.parent
FRAMEWORKS = {"torch", "jax", "jaxlib", "array_api_compat"}
# What the estimators stand on; every other file of the package holds estimators or meets a user.
FOUNDATION = {"base", "draws", "noise", "ops", "parameters", "plackett_luce", "soft_top_k", "subsets"}
SURFACE = {"__init__", "torch", "jax", "_layer", "families"}
# Estimators that are not among `ESTIMATORS`, run by their full name.
PLUGINS = {"simple_as_printed"}
# The only modules of `benchmarks` that `reports` may import.
SHARED_WITH_REPORTS = ("benchmarks.results.names", "benchmarks.results.agreement")
# asv takes every public name that begins so for a benchmark, in any module below its folder.
TAKEN_BY_ASV = ("time_", "track_", "mem_", "peakmem_", "timeraw_", "Time", "Track", "Mem", "PeakMem", "Timeraw")


PACKAGE = ROOT / "estimators" / "subsetgrad"


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Returns the full names of what a file imports, anywhere in it; `from a import b` gives a and a.b."""
    base = PACKAGE.parent if PACKAGE in file.parents else ROOT
    package = list(file.relative_to(base).with_suffix("").parts)[:-1]
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def roots(file: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(file)}


def families() -> list[Path]:
    """Returns the files that hold estimators."""
    return [file for file in (PACKAGE / "families").glob("*.py") if file.stem != "__init__"]


def test_relative_and_absolute_imports_are_seen(tmp_path):
    file = PACKAGE / "subsets" / "moments.py"
    assert "subsetgrad.ops" in imported(file)
    assert {"benchmarks.results.store", "benchmarks.results.cell"} <= imported(
        ROOT / "benchmarks" / "results" / "resume.py"
    )


@pytest.mark.parametrize("file", modules("estimators"), ids=lambda file: str(file.relative_to(ROOT)))
def test_the_package_knows_nothing_of_what_stands_on_it(file):
    assert not roots(file) & {"benchmarks", "reports", "tests"}


@pytest.mark.parametrize("file", modules("reports"), ids=lambda file: str(file.relative_to(ROOT)))
def test_reports_read_rows_alone(file):
    assert not roots(file) & (FRAMEWORKS | {"subsetgrad"})
    of_benchmarks = {name for name in imported(file) if name.startswith("benchmarks.")}
    assert all(name == "benchmarks.results" or name.startswith(SHARED_WITH_REPORTS) for name in of_benchmarks)


@pytest.mark.parametrize("name", SHARED_WITH_REPORTS)
def test_reports_share_modules_of_the_standard_library_alone(name):
    assert roots(ROOT / f"{name.replace('.', '/')}.py") <= set(sys.stdlib_module_names)


def test_benchmarks_do_not_read_reports():
    assert not [file for file in modules("benchmarks") if "reports" in roots(file)]


def test_every_estimator_stands_in_a_family_file():
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
    own = {name.split(".")[1] for name in imported(file) if name.startswith("subsetgrad.")}
    assert own <= FOUNDATION
    assert not roots(file) & FRAMEWORKS


@pytest.mark.parametrize("stem", sorted(FOUNDATION - {"subsets", "ops"}))
def test_the_foundation_stands_on_no_estimator_file_and_no_framework(stem):
    file = PACKAGE / f"{stem}.py"
    own = {name.split(".")[1] for name in imported(file) if name.startswith("subsetgrad.")}
    assert not own & SURFACE
    assert not roots(file) & FRAMEWORKS


def test_only_the_backends_and_what_meets_a_user_import_a_framework_at_the_top():
    allowed = {f"estimators/subsetgrad/{name}.py" for name in ("ops/torch", "ops/jax", "torch", "jax")}
    found = set()
    for file in modules("estimators") + modules("benchmarks"):
        top = ast.Module(
            [n for n in ast.parse(file.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)], []
        )
        names = {alias.name for n in top.body if isinstance(n, ast.Import) for alias in n.names}
        names |= {n.module or "" for n in top.body if isinstance(n, ast.ImportFrom) and not n.level}
        if {name.split(".")[0] for name in names} & FRAMEWORKS:
            found.add(str(file.relative_to(ROOT)))
    assert found <= allowed


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
    found = names_seen_by_asv(importlib.import_module(name))
    assert not [name for name in found if name.startswith(TAKEN_BY_ASV)]


def test_the_command_line_is_guarded():
    # asv imports every module below its folder, `__main__` too.
    last = ast.parse((ROOT / "benchmarks" / "__main__.py").read_text()).body[-1]
    assert isinstance(last, ast.If) and "__name__" in ast.unparse(last.test)


@pytest.mark.parametrize(
    "file", [f for d in ("estimators", "benchmarks", "reports", "tests") for f in modules(d)], ids=str
)
def test_the_package_is_imported_by_its_name_alone(file):
    # From the checkout `import estimators.subsetgrad` works, and loads a second copy of every class.
    assert "estimators" not in roots(file)


def test_nothing_else_lies_beside_the_package():
    # An editable install puts the whole folder on the import path.
    assert [path.name for path in PACKAGE.parent.iterdir() if path.name != "__pycache__"] == ["subsetgrad"]
