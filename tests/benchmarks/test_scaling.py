"""`python -m benchmarks run scaling`: its rows of seconds and bytes, a second run, and the comparison of two stores."""

from __future__ import annotations

import itertools
import sqlite3
from functools import partial

import pytest
from command_line import READ, TIMING, call, rows_of, words

from benchmarks.cost import clock
from benchmarks.results import provenance
from benchmarks.results.outcome import End
from benchmarks.results.store import Store

pytestmark = pytest.mark.usefixtures("quickly")

MEASURE = clock.measure  # the original, which the fixture `quickly` replaces
# Seconds of each call, repeated; then, computed by hand: readings, end, budget, half width.
SECONDS = (
    ((1.00e-3, 1.01e-3), 10, End.PRECISE, None, 0.005 / 1.005),
    # Of the budget of 0.6 s the three first calls take 3.3 ms, and 45 pairs of rounds 594 ms. One more round ends the
    # measurement: its longer reading is the median, because it occurs once more than the shorter.
    ((1.1e-3, 3.3e-3), 91, End.BUDGET, 0.6, 1.1 / 3.3),
    ((1.0,), 1, End.BUDGET, 0.6, None),  # the first calls spend the budget
)
BROKEN = """
from dataclasses import replace
from subsetgrad import get

def raising(*_, **__):
    raise FloatingPointError("it overflowed")

RAISES = replace(get("sfe"), name="raises", estimate=raising)
"""


