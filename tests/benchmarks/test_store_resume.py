"""A run goes on where another ended: what is stored precisely enough is not computed again."""

from __future__ import annotations

import pytest
from reports_store import cell_of
from stored import CELL, MEASURED, save

from benchmarks.quality import measure
from benchmarks.results import resume
from benchmarks.results.cell import Effort
from benchmarks.results.forecast import Forecast
from benchmarks.results.outcome import End, Outcome, Report

SILENT = Report(notice=lambda text: None, doing=lambda text: None, command="a test")


def run(opened, cells, fingerprint="code-1", *, force=False):
    """Computes what is missing; returns the names of the estimators that were computed, in order."""
    codes = dict.fromkeys(cells, fingerprint)
    missing = resume.cells_to_compute(cells, opened, codes, force=force)
    stored = []
    laws = dict.fromkeys((cell.estimator for cell in cells), "conditional_poisson")
    outcomes = measure.measure(missing, None, SILENT)
    counts = resume.store_each(outcomes, opened, laws=laws, fingerprints=codes, run="run-1", after_each=stored.append)
    assert counts["failed"] == sum(bool(outcome.reason) for outcome in stored)
    return [outcome.cell.estimator for outcome in stored]


class TestResume:
    cells = tuple(cell_of(name) for name in ("simple", "sfe", "ste"))

    @pytest.fixture(autouse=True)
    def measured(self, monkeypatch):
        monkeypatch.setattr(measure, "quality_of", lambda cell: MEASURED)

    def test_what_is_stored_is_not_computed_again(self, opened):
        assert run(opened, self.cells[:2]) == ["simple", "sfe"]
        assert run(opened, self.cells) == ["ste"]
        assert run(opened, self.cells) == []

    def test_other_code_computes_again(self, opened):
        run(opened, self.cells)
        assert run(opened, self.cells, "code-2") == ["simple", "sfe", "ste"]
        assert run(opened, self.cells, "code-2") == []
        assert {done.fingerprint for done in opened.done().values()} == {"code-2"}

    def test_force_computes_again(self, opened):
        run(opened, self.cells)
        assert run(opened, self.cells, force=True) == ["simple", "sfe", "ste"]

    def test_a_failure_is_stored_tried_again_and_stops_nothing(self, opened, monkeypatch):
        def failing(cell):
            if cell.estimator == "sfe":
                raise FloatingPointError("it overflowed")
            return MEASURED

        monkeypatch.setattr(measure, "quality_of", failing)
        opened.enrol("figure1", self.cells)
        assert run(opened, self.cells) == ["simple", "sfe", "ste"]
        (failed,) = [row for row in opened.rows() if row["status"] == "failed"]
        assert (failed["estimator"], failed["reason"]) == ("sfe", "FloatingPointError: it overflowed")
        assert run(opened, self.cells) == ["sfe"]
        monkeypatch.setattr(measure, "quality_of", lambda cell: MEASURED)
        assert run(opened, self.cells) == ["sfe"]
        assert {row["status"] for row in opened.rows()} == {"ok"}

    def test_an_interrupt_keeps_what_was_done(self, opened, monkeypatch):
        def interrupted(cell):
            if cell.estimator == "ste":
                raise KeyboardInterrupt
            return MEASURED

        monkeypatch.setattr(measure, "quality_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(opened, self.cells)
        monkeypatch.setattr(measure, "quality_of", lambda cell: MEASURED)
        assert run(opened, self.cells) == ["ste"]


def test_the_cell_that_is_computed_is_shown(computed):
    shown = []
    cells = [cell_of(name) for name in ("simple", "sfe")]
    for outcome in measure.measure(cells, None, Report(pytest.fail, shown.append, "a test")):
        assert shown[-1] == outcome.cell.estimator
    assert computed == cells and shown == ["simple", "sfe"]


class TestEffort:
    """When a stored result is precise enough for a run that asks for more than an earlier one."""

    @pytest.mark.parametrize(
        ("end", "budget_seconds", "half_width", "valid"),
        [
            (End.BUDGET, 3.0, 0.5, True),  # as much was spent
            (End.BUDGET, 0.6, 0.02, True),  # it is as narrow
            (End.PRECISE, None, 0.01, True),
            (End.BUDGET, 0.6, 0.021, False),
            (End.PRECISE, None, 0.03, False),  # it ended at another target
            (End.BUDGET, 0.6, None, False),
            (End.BUDGET, 3.0, None, True),
            (End.FINAL, None, None, True),  # skipped, and no budget would help
            (None, None, None, False),  # skipped, and it may work now
        ],
    )
    def test_a_result_is_valid_if_it_is_narrow_or_as_much_was_spent(
        self, opened, end, budget_seconds, half_width, valid
    ):
        save(opened, CELL, end=end, budget_seconds=budget_seconds, half_width=half_width)
        efforts = {CELL: Effort(3.0, 0.02)}
        missing = resume.cells_to_compute([CELL], opened, {CELL: "code-1"}, force=False, efforts=efforts)
        assert (missing == []) == valid
        assert resume.cells_to_compute([CELL], opened, {CELL: "code-2"}, force=False, efforts=efforts) == [CELL]

    @pytest.mark.parametrize("end", [*End, None])
    def test_the_store_returns_how_a_measurement_ended(self, opened, end):
        save(opened, CELL, end=end)
        assert opened.done()[CELL.key].end is end


class TestForecast:
    def test_groups_without_a_finished_cell_count_as_the_mean_of_the_others(self):
        cells = [cell_of(name, seed=seed) for name in ("simple", "sfe", "ste") for seed in range(3)]
        forecast = Forecast(cells)
        assert forecast.seconds_left() is None
        forecast.note(Outcome(cells[0], 1.0))
        assert forecast.seconds_left() == pytest.approx(2 * 1 + 3 * 1 + 3 * 1)
        forecast.note(Outcome(cells[3], 3.0))
        assert forecast.seconds_left() == pytest.approx(2 * 1 + 2 * 3 + 3 * 2)
