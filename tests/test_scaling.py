"""`python -m benchmarks run scaling`: rows of seconds and bytes, what is skipped and why, and what a rerun does."""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
import torch._dynamo
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.clock_grid import clock_plan
from benchmarks.experiments.scaling import PAPER_FORMS, SCALING
from benchmarks.harness import clock, compiling, machine, memory, provenance, timing
from benchmarks.harness.cell import TimingCell
from benchmarks.harness.store import Store

ROOT = Path(__file__).parent.parent
TORCH = ("run", "scaling", "--preset", "quick", "--backend", "torch:cpu")
READ = {"sample_seconds", "forward_seconds", "backward_seconds", "total_seconds"}
CELL = TimingCell("simple", (), "normal", 10, 5, 0, 1, 64, "eager", 1, "torch", "cpu", "float32", "0123abcd")

BROKEN = """
from dataclasses import replace
from estimators import get

def raising(*_, **__):
    raise FloatingPointError("it overflowed")

RAISES = replace(get("sfe"), name="raises", estimate=raising)
"""


@pytest.fixture(autouse=True)
def _quickly(tmp_path, monkeypatch):
    """A budget of some milliseconds, and a lock of our own: these tests ask what is stored, not how long it took."""
    monkeypatch.setattr(machine, "LOCK", tmp_path / "lock")
    real = clock.measure

    def measure(contestants, **more):
        return real(contestants, **(more | {"budget_seconds": 0.02, "relative_target": 0.2}))

    monkeypatch.setattr(clock, "measure", measure)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "results.sqlite"


