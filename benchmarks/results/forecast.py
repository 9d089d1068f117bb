"""The forecast of a run's remaining time."""

from __future__ import annotations

from collections.abc import Sequence

from .cell import AnyCell
from .outcome import Outcome


class Forecast:
    """Predicts the remaining time from the mean time of similar cells, because cells differ a thousandfold in cost.

    Cells are similar if they share estimator, parameters, backend, device, n and k.
    """

    def __init__(self, cells: Sequence[AnyCell]) -> None:
        self._cells_left: dict[tuple[str, ...], int] = {}
        self._finished: dict[tuple[str, ...], tuple[int, float]] = {}  # group -> number of cells, their total seconds
        for cell in cells:
            self._cells_left[self._group(cell)] = self._cells_left.get(self._group(cell), 0) + 1

    @staticmethod
    def _group(cell: AnyCell) -> tuple[str, ...]:
        return (cell.estimator, str(cell.params), cell.backend, cell.device, str(cell.n), str(cell.k))

    def note(self, outcome: Outcome) -> None:
        """Records a finished cell."""
        group = self._group(outcome.cell)
        self._cells_left[group] -= 1
        count, total = self._finished.get(group, (0, 0.0))
        self._finished[group] = (count + 1, total + outcome.seconds)

    def seconds_left(self) -> float | None:
        """Returns the predicted seconds; None before the first cell is finished.

        A group without a finished cell counts with the mean over all finished cells.
        """
        if not self._finished:
            return None
        all_finished = tuple(sum(column) for column in zip(*self._finished.values(), strict=True))
        left = 0.0
        for group, cells_left in self._cells_left.items():
            count, seconds = self._finished.get(group, all_finished)
            left += cells_left * seconds / count
        return left
