"""A result becomes stale if, and only if, code that it depends on has changed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from reports_store import cell_of

from benchmarks.quality import estimates
from benchmarks.quality.measure import quality_of
from benchmarks.results import fingerprint as fingerprint_module
from benchmarks.results import source_code
from benchmarks.results.cell import TimingCell
from benchmarks.results.fingerprint import COMPUTED, closure, fingerprint
from benchmarks.results.source_code import Unit

ROOT = Path(__file__).parents[2]
SOURCES = {"subsetgrad": ROOT / "estimators", "benchmarks": ROOT}


def timing_cell(estimator, backend):
    sizes = {"n": 4, "k": 2, "seed": 0, "samples": 1, "batch": 1, "threads": 1}
    texts = {"logits": "normal", "device": "cpu", "dtype": "float32", "mode": "eager", "environment": "e"}
    return TimingCell(estimator=estimator, params=(), backend=backend, **sizes, **texts)


CELLS = {
    "simple": cell_of("simple"),
    "simple on jax": cell_of("simple", backend="jax"),
    "imle_sog": cell_of("imle_sog"),
    "rebar_pl on smooth": cell_of("rebar_pl", objective="smooth"),
    "cost of ste": timing_cell("ste", "torch"),
    "cost of softsub on jax": timing_cell("softsub", "jax"),
}
QUALITY = {name for name in CELLS if not name.startswith("cost")}


def clear_caches():
    for cached in (fingerprint_module._hash, fingerprint_module._closure, source_code._parsed, source_code._bindings):
        cached.cache_clear()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Yields a copy of the sources, from which fingerprints are computed. Imports of `reports` are followed, too."""
    folders = {**SOURCES, "reports": ROOT}
    for top, folder in folders.items():
        shutil.copytree(folder / top, tmp_path / top, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    monkeypatch.setattr(fingerprint_module, "_FOLDERS", dict.fromkeys(folders, tmp_path))
    yield tmp_path
    clear_caches()


def fingerprints():
    clear_caches()
    return {name: fingerprint(cell) for name, cell in CELLS.items()}


def stale_after(change):
    """Returns the names of the cells whose fingerprint a change has changed."""
    before = fingerprints()
    change()
    after = fingerprints()
    return {name for name in CELLS if before[name] != after[name]}


def replace(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


class TestNothingIsStale:
    def test_after_an_estimator_in_a_new_file(self, tree):
        def add():
            package = tree / "subsetgrad"
            (package / "families" / "new.py").write_text("from .simple import SIMPLE as NEW\n")
            replace(
                package / "__init__.py", "from .families.simple", "from .families.new import NEW\nfrom .families.simple"
            )
            replace(package / "__init__.py", "    EXACT_ENUM,\n", "    EXACT_ENUM,\n    NEW,\n")

        assert stale_after(add) == set()

    def test_after_an_objective_in_a_new_file(self, tree):
        def add():
            package = tree / "benchmarks" / "objectives"
            (package / "new.py").write_text("from .distance import DISTANCE as NEW\n")
            replace(package / "__init__.py", "from .coverage", "from .new import NEW\nfrom .coverage")
            replace(package / "__init__.py", "    DISTANCE,\n", "    DISTANCE,\n    NEW,\n")

        assert stale_after(add) == set()

    def test_after_a_comment_a_docstring_or_a_blank_line(self, tree):
        def edit():
            for file in tree.rglob("*.py"):
                text = file.read_text()
                file.write_text(text.replace('    """Returns', '    """Here: returns') + "\n\n# a comment\n")

        assert stale_after(edit) == set()

    @pytest.mark.parametrize("file", ["commands/run.py", "experiments/figure1.py", "results/store.py", "__main__.py"])
    def test_after_a_change_of_commands_experiments_or_the_store(self, tree, file):
        path = tree / "benchmarks" / file
        assert stale_after(lambda: path.write_text(path.read_text() + "\nCHANGED = 1\n")) == set()

    def test_after_a_change_of_every_report_file(self, tree):
        def edit():
            for file in (tree / "reports").rglob("*.py"):
                file.write_text(file.read_text() + "\nCHANGED = 1\n")

        assert stale_after(edit) == set()

    def test_but_not_if_a_measurement_imports_a_report(self, tree):
        # The twin of the test above: the copies of the reports can be followed.
        metrics, report = tree / "benchmarks" / "quality" / "metrics.py", tree / "reports" / "data.py"
        metrics.write_text(metrics.read_text() + "\nfrom reports import data\n")
        assert stale_after(lambda: report.write_text(report.read_text() + "\nCHANGED = 1\n")) == QUALITY


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("subsetgrad/families/imle.py", {"imle_sog"}),
        ("subsetgrad/families/straight_through.py", {"cost of ste"}),
        ("subsetgrad/ops/jax.py", {"simple on jax", "cost of softsub on jax"}),
        ("subsetgrad/subsets/sampling.py", set(CELLS)),
        ("subsetgrad/_layer.py", {"cost of ste", "cost of softsub on jax"}),
        ("benchmarks/objectives/distance.py", {"simple", "simple on jax", "imle_sog"}),
        ("benchmarks/objectives/nonlinear.py", {"rebar_pl on smooth"}),
        ("benchmarks/quality/metrics.py", QUALITY),
        ("benchmarks/cost/clock.py", set(CELLS) - QUALITY),
    ],
)
def test_a_change_makes_stale_exactly_the_cells_that_use_the_file(tree, file, stale):
    path = tree / file
    assert stale_after(lambda: path.write_text(path.read_text() + "\nCHANGED = 1\n")) == stale