class TestRows:
    def test_a_cell_of_each_backend_has_its_metrics(self, store):
        result = call(*TIMING[:-1], "torch:cpu,jax:cpu", "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
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
            assert row["replicates"] == 1 or metric in READ
            # A sample, a gradient and about five arrays of their size: far less than the process holds.
            assert metric != "peak_bytes" or 2 <= row["value"] / (64 * 6 * 4) <= 12
        seconds = {metric: row["value"] for (backend, metric), row in rows.items() if backend == "jax"}
        assert seconds["first_seconds"] > seconds["trace_seconds"] + seconds["compile_seconds"]
        assert seconds["compile_seconds"] > seconds["total_seconds"]

    def test_an_estimator_that_draws_nothing_has_no_sample_seconds(self, store):
        call(*TIMING, "-n", 6, "-k", 2, "-e", "marginal_pass", "--store", store)
        assert {row["metric"] for row in rows_of(store)} == READ - {"sample_seconds"} | {"first_seconds", "peak_bytes"}

    def test_batches_samples_and_dtypes_are_cells_of_their_own(self, store):
        sizes = ("-n", 6, "-k", "1,2", "--batch", "2,3", "-e", "gs,ste")
        result = call(*TIMING, *sizes, "--samples", 2, "--dtype", "float64", "--store", store)
        assert result.exit_code == 0
        cells = {(row["estimator"], row["k"], row["batch"], row["samples"], row["dtype"]) for row in rows_of(store)}
        assert cells == {(name, k, b, 2, "float64") for name, k in (("gs", 1), ("ste", 1), ("ste", 2)) for b in (2, 3)}
        assert "left out gs: k=2: gs is defined for k=1 only" in words(result)

    def test_readings_that_the_budget_cut_short_are_remarked_on(self, store):
        call(*TIMING, "-n", 32, "-k", 16, "-e", "rebar_pl", "--store", store)
        (reason,) = {row["reason"] for row in rows_of(store)}
        assert reason.startswith("budget of 0.6 s spent at 1 reading: too few for an interval")
        assert {row["status"] for row in rows_of(store)} == {"ok"}

    def test_seconds_of_the_total_grow_with_the_work(self, store):
        call(*TIMING, "-n", "8,4096", "-k", 4, "-e", "softsub", "--store", store)
        total = {row["n"]: row["value"] for row in rows_of(store) if row["metric"] == "total_seconds"}
        peak = {row["n"]: row["value"] for row in rows_of(store) if row["metric"] == "peak_bytes"}
        assert total[4096] > 4 * total[8]
        assert peak[4096] == pytest.approx(512 * peak[8], rel=0.1)


class TestResume:
    def test_a_stored_cell_is_not_measured_again(self, store):
        first = (*TIMING, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        call(*first)
        before = rows_of(store)
        assert "1 cells, 1 stored in" in words(call(*first))
        assert rows_of(store) == before
        assert "1 to compute" in words(call(*first, "--force"))

    def test_a_quick_look_is_measured_again_where_more_is_asked_for(self, store):
        quick = (*TIMING, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        paper = tuple("paper" if word == "quick" else word for word in quick)
        call(*quick)
        with sqlite3.connect(store) as stored:  # a state that a budget of 0.6 s may leave
            stored.execute("UPDATE cell SET ended = 'budget', budget_seconds = 0.6, half_width = 0.05")
        stored.close()
        assert "1 stored in" in words(call(*quick, "--dry-run"))
        assert "0 stored in" in words(call(*paper, "--dry-run"))
        with sqlite3.connect(store) as stored:
            stored.execute("UPDATE cell SET ended = 'precise', budget_seconds = NULL, half_width = 0.019")
        stored.close()
        assert "1 stored in" in words(call(*paper, "--dry-run"))

    def test_how_well_a_cell_was_measured_is_stored(self, store, monkeypatch):
        seconds = iter(SECONDS)
        expected = {}

        def measured(contestants, **more):
            steps = {}
            for key, names in contestants.items():
                in_turns, *expected[key] = next(seconds)
                steps[key] = {name: partial(next, itertools.cycle(in_turns)) for name in names}
            return MEASURE(steps, **(more | {"read": lambda step, calls: sum(step() for _ in range(calls))}))

        monkeypatch.setattr(clock, "measure", measured)
        call(*TIMING, "-n", 6, "-k", 2, "-e", "ste_gumbel,softsub,imle_gumbel", "--store", store)
        with Store(store) as opened:
            done, rows = opened.done(), opened.rows()
        assert len(expected) == len(done) == len(SECONDS)
        for row in rows:
            readings, end, budget_seconds, half_width = expected[row["cell"]]
            cell = done[row["cell"]]
            assert row["replicates"] == (readings if row["metric"] in READ else 1)
            assert (cell.end, cell.budget_seconds) == (end, budget_seconds)
            assert (end is End.BUDGET) == bool(row["reason"])
            assert cell.half_width == (None if half_width is None else pytest.approx(half_width, rel=1e-9))
            assert (cell.half_width is None) == (readings < clock.LEAST_READINGS)
            if row["metric"] == "total_seconds" and half_width is not None:
                assert row["std_error"] / row["value"] == pytest.approx(half_width / 1.96, rel=1e-3)

    def test_an_estimator_that_raises_fails_its_own_cell_and_is_tried_again(self, store, tmp_path, monkeypatch):
        (tmp_path / "broken_plug_in.py").write_text(BROKEN)
        monkeypatch.syspath_prepend(tmp_path)
        arguments = (*TIMING, "-n", 6, "-k", 2, "-e", "broken_plug_in:RAISES,ste_gumbel,softsub", "--store", store)
        result = call(*arguments)
        assert result.exit_code == 1
        assert "failed: broken_plug_in:RAISES[] n=6 k=2" in words(result)
        states = {row["estimator"]: (row["status"], row["reason"][:32]) for row in rows_of(store)}
        assert states.pop("broken_plug_in:RAISES") == ("failed", "FloatingPointError: it overflowed"[:32])
        assert {status for status, _ in states.values()} == {"ok"} and len(states) == 2
        with sqlite3.connect(store) as stored:  # a failed cell keeps its seconds
            ((seconds,),) = stored.execute("SELECT seconds FROM cell WHERE status = 'failed'")
        stored.close()
        assert seconds > 0
        assert "1 to compute" in words(call(*arguments))

    def test_an_interrupt_keeps_the_groups_that_are_done(self, store, monkeypatch):
        measured, real = [], clock.measure

        def interrupted(contestants, **more):
            if measured:
                raise KeyboardInterrupt
            measured.append(contestants)
            return real(contestants, **more)

        monkeypatch.setattr(clock, "measure", interrupted)
        result = call(*TIMING, "-n", "6,8", "-k", 2, "-e", "ste_gumbel,gs[temperature=2],softsub", "--store", store)
        assert result.exit_code == 130
        assert {(row["n"], row["estimator"]) for row in rows_of(store)} == {(6, "ste_gumbel"), (6, "softsub")}


class TestCompare:
    @pytest.fixture
    def twins(self, store, tmp_path):
        call(*TIMING, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        other = tmp_path / "other.sqlite"
        with sqlite3.connect(store) as both:  # intervals of 1 %
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

    def test_slower_beyond_interval_and_threshold_ends_with_status_1(self, twins):
        self.change(twins[1], "total_seconds", 1.5)
        result = call("compare", *twins)
        assert result.exit_code == 1 and "x 1.5 [1.4" in words(result) and "1 differ" in words(result)

    def test_faster_is_shown_and_ends_with_status_0(self, twins):
        self.change(twins[1], "total_seconds", 0.5)
        result = call("compare", *twins)
        assert result.exit_code == 0 and "0 differ, 1 are cheaper" in words(result)

    @pytest.mark.parametrize(("value", "error"), [(1.15, 0.001), (1.5, 0.2), (1.9, None), (-0.1, 0.01)])
    def test_a_difference_that_the_machine_or_the_interval_explains_does_not_count(self, twins, value, error):
        self.change(twins[1], "total_seconds", value, error)
        assert call("compare", *twins).exit_code == 0

    def test_many_times_slower_shows_without_an_interval(self, twins):
        self.change(twins[1], "total_seconds", 50.0, None)
        result = call("compare", *twins)
        assert result.exit_code == 1 and "x 50" in words(result) and "1 differ" in words(result)

    @pytest.mark.parametrize("metric", ["first_seconds", "backward_seconds"])
    def test_metrics_that_are_read_once_or_lost_in_noise_are_not_compared(self, twins, metric):
        self.change(twins[1], metric, 50.0, None)
        assert call("compare", *twins).exit_code == 0

    def test_more_memory_ends_with_status_1(self, twins):
        self.change(twins[1], "peak_bytes", 10**9, None)
        assert call("compare", *twins).exit_code == 1
