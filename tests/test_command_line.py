"""`python -m benchmarks`: what it computes and stores, and how it ends where a user went wrong."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import estimators
from benchmarks import exporting, runner
from benchmarks.__main__ import main
from benchmarks.harness import engine, objectives
from benchmarks.harness.store import COLUMNS, Measurement, Store

ROOT = Path(__file__).parent.parent
FEW = ("--backend", "torch:cpu", "--seeds", "1234,1067", "--replicates", "200")


def call(*arguments):
    """Returns the result of the command line, which must not end in a traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result


def words(result):
    """Returns the output with every stretch of white space as one blank: the console wraps lines."""
    return " ".join(result.output.split())


def rows_of(path):
    with Store(path) as store:
        return store.rows()


@pytest.fixture
def store(tmp_path):
    return tmp_path / "results.sqlite"


@pytest.fixture
def computed(monkeypatch):
    """Returns the list of the cells that are computed, for which 0.25 is measured instead."""
    cells = []

    def pretend(cell):
        cells.append(cell)
        return [Measurement("conditional_poisson", "bias", 0.25, 0.0, True)]

    monkeypatch.setattr(engine, "quality_of", pretend)
    return cells


class TestLooking:
    def test_help_and_lists_import_no_framework(self):
        code = """
import sys
from benchmarks.__main__ import main
for arguments in (["--help"], ["run", "--help"], ["list"], *(["list", what] for what in sys.argv[1:])):
    main(arguments, standalone_mode=False)
print(sorted({"torch", "jax", "array_api_compat"} & set(sys.modules)))
"""
        kinds = ("estimators", "objectives", "experiments", "backends")
        done = subprocess.run(  # noqa: S603  # our own code
            [sys.executable, "-c", code, *kinds], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("[]\n")
        assert "--dry-run" in done.stdout

    @pytest.mark.parametrize(
        ("what", "names"),
        [
            ("estimators", [record.name for record in estimators.ESTIMATORS]),
            ("objectives", [objective.name for objective in objectives.OBJECTIVES]),
            ("experiments", ["figure1", "figure3", "sweep"]),
            ("backends", ["torch:cpu", "jax:cpu", "torch:cuda", "jax:cuda"]),
        ],
    )
    def test_each_list_names_all_there_is(self, what, names):
        result = call("list", what)
        assert result.exit_code == 0
        first = [line.split()[0] for line in result.output.splitlines()[1:] if line.strip() and line[0] != " "]
        assert set(names) <= set(first)

    def test_it_runs_as_a_module(self, store):
        arguments = ["run", "figure1", "-e", "simple", *FEW, "--store", str(store), "--dry-run"]
        done = subprocess.run(  # noqa: S603  # our own code
            [sys.executable, "-m", "benchmarks", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"COLUMNS": "200"},
        )
        assert "2 cells, 0 stored in" in done.stderr
        assert done.stdout.count("simple[] distance/square n=10 k=5") == 2


class TestRun:
    def test_it_writes_rows_and_a_second_run_computes_nothing(self, store):
        arguments = ("run", "figure1", "-e", "simple,sfe", "-e", "imle_gumbel", *FEW, "--store", store)
        first = call(*arguments)
        assert first.exit_code == 0
        assert "6 cells, 0 stored in" in words(first) and "6 cells computed in" in words(first)
        rows = rows_of(store)
        assert {row["experiment"] for row in rows} == {"figure1"} and {row["status"] for row in rows} == {"ok"}
        assert {(row["estimator"], bool(row["exact"])) for row in rows} == {
            ("simple", True),
            ("sfe", True),
            ("imle_gumbel", False),
        }
        assert {row["seed"] for row in rows} == {1234, 1067} and {row["backend"] for row in rows} == {"torch"}
        # The notebook's step size, not the estimator's default.
        steps = {json.loads(row["params"]).get("step_size") for row in rows if row["estimator"] == "imle_gumbel"}
        assert steps == {2.5}
        bias = [
            row["value"] for row in rows if (row["estimator"], row["seed"], row["metric"]) == ("simple", 1234, "bias")
        ]
        assert bias == [pytest.approx(0.0380, abs=6e-5)]

        second = call(*arguments)
        assert second.exit_code == 0
        assert "6 cells, 6 stored in" in words(second) and "0 to compute" in words(second)
        assert "computed in" not in words(second)
        assert rows_of(store) == rows

    def test_a_run_is_recorded_with_its_command_code_and_machine(self, store):
        call("run", "figure1", "-e", "simple", *FEW, "--store", store)
        with Store(store) as opened:
            ((run, provenance),) = opened._connection.execute("SELECT run, provenance FROM run").fetchall()
        document = json.loads(provenance)
        assert {row["run"] for row in rows_of(store)} == {run}
        assert {"command", "started", "finished", "seconds", "versions", "machine", "threads"} <= document.keys()
        assert document["threads"]["torch"] >= 1 and "torch" in document["versions"]

    def test_without_a_name_both_figures_run_on_every_backend(self, store, computed):
        result = call("run", "-e", "simple", "--seeds", "1234", "--store", store)
        assert result.exit_code == 0
        assert {(cell.k, cell.backend) for cell in computed} == {(5, "torch"), (5, "jax"), (1, "torch"), (1, "jax")}
        assert {row["experiment"] for row in rows_of(store)} == {"figure1", "figure3"}

    def test_a_dry_run_computes_and_stores_nothing(self, store, computed):
        arguments = ("run", "figure1", "-e", "simple", *FEW, "--store", store)
        result = call(*arguments, "--dry-run")
        assert result.exit_code == 0
        assert "2 to compute" in words(result) and words(result).count("simple[] distance/square n=10 k=5") == 2
        assert computed == [] and not store.exists()
        call(*arguments)
        before = rows_of(store)
        more = call("run", "sweep", "-e", "simple", *FEW, "--store", store, "--dry-run")
        assert more.exit_code == 0 and rows_of(store) == before
        assert store.stat().st_size and {row["experiment"] for row in before} == {"figure1"}

    def test_force_computes_what_is_stored(self, store, computed):
        arguments = ("run", "figure1", "-e", "simple", *FEW, "--store", store)
        call(*arguments)
        call(*arguments, "--force")
        assert len(computed) == 4

    def test_a_cell_of_two_experiments_is_computed_once(self, store, computed):
        sweep = ("run", "sweep", "-e", "simple", "-n", "10", "-k", "5", *FEW, "--store", store)
        call("run", "figure1", "-e", "simple", *FEW, "--store", store)
        result = call(*sweep)
        assert "2 cells, 2 stored" in words(result) and len(computed) == 2
        assert {row["experiment"] for row in rows_of(store)} == {"figure1", "sweep"}

    def test_what_does_not_apply_is_left_out_with_its_reason(self, store, computed):
        result = call("run", "sweep", "-e", "simple,stgs", "-n", "4", "-k", "2,5", *FEW, "--store", store)
        assert result.exit_code == 0
        assert "left out simple: k=5 is outside [0, 4]" in words(result)
        assert "left out stgs: k=2: stgs is defined for k=1 only" in words(result)
        assert {(cell.estimator, cell.k) for cell in computed} == {("simple", 2)}

    def test_a_failing_plug_in_leaves_the_others(self, store, monkeypatch):
        monkeypatch.syspath_prepend(ROOT / "tests")
        names = "broken:RAISES,simple,broken:WRONG_SIGN"
        result = call("run", "sweep", "-e", names, "-n", "6", "-k", "3", *FEW, "--store", store)
        assert result.exit_code == 1
        assert "RuntimeError: this estimator cannot draw" in words(result)
        assert "4 cells computed in" in words(result) and "2 failed" in words(result)
        rows = rows_of(store)
        failed = [row for row in rows if row["status"] == "failed"]
        assert {(row["estimator"], row["reason"]) for row in failed} == {
            ("broken:RAISES", "RuntimeError: this estimator cannot draw")
        }
        assert len(failed) == 2
        bias = {row["estimator"]: row["value"] for row in rows if (row["metric"], row["seed"]) == ("bias", 1234)}
        assert bias["broken:WRONG_SIGN"] == pytest.approx(2 - bias["simple"])

    def test_an_interrupt_ends_with_130_and_keeps_what_was_done(self, store, monkeypatch):
        done = []

        def interrupted(cell):
            if done:
                raise KeyboardInterrupt
            done.append(cell)
            return [Measurement("conditional_poisson", "bias", 0.25, 0.0, True)]

        monkeypatch.setattr(engine, "quality_of", interrupted)
        result = call("run", "figure1", "-e", "simple,sfe", *FEW, "--store", store)
        assert result.exit_code == 130
        assert "Interrupted. What was computed is stored; the same command goes on from there." in words(result)
        assert [row["cell"] for row in rows_of(store)] == [done[0].key]


def planned(*selectors, experiment="figure1"):
    """Returns the estimators and parameters of the cells of one seed on torch."""
    choices = {"estimators": selectors, "seeds": (1234,), "backend_names": "torch:cpu"}
    (plan,) = runner.plans((experiment,), choices)
    return [(cell.estimator, dict(cell.params)) for cell in plan.cells]


class TestSelectors:
    def test_commas_outside_brackets_separate(self):
        found = planned("sfe,softsub[temperature=1,epsilon=1e-3],rloo", "ste", experiment="sweep")
        assert [name for name, _ in found[:4]] == ["sfe", "softsub", "rloo", "ste"]
        assert found[1][1] == {"temperature": 1.0, "epsilon": 1e-3, "logits": "theta"}

    def test_blanks_separate_too(self):
        assert [name for name, _ in planned("sfe simple", " ste ")] == ["sfe", "simple", "ste"]

    def test_a_bare_name_means_the_experiments_own_settings(self):
        assert [params["logits"] for _, params in planned("softsub")] == ["logsigmoid", "theta"]
        assert {params["temperature"] for _, params in planned("softsub")} == {2.0}

    def test_brackets_start_from_the_defaults(self):
        assert planned("imle_sog[step_size=3]") == [
            ("imle_sog", {"step_size": 3.0, "kappa": 0.0, "tau": 1.0, "terms": 10})
        ]

    def test_one_cell_is_named_once(self):
        assert len(planned("simple", "simple")) == 1

    @pytest.mark.parametrize(("text", "value"), [("true", True), ("False", False)])
    def test_flags_are_flags(self, text, value):
        assert planned(f"aimle[central={text}]")[0][1]["central"] is value


MISTAKES = [  # arguments, what the one line says
    (("-e", "simpel"), "unknown estimator 'simpel'; known: exact_enum, simple,"),
    (("-e", "simple[step=1]"), "simple has no parameter 'step'; its parameters: none"),
    (("-e", "simple_f[step=1]"), "simple_f has no parameter 'step'; its parameters: step_size"),
    (("-e", "simple_f[step_size=far]"), "simple_f[step_size='far']: expected finite float, as the default 2.5"),
    (("-e", "imle_sog[terms=1.5]"), "imle_sog[terms=1.5]: expected int, as the default 10"),
    (
        ("-e", "simple_f[step_size"),
        "'simple_f[step_size' is not of the form name[param=value,...]: the closing bracket",
    ),
    (("-e", "simple_f[step_size]"), "is not of the form name[param=value,...]: look at 'step_size'"),
    (("-e", "no_such:NAME"), "estimator 'no_such:NAME': no module 'no_such' on the import path"),
    (("--objective", "distanse"), "unknown objective 'distanse'; known: distance,"),
    (("--objective", "distance[extension=cube]"), "objective distance has no extension 'cube'; choose square, linear"),
    (("--objective", "distance[scale=2]"), "objective distance has no option 'scale'; it has: extension"),
    (("--backend", "numpy"), "--backend 'numpy' is not known; choose from torch:cpu,"),
    (("--backend", "torch:tpu"), "--backend 'torch:tpu' is not known; choose from torch:cpu,"),
    (("-n", "8"), "n=8: figure1 has n=10 by definition; use the experiment sweep for others"),
    (("-k", "2,3"), "k=2,3: figure1 has k=5 by definition; use the experiment sweep for others"),
    (("-n", "ten"), "-n 'ten' is not a list of whole numbers; write 8,10 or 0:10"),
    (("--seeds", "a:b"), "--seeds 'a:b' is not a list of whole numbers; write 8,10 or 0:10"),
    (("--seeds", "3:"), "--seeds '3:' is not a list of whole numbers; write 8,10 or 0:10"),
    (("--seeds", "5:5"), "--seeds '5:5' names no number"),
    (("--seeds=-1",), "--seeds -1 is outside [0, 4294967295]"),
    (("--seeds", "1.5"), "--seeds '1.5' is not a list of whole numbers"),
    (("--replicates", "250"), "--replicates 250 is not a multiple of 100 and at least 200"),
    (("--replicates", "100"), "'--replicates': 100 is not in the range x>=200"),
    (("--samples", "0"), "'--samples': 0 is not in the range x>=1"),
    (("--preset", "tiny"), "'--preset': 'tiny' is not one of 'quick', 'paper', 'full'"),
    (("--dtype", "float16"), "'--dtype': 'float16' is not one of 'float32', 'float64'"),
]


class TestMistakes:
    @pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
    def test_the_argument_the_value_and_the_way_out_are_named_in_one_line(self, arguments, message, store, computed):
        result = call("run", "figure1", *arguments, "--store", store)
        assert result.exit_code != 0
        (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
        assert message in line
        assert computed == [] and not store.exists()

    def test_an_unknown_experiment(self):
        result = call("run", "figure2")
        assert result.exit_code == 1
        assert "Error: unknown experiment 'figure2'; known: figure1, figure3, sweep" in result.output

    def test_a_file_that_is_no_store(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("mine\n")
        result = call("run", "figure1", "-e", "simple", *FEW, "--store", path)
        assert result.exit_code == 1 and "is not a results store" in result.output
        assert path.read_text() == "mine\n"

    def test_a_folder_in_place_of_a_store(self, tmp_path):
        result = call("run", "figure1", "-e", "simple", *FEW, "--store", tmp_path)
        assert result.exit_code == 1 and result.output.splitlines()[-1].startswith("Error: ")

    def test_debug_shows_the_error_itself_and_that_once(self):
        result = CliRunner().invoke(main, ["--debug", "run", "figure2"])
        assert isinstance(result.exception, ValueError)
        assert call("run", "figure2").exit_code == 1


class TestSettingsFile:
    def write(self, tmp_path, text):
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return path

    def test_it_says_what_the_command_line_would(self, tmp_path, store, computed):
        path = self.write(
            tmp_path,
            """
            experiment = "sweep"
            estimators = ["simple", "imle_sog[step_size=3]"]
            n = [6, 7]
            k = 3
            seeds = "0:2"
            replicates = 400
            objective = "pairwise[extension=square]"
            backend = "torch:cpu"
            dtype = "float32"
            """,
        )
        assert call("run", path, "--store", store).exit_code == 0
        assert len(computed) == 8
        assert {(c.n, c.k, c.replicates, c.extension, c.dtype) for c in computed} == {
            (n, 3, 400, "square", "float32") for n in (6, 7)
        }
        assert {row["experiment"] for row in rows_of(store)} == {"sweep"}

    def test_the_command_line_has_the_last_word(self, tmp_path, store, computed):
        path = self.write(tmp_path, 'estimators = ["simple"]\nn = 6\nk = 3\nseeds = 0\nbackend = "torch"\n')
        call("run", path, "-e", "sfe", "-n", "7", "--store", store)
        assert [(cell.estimator, cell.n, cell.k) for cell in computed] == [("sfe", 7, 3)]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("estimator = ['simple']", "unknown field `estimator`"),
            ("estimators = 'simple'", "$.estimators"),
            ("preset = 'tiny'", "$.preset"),
            ("replicates = 100", "$.replicates"),
            ("seeds = ['a']", "$.seeds"),
            ("seeds = 'a:b'", "seeds 'a:b' is not a list of whole numbers"),
            ("n = [", "mine.toml: "),
            ("experiment = 'figure2'", "unknown experiment 'figure2'"),
        ],
    )
    def test_a_mistake_in_it_is_named_in_one_line(self, tmp_path, text, message):
        result = call("run", self.write(tmp_path, text))
        assert result.exit_code == 1
        (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
        assert message in line

    def test_an_absent_one_is_named(self, tmp_path):
        result = call("run", tmp_path / "absent.toml")
        assert result.exit_code == 1 and "absent.toml" in result.output


@pytest.fixture
def filled(store, computed):
    """Returns a store of two cells with pretended results."""
    call("run", "figure1", "-e", "simple,imle_gumbel", *FEW[:2], "--seeds", "1234", "--store", store)
    return store


class TestExport:
    def test_csv_has_the_contract_as_its_head(self, filled):
        result = call("export", "--store", filled)
        assert result.exit_code == 0
        rows = list(csv.DictReader(io.StringIO(result.output)))
        assert list(rows[0]) == COLUMNS
        assert [(row["estimator"], row["value"], row["exact"]) for row in rows] == [
            ("imle_gumbel", "0.25", "1"),
            ("simple", "0.25", "1"),
        ]

    def test_json_lines_hold_json(self, filled, tmp_path):
        out = tmp_path / "rows.jsonl"
        assert call("export", "--format", "jsonl", "--out", out, "--store", filled).exit_code == 0
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [list(row) for row in rows] == [COLUMNS] * 2
        assert rows[0]["params"] == {"step_size": 2.5} and rows[0]["exact"] is True and rows[0]["seed"] == 1234

    def test_one_experiment_alone(self, filled):
        call("run", "figure3", "-e", "simple", *FEW[:2], "--store", filled)
        assert call("export", "--experiment", "figure3", "--store", filled).output.count("\n") == 2
        result = call("export", "--experiment", "figure9", "--store", filled)
        assert result.exit_code == 1 and "has no rows of experiment 'figure9'" in result.output

    def test_no_store_is_an_error_and_none_is_made(self, store):
        result = call("export", "--store", store)
        assert result.exit_code == 1
        assert "does not exist; python -m benchmarks run makes it, or name another with --store" in result.output
        assert not store.exists()

    def test_parquet_needs_its_extra_and_a_file(self, filled, tmp_path, monkeypatch):
        result = call("export", "--format", "parquet", "--store", filled)
        assert result.exit_code == 1 and "parquet is a binary format: name a file with --out" in result.output
        find_spec = importlib.util.find_spec

        def without(name, *rest):
            return None if name == "pyarrow" else find_spec(name, *rest)

        monkeypatch.setattr(exporting.importlib.util, "find_spec", without)
        result = call("export", "--format", "parquet", "--out", tmp_path / "rows.parquet", "--store", filled)
        assert result.exit_code == 1
        assert "parquet needs pandas and pyarrow: pip install 'subsetgrad[parquet]'" in result.output

    def test_parquet_reads_back(self, filled, tmp_path):
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
        pandas = pytest.importorskip("pandas", reason="the extra `parquet` is not installed")
        out = tmp_path / "rows.parquet"
        assert call("export", "--format", "parquet", "--out", out, "--store", filled).exit_code == 0
        assert list(pandas.read_parquet(out).columns) == COLUMNS


class TestCompare:
    def other(self, tmp_path, monkeypatch, value=0.25, std_error=0.0, reason=""):
        """Returns a second store of the same cells, in which simple's bias is `value`."""

        def measured(cell):
            if cell.estimator == "simple" and reason:
                raise ValueError(reason)
            number = value if cell.estimator == "simple" else 0.25
            return [Measurement("conditional_poisson", "bias", number, std_error, std_error == 0)]

        monkeypatch.setattr(engine, "quality_of", measured)
        path = tmp_path / "other.sqlite"
        call("run", "figure1", "-e", "simple,imle_gumbel", *FEW[:2], "--seeds", "1234", "--store", path)
        return path

    def test_equal_stores_are_equal(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch))
        assert result.exit_code == 0
        assert "2 shared rows, 0 differ; 0 rows only in" in words(result)

    def test_another_value_is_shown_and_ends_with_one(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, 0.26))
        assert result.exit_code == 1
        assert "simple n=10 k=5 seed=1234 torch" in words(result) and "2 shared rows, 1 differ" in words(result)

    def test_a_difference_that_its_standard_error_explains_is_none(self, filled, tmp_path, monkeypatch):
        assert call("compare", filled, self.other(tmp_path, monkeypatch, 0.26, 0.01)).exit_code == 0

    def test_a_difference_beyond_its_standard_error_is_one(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, 0.30, 0.01))
        assert result.exit_code == 1 and "standard errors" in words(result)

    def test_a_cell_that_failed_in_one_alone_is_a_difference(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, reason="no luck"))
        assert result.exit_code == 1
        assert "ok / failed" in words(result) and "1 shared rows, 1 differ" in words(result)

    def test_an_undefined_value_equals_itself_alone(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, None))
        assert result.exit_code == 1 and "undefined in one" in words(result)

    def test_an_absent_store_is_named(self, filled, tmp_path):
        result = call("compare", filled, tmp_path / "absent.sqlite")
        assert result.exit_code == 2 and "absent.sqlite" in words(result).replace(" ", "")