def test_each_function_of_a_packages_init_counts_separately(tree):
    init = tree / "subsetgrad" / "ops" / "__init__.py"
    assert stale_after(lambda: init.write_text(init.read_text() + "\n\ndef unused():\n    return 1\n")) == set()
    assert stale_after(lambda: replace(init, "    if dtype not in DTYPES:", "    if dtype  in DTYPES:")) == set(CELLS)


class TestClosure:
    def test_a_moved_file_stays_in_it(self, tree):
        def move():
            folder = tree / "benchmarks" / "quality"
            (folder / "estimates.py").rename(folder / "many_estimates.py")
            for file in (tree / "benchmarks").rglob("*.py"):
                file.write_text(file.read_text().replace("estimates import", "many_estimates import"))

        move()
        clear_caches()
        assert Unit("benchmarks.quality.many_estimates") in closure(CELLS["simple"])
        moved = tree / "benchmarks" / "quality" / "many_estimates.py"
        assert stale_after(lambda: moved.write_text(moved.read_text() + "\nCHANGED = 1\n")) == QUALITY

    def test_a_missing_module_is_an_error_and_not_ignored(self, tree):
        (tree / "benchmarks" / "quality" / "estimates.py").unlink()
        clear_caches()
        with pytest.raises(LookupError, match=r"no module benchmarks\.quality\.estimates"):
            closure(CELLS["simple"])

    @pytest.mark.parametrize("name", ["simple", "simple on jax", "imle_sog", "rebar_pl on smooth"])
    def test_it_contains_every_function_that_a_measurement_runs(self, name):
        cell = CELLS[name]
        called = set()

        def note(frame, event, _):
            if event == "call":
                called.add((frame.f_code.co_filename, frame.f_code.co_qualname.split(".")[0]))

        # A function that an earlier test compiled would not run its Python code again.
        jax.clear_caches()
        estimates.compiled.cache_clear()
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            quality_of(type(cell)(**{**vars(cell), "n": 5, "k": 2, "replicates": 200, "extension": ""}))
        finally:
            sys.setprofile(before)
        units = {str(unit) for unit in closure(cell)}
        ran = {_unit_of(top, file, function) for file, function in called for top in SOURCES} - {None}
        assert len(ran) > 10
        assert ran <= units

    def test_a_global_name_of_an_init_has_one_statement(self):
        """Otherwise the names of an `__init__` could not be read one by one."""
        for top, folder in SOURCES.items():
            for file in (folder / top).rglob("__init__.py"):
                statements = ast.parse(file.read_text()).body[1:]
                texts = {ast.unparse(each) for each in statements if not isinstance(each, _DEFINITIONS)}
                assert texts <= {"for _record in ESTIMATORS:\n    pickle_by_name(_record, get, _record.name)"}, file
                binding = [
                    each for each in statements if not isinstance(each, ast.Import)
                ]  # `import a, a.b` binds a twice
                names = [name for each in binding for name in source_code._bindings_of(each)]
                assert len(names) == len(set(names)), file

    def test_modules_imported_by_a_computed_name_are_listed(self):
        computed = set()
        for top, folder in SOURCES.items():
            for file in (folder / top).rglob("*.py"):
                for node in ast.walk(ast.parse(file.read_text())):
                    text = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                    if text.endswith(("import_module", "__import__", "run_path", "run_module", "exec")):
                        computed.add((file.relative_to(folder).as_posix(), ast.unparse(node.args[0])))
        assert computed == {
            ("subsetgrad/__init__.py", "module_name"),  # a plug-in: its module is a root
            ("subsetgrad/ops/__init__.py", "f'subsetgrad.ops.{framework}'"),  # `COMPUTED`
            ("benchmarks/results/fingerprint.py", "package"),  # of the closure itself
            ("benchmarks/tracked/asv_common.py", "name"),  # a framework
        }
        assert set(COMPUTED.values()) == {"subsetgrad.ops.torch", "subsetgrad.ops.jax"}


