"""The engine beside a store: what is stored well enough is not computed again, whatever ended the run before."""

from __future__ import annotations

import math

import pytest
from reports_store import cell_of
from stored import CELL, MEASURED, save

from benchmarks.results import outcome
from benchmarks.results.cell import Effort


def resume(opened, cells, fingerprint="code-1", *, force=False):
    """Returns the names of the estimators that were computed, in order."""
    codes = {cell.estimator: fingerprint for cell in cells}
    missing = outcome.todo(cells, opened, codes, force=force)
    outcomes = []
    laws = dict.fromkeys(codes, "conditional_poisson")
    computed = outcome.outcomes(missing)
    counts = outcome.keep(computed, opened, laws=laws, fingerprints=codes, run="run-1", report=outcomes.append)
    assert counts["failed"] == sum(bool(outcome.reason) for outcome in outcomes)
    return [outcome.cell.estimator for outcome in outcomes]


class TestResume:
    cells = tuple(cell_of(name) for name in ("simple", "sfe", "ste"))

    @pytest.fixture(autouse=True)
    def measured(self, monkeypatch):
        monkeypatch.setattr(outcome, "quality_of", lambda cell: MEASURED)

    def test_what_is_stored_is_not_computed_again(self, opened):
        assert resume(opened, self.cells[:2]) == ["simple", "sfe"]
        assert resume(opened, self.cells) == ["ste"]
        assert resume(opened, self.cells) == []

    def test_other_code_computes_again(self, opened):
        resume(opened, self.cells)
        assert resume(opened, self.cells, "code-2") == ["simple", "sfe", "ste"]
        assert resume(opened, self.cells, "code-2") == []
        assert {found.fingerprint for found in opened.done().values()} == {"code-2"}

    def test_force_computes_again(self, opened):
        resume(opened, self.cells)
        assert resume(opened, self.cells, force=True) == ["simple", "sfe", "ste"]

    def test_a_failure_is_stored_tried_again_and_stops_nothing(self, opened, monkeypatch):
        def failing(cell):
            if cell.estimator == "sfe":
                raise FloatingPointError("it overflowed")
            return MEASURED

        monkeypatch.setattr(outcome, "quality_of", failing)
        opened.enrol("figure1", self.cells)
        assert resume(opened, self.cells) == ["simple", "sfe", "ste"]
        (failed,) = [row for row in opened.rows() if row["status"] == "failed"]
        assert (failed["estimator"], failed["reason"]) == ("sfe", "FloatingPointError: it overflowed")
        assert resume(opened, self.cells) == ["sfe"]
        monkeypatch.setattr(outcome, "quality_of", lambda cell: MEASURED)
        assert resume(opened, self.cells) == ["sfe"]
        assert {row["status"] for row in opened.rows()} == {"ok"}

    def test_an_interrupt_keeps_what_was_done(self, opened, monkeypatch):
        def interrupted(cell):
            if cell.estimator == "ste":
                raise KeyboardInterrupt
            return MEASURED

        monkeypatch.setattr(outcome, "quality_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resume(opened, self.cells)
        monkeypatch.setattr(outcome, "quality_of", lambda cell: MEASURED)
        assert resume(opened, self.cells) == ["ste"]


class TestEffort:
    """What counts as measured well enough, when more is asked for than was asked before."""

    @pytest.mark.parametrize(
        ("spent", "half_width", "good"),
        [
            (3.0, 0.5, True),  # as much was spent
            (0.6, 0.02, True),  # it is as narrow
            (0.0, 0.01, True),
            (0.6, 0.021, False),
            (0.0, 0.03, False),  # it ended at another target
            (0.6, None, False),
            (3.0, None, True),
            (0.0, None, False),  # what it lacked may be there now
            (math.inf, None, True),  # too much memory is too much
            (None, None, False),  # from before this was stored
        ],
    )
    def test_a_result_is_good_if_it_is_narrow_or_as_much_was_spent(self, opened, spent, half_width, good):
        save(opened, CELL, spent=spent, half_width=half_width)
        asked = {CELL: Effort(3.0, 0.02)}
        missing = outcome.todo([CELL], opened, {"simple": "code-1"}, force=False, efforts=asked)
        assert (missing == []) == good
        assert outcome.todo([CELL], opened, {"simple": "code-2"}, force=False, efforts=asked) == [CELL]


class TestForecast:
    def test_kinds_not_yet_seen_count_as_the_mean_of_the_others(self):
        cells = [cell_of(name, seed=seed) for name in ("simple", "sfe", "ste") for seed in range(3)]
        forecast = outcome.Forecast(cells)
        assert forecast.seconds_left() is None
        forecast.note(outcome.Outcome(cells[0], 1.0))
        assert forecast.seconds_left() == pytest.approx(2 * 1 + 3 * 1 + 3 * 1)
        forecast.note(outcome.Outcome(cells[3], 3.0))
        assert forecast.seconds_left() == pytest.approx(2 * 1 + 2 * 3 + 3 * 2)
