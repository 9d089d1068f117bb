"""`python -m benchmarks list` and `run`: their output, their cells, the store and the exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from command_line import FEW, ROOT, call, rows_of, words
from interpreter import python

import subsetgrad
from benchmarks import objectives
from benchmarks.quality import measure
from benchmarks.results.outcome import Measurement
from benchmarks.results.store import Store


class TestHelpAndLists:
    def test_help_and_lists_import_no_framework(self):
        code = """
import sys
from benchmarks.__main__ import main
for arguments in (["--help"], ["run", "--help"], ["list"], *(["list", table] for table in sys.argv[1:])):
    main(arguments, standalone_mode=False)
print(sorted({"torch", "jax", "array_api_compat"} & set(sys.modules)))
"""
        tables = ("estimators", "objectives", "experiments", "backends")
        printed = python(code, *tables)
        assert printed.endswith("[]\n") and "--dry-run" in printed

    @pytest.mark.parametrize(
        ("table", "names"),
        [
            ("estimators", [record.name for record in subsetgrad.ESTIMATORS]),
            ("objectives", [objective.name for objective in objectives.OBJECTIVES]),
            ("experiments", ["figure1", "figure3", "sweep"]),
            ("backends", ["torch:cpu", "jax:cpu", "torch:cuda", "jax:cuda"]),
        ],
    )
    def test_each_list_is_complete(self, table, names):
        result = call("list", table)
        assert result.exit_code == 0
        listed = [line.split()[0] for line in result.output.splitlines()[1:] if line.strip() and line[0] != " "]
        assert set(names) <= set(listed)

    def test_it_runs_as_a_module(self, store):
        arguments = ["run", "figure1", "-e", "simple", *FEW, "--store", str(store), "--dry-run"]
        done = subprocess.run(
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
        assert {row["experiment"] for row in before} == {"figure1"}

    def test_force_recomputes_stored_cells(self, store, computed):
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

    def test_cells_that_do_not_apply_are_left_out_with_a_reason(self, store, computed):
        result = call("run", "sweep", "-e", "simple,stgs", "-n", "4", "-k", "2,5", *FEW, "--store", store)
        assert result.exit_code == 0
        assert "left out simple: k=5 is outside [0, 4]" in words(result)
        assert "left out stgs: k=2: stgs is defined for k=1 only" in words(result)
        assert {(cell.estimator, cell.k) for cell in computed} == {("simple", 2)}

    def test_a_failing_plug_in_does_not_stop_the_others(self, store, monkeypatch):
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

    def test_an_interrupt_ends_with_130_and_keeps_finished_cells(self, store, monkeypatch):
        done = []

        def interrupted(cell):
            if done:
                raise KeyboardInterrupt
            done.append(cell)
            return [Measurement("conditional_poisson", "bias", 0.25, 0.0, True)]

        monkeypatch.setattr(measure, "quality_of", interrupted)
        result = call("run", "figure1", "-e", "simple,sfe", *FEW, "--store", store)
        assert result.exit_code == 130
        assert "Interrupted. The computed cells are stored; the same command continues from there." in words(result)
        assert [row["cell"] for row in rows_of(store)] == [done[0].key]