_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)


def _unit_of(top, file, function):
    """Returns the name of the unit of a function's code; None if it is not in the package `top`."""
    folder = SOURCES[top] / top
    if not Path(file).is_relative_to(folder) or function.startswith("<"):
        return None
    module = ".".join([top, *Path(file).relative_to(folder).with_suffix("").parts])
    if not module.endswith(".__init__"):
        return module
    return f"{module.removesuffix('.__init__')}:{function}"


PLUG_IN = """
from subsetgrad import SUBSET, Estimator, score_function
from {helper} import FACTOR

MINE = Estimator(
    name="mine",
    law="conditional_poisson",
    target="conditional_poisson",
    estimate=score_function(lambda ops, theta, z, v, *, k: FACTOR * z[0] * v[0][:, None]),
    draws={{"z": SUBSET}},
    needs=frozenset({{"values"}}),
    unbiased_for="nothing",
    source="a test",
)
"""


class TestPlugIns:
    @pytest.mark.parametrize(
        ("plug_in", "helper", "imported"),
        [("mine.py", "helper.py", "helper"), ("mypackage/mine.py", "mypackage/parts/helper.py", ".parts.helper")],
    )
    def test_a_changed_helper_is_noticed(self, tmp_path, monkeypatch, plug_in, helper, imported):
        for name, text in ((plug_in, PLUG_IN.format(helper=imported)), (helper, "FACTOR = 1.0\n"), ("other.py", "")):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        cell = cell_of(plug_in.removesuffix(".py").replace("/", ".") + ":MINE")

        def fingerprint_now():
            clear_caches()
            return fingerprint(cell)

        first = fingerprint_now()
        (tmp_path / "other.py").write_text("CHANGED = 1\n")
        assert fingerprint_now() == first
        (tmp_path / helper).write_text("FACTOR = -1.0\n")
        assert fingerprint_now() != first

    def test_two_helpers_that_swap_their_code_are_noticed(self, tmp_path, monkeypatch):
        texts = {"mine.py": "import one, two", "one.py": "FACTOR = 1.0", "two.py": "FACTOR = -1.0"}
        monkeypatch.syspath_prepend(tmp_path)
        fingerprints_of_both = set()
        for one, two in (("one.py", "two.py"), ("two.py", "one.py")):
            for name, text in zip(("mine.py", one, two), texts.values(), strict=True):
                (tmp_path / name).write_text(text)
            clear_caches()
            fingerprints_of_both.add(fingerprint(cell_of("mine:MINE")))
        assert len(fingerprints_of_both) == 2

    @pytest.mark.parametrize(
        ("text", "depends"),
        [
            ("import subsetgrad\nMINE = subsetgrad.get('imle_sog')", True),
            ("from subsetgrad import ESTIMATORS\nMINE = ESTIMATORS[3]", True),
            ("from subsetgrad import SUBSET", False),
        ],
    )
    def test_a_plug_in_that_looks_an_estimator_up_depends_on_all(self, tmp_path, monkeypatch, text, depends):
        (tmp_path / "mine.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        clear_caches()
        assert (Unit("subsetgrad.families.imle") in closure(cell_of("mine:MINE"))) == depends

    @pytest.mark.parametrize(("folder", "followed"), [("site-packages", False), ("checkout", True)])
    def test_other_modules_of_the_folder_count_unless_it_is_installed(self, tmp_path, monkeypatch, folder, followed):
        root = tmp_path / folder
        root.mkdir()
        (root / "mine.py").write_text("import library")
        (root / "library.py").write_text("")
        monkeypatch.syspath_prepend(root)
        clear_caches()
        assert (Unit("library") in closure(cell_of("mine:MINE"))) == followed

    def test_a_run_recomputes_after_its_helper_changed(self, tmp_path):
        (tmp_path / "mine.py").write_text(PLUG_IN.format(helper="helper"))
        store = tmp_path / "results.sqlite"
        command = [sys.executable, "-m", "benchmarks", "run", "sweep", "-e", "mine:MINE", "-n", "4", "-k", "2"]
        command += ["--seeds", "0", "--backend", "torch", "--store", str(store)]
        computed = []
        for factor in ("1.0", "1.0", "-1.0"):
            (tmp_path / "helper.py").write_text(f"FACTOR = {factor}\n")
            environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'estimators'}"}
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
            computed.append("1 to compute" in " ".join(done.stderr.split()))
        assert computed == [True, False, True]