def call(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def words(result):
    return " ".join(result.output.split())


def rows_of(path):
    with Store(path) as opened:
        return opened.rows()


class TestRows:
    def test_a_cell_of_each_backend_has_its_metrics(self, store):
        result = call(*TORCH[:-1], "torch:cpu,jax:cpu", "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        assert result.exit_code == 0
        rows = {(row["backend"], row["metric"]): row for row in rows_of(store)}
        common = READ | {"first_seconds", "peak_bytes"}
        assert {metric for backend, metric in rows if backend == "torch"} == common
        assert {metric for backend, metric in rows if backend == "jax"} == common | {"trace_seconds", "compile_seconds"}
        for (backend, metric), row in rows.items():
            assert (row["batch"], row["threads"], row["environment"]) == (64, 1, provenance.environment())
            assert row["mode"] == {"torch": "eager", "jax": "compiled"}[backend]
            assert (row["dtype"], row["objective"], row["target"], row["law"]) == ("float32", "", "", "plackett_luce")
            assert row["status"] == "ok" and not row["exact"]
            assert row["value"] > 0 or metric == "backward_seconds"
            assert (row["replicates"] > 1) == (metric in READ) or row["replicates"] == 1
            assert metric != "peak_bytes" or row["value"] >= 2 * 64 * 6 * 4  # a sample and a gradient
        seconds = {metric: row["value"] for (backend, metric), row in rows.items() if backend == "jax"}
        assert seconds["first_seconds"] > seconds["trace_seconds"] + seconds["compile_seconds"]
        assert seconds["compile_seconds"] > seconds["total_seconds"]

    def test_what_draws_nothing_has_no_seconds_of_drawing(self, store):
        call(*TORCH, "-n", 6, "-k", 2, "-e", "marginal_pass", "--store", store)
        assert {row["metric"] for row in rows_of(store)} == READ - {"sample_seconds"} | {"first_seconds", "peak_bytes"}

    def test_batches_samples_and_dtypes_are_cells_of_their_own(self, store):
        sizes = ("-n", 6, "-k", "1,2", "--batch", "2,3", "-e", "gs,ste")
        result = call(*TORCH, *sizes, "--samples", 2, "--dtype", "float64", "--store", store)
        assert result.exit_code == 0
        found = {(row["estimator"], row["k"], row["batch"], row["samples"], row["dtype"]) for row in rows_of(store)}
        assert found == {(name, k, b, 2, "float64") for name, k in (("gs", 1), ("ste", 1), ("ste", 2)) for b in (2, 3)}
        assert "left out gs: k=2: gs is defined for k=1 only" in words(result)

    def test_readings_that_the_budget_cut_short_are_remarked_on(self, store):
        call(*TORCH, "-n", 32, "-k", 16, "-e", "rebar_pl", "--store", store)
        (reason,) = {row["reason"] for row in rows_of(store)}
        assert reason.startswith("budget of 0.6 s spent at 1 reading: too few for an interval")
        assert {row["status"] for row in rows_of(store)} == {"ok"}

    def test_seconds_of_the_total_grow_with_the_work(self, store):
        call(*TORCH, "-n", "8,4096", "-k", 4, "-e", "softsub", "--store", store)
        total = {row["n"]: row["value"] for row in rows_of(store) if row["metric"] == "total_seconds"}
        peak = {row["n"]: row["value"] for row in rows_of(store) if row["metric"] == "peak_bytes"}
        assert total[4096] > 4 * total[8]
        assert peak[4096] == pytest.approx(512 * peak[8], rel=0.1)


class TestResume:
    def test_what_is_stored_is_not_measured_again(self, store):
        first = (*TORCH, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        call(*first)
        before = rows_of(store)
        assert "1 cells, 1 stored in" in words(call(*first))
        assert rows_of(store) == before
        assert "1 to compute" in words(call(*first, "--force"))

    def test_a_quick_look_is_measured_again_where_more_is_asked_for(self, store):
        quick = (*TORCH, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        paper = tuple("paper" if word == "quick" else word for word in quick)
        call(*quick)
        with sqlite3.connect(store) as stored:  # as a budget of 0.6 s may have left it
            stored.execute("UPDATE cell SET spent = 0.6, half_width = 0.05")
        stored.close()
        assert "1 stored in" in words(call(*quick, "--dry-run"))
        assert "0 stored in" in words(call(*paper, "--dry-run"))
        with sqlite3.connect(store) as stored:
            stored.execute("UPDATE cell SET spent = 0, half_width = 0.019")
        stored.close()
        assert "1 stored in" in words(call(*paper, "--dry-run"))

    def test_how_well_a_cell_was_measured_is_stored(self, store):
        call(*TORCH, "-n", "6,32", "-k", "2,16", "-e", "ste_gumbel,rebar_pl", "--store", store)
        with Store(store) as opened:
            done, rows = opened.done(), opened.rows()
        assert len(done) > 3
        for row in rows:
            found = done[row["cell"]]
            assert found.spent == (0.6 if row["reason"] else 0.0)
            if row["metric"] in READ - {"backward_seconds"}:
                assert (found.half_width is None) == (row["replicates"] < clock.LEAST_READINGS)
                if found.half_width is not None:
                    assert found.half_width >= 1.95 * row["std_error"] / row["value"]

    def test_an_estimator_that_raises_fails_its_own_cell_and_is_tried_again(self, store, tmp_path, monkeypatch):
        (tmp_path / "broken_plug_in.py").write_text(BROKEN)
        monkeypatch.syspath_prepend(tmp_path)
        arguments = (*TORCH, "-n", 6, "-k", 2, "-e", "broken_plug_in:RAISES,ste_gumbel,softsub", "--store", store)
        result = call(*arguments)
        assert result.exit_code == 1
        assert "failed: broken_plug_in:RAISES[] n=6 k=2" in words(result)
        states = {row["estimator"]: (row["status"], row["reason"][:32]) for row in rows_of(store)}
        assert states.pop("broken_plug_in:RAISES") == ("failed", "FloatingPointError: it overflowed"[:32])
        assert {status for status, _ in states.values()} == {"ok"} and len(states) == 2
        assert "1 to compute" in words(call(*arguments))

    def test_an_interrupt_keeps_the_groups_that_are_done(self, store, monkeypatch):
        measured, real = [], clock.measure

        def interrupted(contestants, **more):
            if measured:
                raise KeyboardInterrupt
            measured.append(contestants)
            return real(contestants, **more)

        monkeypatch.setattr(clock, "measure", interrupted)
        result = call(*TORCH, "-n", "6,8", "-k", 2, "-e", "ste_gumbel,gs[temperature=2],softsub", "--store", store)
        assert result.exit_code == 130
        assert {(row["n"], row["estimator"]) for row in rows_of(store)} == {(6, "ste_gumbel"), (6, "softsub")}


class TestSkipped:
    def test_memory_over_the_budget_is_a_row_with_the_forecast(self, store, monkeypatch):
        monkeypatch.setattr(timing, "MEMORY_LIMIT", 2**23)
        arguments = (*TORCH, "-n", 2048, "-k", 256, "-e", "softsub,imle_gumbel", "--store", store)
        result = call(*arguments)
        assert result.exit_code == 0 and "skipped: softsub[" in words(result)
        rows = {row["estimator"]: row for row in rows_of(store) if row["metric"] in ("", "peak_bytes")}
        assert (rows["softsub"]["status"], rows["softsub"]["metric"]) == ("skipped", "")
        assert "GiB (expected from small sizes), over the budget of" in rows["softsub"]["reason"]
        assert rows["imle_gumbel"]["status"] == "ok" and rows["imle_gumbel"]["value"] < 2**23
        assert "0 to compute" in words(call(*arguments))

    def test_jax_says_before_it_runs(self, store, monkeypatch):
        monkeypatch.setattr(timing, "MEMORY_LIMIT", 2**10)
        call(*TORCH[:-1], "jax:cpu", "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        (row,) = rows_of(store)
        assert row["status"] == "skipped" and "(as XLA plans it)" in row["reason"]

    def test_torch_compile_without_a_compiler_says_so(self, store, monkeypatch):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        arguments = (*TORCH, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--mode", "compiled", "--store", store)
        call(*arguments)
        (row,) = rows_of(store)
        assert (row["status"], row["mode"]) == ("skipped", "compiled") and "install g++, or set CXX" in row["reason"]
        # With a compiler it would be another result.
        assert "1 to compute" in words(call(*arguments, "--dry-run"))

    def test_a_failure_to_measure_memory_keeps_the_seconds(self, store, monkeypatch):
        def failing(step, device):
            raise RuntimeError("no profiler")

        monkeypatch.setattr(memory, "peak_bytes", failing)
        result = call(*TORCH, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        assert result.exit_code == 0
        rows = rows_of(store)
        assert {row["metric"] for row in rows} == READ | {"first_seconds"}
        assert {row["status"] for row in rows} == {"ok"}
        assert rows[0]["reason"].endswith("no peak_bytes: RuntimeError: no profiler")

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (("-n", "7,8", "-e", "ste"), "left out -n 7: no k of the preset is at most n/2; give -k"),
            (("-n", "10", "-k", "2,8", "-e", "ste"), "left out n=10 k=8: scaling goes from k=1 to k=n/2"),
            (("-n", "6,64", "-k", "2", "-e", "exact_enum"), "left out exact_enum: n=64: timed up to n=16, for it sums"),
        ],
    )
    def test_what_is_not_in_the_grid_is_left_out_with_a_reason(self, store, arguments, reason):
        result = call(*TORCH, *arguments, "--store", store, "--dry-run")
        assert reason in words(result) and "1 to compute" in words(result)


class TestCompiled:
    """By torch.compile, with a backend that traces and lets the steps run as they are: it takes no compiler."""

    COMPILED = (*TORCH, "-k", 2, "-e", "ste_gumbel", "--mode", "compiled")

    @pytest.fixture(autouse=True)
    def _traced_alone(self, monkeypatch):
        monkeypatch.setattr(timing, "_compiler", lambda: True)
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))

    def test_every_size_is_compiled_whatever_was_compiled_before(self, store):
        result = call(*self.COMPILED, "-n", "6,7,8,9", "--store", store)
        assert result.exit_code == 0, result.output
        rows = {(row["n"], row["metric"]): row["value"] for row in rows_of(store)}
        for n in (6, 7, 8, 9):
            assert rows[n, "compile_seconds"] > 5 * rows[n, "total_seconds"]
        assert not any("limit" in row["reason"] for row in rows_of(store))

    def test_a_limit_of_programs_is_said(self, store, monkeypatch):
        monkeypatch.setattr(compiling, "PROGRAMS", 1)
        several = [word.replace("ste_gumbel", "ste_gumbel,softsub,imle_gumbel") for word in map(str, self.COMPILED)]
        result = call(*several, "-n", 6, "--store", store)
        assert result.exit_code == 0, result.output
        reasons = {row["estimator"]: row["reason"] for row in rows_of(store)}
        for name in ("softsub", "imle_gumbel"):
            assert "torch.compile reached its limit of programs" in reasons[name]

    def test_limits_and_caches_are_those_of_before_when_it_is_over(self):
        before = (torch._dynamo.config.cache_size_limit, os.environ.get("TORCHINDUCTOR_CACHE_DIR"))
        with compiling.fresh_programs(), compiling.empty_caches():
            folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
            assert torch._dynamo.config.cache_size_limit == compiling.PROGRAMS
            assert list(folder.iterdir()) == []
        assert not folder.parent.exists()
        assert (torch._dynamo.config.cache_size_limit, os.environ.get("TORCHINDUCTOR_CACHE_DIR")) == before


def test_one_small_step_goes_before_the_first_of_a_backend_and_mode(store, monkeypatch):
    real, built = timing.steps, []

    def steps(record, params, ops, **sizes):
        built.append((record.name, sizes["n"], sizes["mode"]))
        return real(record, params, ops, **sizes)

    monkeypatch.setattr(timing, "steps", steps)
    timing._warm_up.cache_clear()
    call(*TORCH, "-n", "6,8", "-k", 2, "-e", "ste_gumbel", "--store", store)
    assert built == [("simple", 4, "eager"), ("ste_gumbel", 6, "eager"), ("ste_gumbel", 8, "eager")]


class TestOptions:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("scaling", "--seeds", "0:3"), "seeds=(0, 1, 2): scaling has no seeds: it measures time"),
            (("scaling", "--replicates", "400"), "replicates=400: scaling has no replicates"),
            (("figure1", "--batch", "64"), "batch=(64,): figure1 has no batch: it measures quality"),
            (("scaling", "--mode", "fast"), "--mode 'fast' is not known; choose from eager, compiled"),
            (("scaling", "--batch", "0"), "--batch 0 is too small"),
            (("scaling", "-n", "10", "-k", "8"), "nothing to compute"),
            (
                ("scaling", "--preset", "quick", "-n", "7"),
                "nothing to compute: -n 7: no k of the preset is at most n/2; give -k",
            ),
            (
                ("scaling", "--preset", "quick", "-k", "600"),
                "nothing to compute: -k 600: no n of the preset is at least 2k; give -n",
            ),
        ],
    )
    def test_a_mistake_is_named(self, store, arguments, message):
        result = call("run", *arguments, "--store", store)
        assert result.exit_code == 1 and message in words(result)

    def test_a_file_names_what_the_command_line_does(self, store, tmp_path):
        settings = tmp_path / "mine.toml"
        settings.write_text(
            'experiment = "scaling"\nn = 6\nk = 2\nbatch = [2, 4]\nmode = "eager"\nestimators = ["ste"]\n'
        )
        shown = call("run", settings, "--backend", "torch:cpu", "--dry-run", "--store", store)
        assert [line for line in shown.output.splitlines() if line.startswith("ste[]")] == [
            f"ste[] n=6 k=2 batch={batch} S=1 torch:cpu float32 eager threads=1" for batch in (2, 4)
        ]

    def test_presets_hold_what_they_promise(self):
        plans = {preset: clock_plan(SCALING, preset, ("torch", "jax")).cells for preset in SCALING.presets}
        assert {cell.backend for cell in plans["quick"]} == {"torch", "jax"}
        assert {10, 1024} <= {cell.n for cell in plans["quick"]}
        assert (max(cell.n for cell in plans["paper"]), max(cell.n for cell in plans["full"])) == (10_000, 100_000)
        assert {cell.dtype for cell in plans["full"]} == {"float32", "float64"}
        assert {cell.mode for cell in plans["full"] if cell.n > 100 and cell.backend == "torch"} == {"eager"}
        assert {cell.mode for cell in plans["full"] if cell.n <= 100} == {"eager", "compiled"}
        for cells in plans.values():
            assert all(1 <= cell.k <= cell.n / 2 for cell in cells)
            assert [cell.n for cell in cells] == sorted(cell.n for cell in cells)
        assert max(cell.n for cell in plans["full"] if cell.estimator in PAPER_FORMS) == 1000

    def test_planning_imports_no_framework(self):
        code = """
import sys
from benchmarks.__main__ import main
main(["run", "scaling", "--preset", "full", "--dry-run", "--store", sys.argv[1]], standalone_mode=False)
"""
        check = "\nexcept SystemExit: print(sorted({'torch', 'jax'} & set(sys.modules)))"
        code = "try:\n" + "".join(f"    {line}\n" for line in code.splitlines()) + check
        done = subprocess.run(  # noqa: S603  # our own code
            [sys.executable, "-c", code, "absent.sqlite"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.endswith("[]\n")


class TestCells:
    @pytest.mark.parametrize("field", [field.name for field in fields(CELL)])
    def test_every_field_counts(self, field):
        value = getattr(CELL, field)
        other = (("x", 2.0),) if field == "params" else value + 1 if isinstance(value, int) else value + "x"
        assert replace(CELL, **{field: other}).key != CELL.key

    def test_keys_last(self):
        # Whoever changes `TIMING_SCHEMA` or the fields changes this one, too.
        assert CELL.key == "5e30a89c90b4c96087ab"

    def test_a_group_differs_in_the_estimator_alone(self):
        other = replace(CELL, estimator="ste", params=(("x", 1),), samples=2)
        found = timing.groups([CELL, replace(CELL, n=20), other, replace(CELL, mode="compiled")])
        assert [len(group) for group in found] == [2, 1, 1] and found[0] == (CELL, other)


class TestCompare:
    @pytest.fixture
    def twins(self, store, tmp_path):
        call(*TORCH, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        other = tmp_path / "other.sqlite"
        with sqlite3.connect(store) as both:  # known intervals: 1 %
            both.execute("UPDATE measurement SET value = 1, std_error = 0.01 WHERE metric LIKE '%_seconds'")
            both.commit()
            both.execute("VACUUM INTO ?", (str(other),))
        both.close()
        return store, other

    @staticmethod
    def change(path, metric, value, error=0.01):
        with sqlite3.connect(path) as store:
            store.execute("UPDATE measurement SET value = ?, std_error = ? WHERE metric = ?", (value, error, metric))
        store.close()

    def test_equal_costs_are_equal(self, twins):
        result = call("compare", *twins)
        assert result.exit_code == 0 and "0 differ" in words(result)

    def test_slower_beyond_interval_and_threshold_ends_with_one(self, twins):
        self.change(twins[1], "total_seconds", 1.5)
        result = call("compare", *twins)
        assert result.exit_code == 1 and "x 1.5 [1.4" in words(result) and "1 differ" in words(result)

    def test_faster_is_shown_and_ends_with_zero(self, twins):
        self.change(twins[1], "total_seconds", 0.5)
        result = call("compare", *twins)
        assert result.exit_code == 0 and "0 differ, 1 are cheaper" in words(result)

    @pytest.mark.parametrize(("value", "error"), [(1.15, 0.001), (1.5, 0.2), (9.0, None), (-0.1, 0.01)])
    def test_what_the_machine_or_the_interval_explains_is_none(self, twins, value, error):
        self.change(twins[1], "total_seconds", value, error)
        assert call("compare", *twins).exit_code == 0

    def test_more_memory_ends_with_one(self, twins):
        self.change(twins[1], "peak_bytes", 10**9, None)
        assert call("compare", *twins).exit_code == 1
