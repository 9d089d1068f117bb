"""Which cells are to compute, what came of each, and how it is stored: each as soon as it is done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .cell import AnyCell, Cell, Effort
from ..quality.measure import quality_of
from .store import Done, Measurement, Store


@dataclass(frozen=True)
class Outcome:
    """What came of a cell.

    Attributes:
      cell, seconds: which, and how long it took in all.
      measurements: its rows; none where it failed or was skipped.
      reason: why it failed or was skipped, or what else there is to say.
      status: `ok`, `failed` or `skipped`.
      spent, half_width: of a cell of time, see `store.Done`.
    """

    cell: AnyCell
    seconds: float
    measurements: Sequence[Measurement] = ()
    reason: str = ""
    status: str = "ok"
    spent: float | None = None
    half_width: float | None = None


def todo(
    cells: Sequence[AnyCell],
    store: Store,
    fingerprints: Mapping[str, str],
    *,
    force: bool,
    efforts: Mapping[AnyCell, Effort] = {},
) -> list[AnyCell]:
    """Returns the cells without a good result by this code; all of them if `force`.

    Args:
      cells, store: what is wanted, and where results are.
      fingerprints: estimator name -> hash of the code that its results depend on.
      force: whether good results count for nothing.
      efforts: of cells of time. A result is good if its interval is as narrow as is asked for, or if as large a budget
        was spent on it, so that a quick look's readings do not stand for those that a longer run would take.
    """
    done = {} if force else store.done()
    return [cell for cell in cells if not _is_good(done.get(cell.key), fingerprints[cell.estimator], efforts.get(cell))]


def _is_good(found: Done | None, fingerprint: str, effort: Effort | None) -> bool:
    if found is None or found.fingerprint != fingerprint:
        return False
    if effort is None:
        return True
    narrow = found.half_width is not None and found.half_width <= effort.relative_target
    return narrow or (found.spent or 0.0) >= effort.budget_seconds


def outcomes(cells: Iterable[Cell]) -> Iterator[Outcome]:
    """Yields what came of each cell of quality, computed one after another; one that fails says why, the rest go on."""
    for cell in cells:
        start = time.perf_counter()
        try:
            measurements = quality_of(cell)
        except Exception as error:  # an estimator may raise anything; its cell says so
            yield Outcome(cell, time.perf_counter() - start, reason=failure(error), status="failed")
        else:
            yield Outcome(cell, time.perf_counter() - start, measurements)


def failure(error: Exception) -> str:
    """Returns the reason of a cell that an exception ended."""
    return f"{type(error).__name__}: {error}"


def keep(
    found: Iterable[Outcome],
    store: Store,
    *,
    laws: Mapping[str, str],
    fingerprints: Mapping[str, str],
    run: str,
    report: Callable[[Outcome], None],
) -> Counter[str]:
    """Stores every outcome as it comes.

    Args:
      found: of `outcomes` or `timing.outcomes`, which compute when they are asked for the next one.
      store: where results go, cell by cell.
      laws: estimator name -> forward law.
      fingerprints: estimator name -> hash of the code that its results depend on.
      run: id of this run.
      report: called after each cell.

    Returns:
      How many cells ended with each status.
    """
    counts: Counter[str] = Counter()
    for outcome in found:
        name = outcome.cell.estimator
        store.save(
            outcome.cell,
            outcome.measurements,
            law=laws[name],
            fingerprint=fingerprints[name],
            run=run,
            seconds=outcome.seconds,
            reason=outcome.reason,
            status=outcome.status,
            spent=outcome.spent,
            half_width=outcome.half_width,
        )
        counts[outcome.status] += 1
        report(outcome)
    return counts


class Forecast:
    """Predicts the time left from the mean time of like cells: cells differ a thousandfold in cost."""

    def __init__(self, cells: Sequence[AnyCell]) -> None:
        self._left: dict[tuple[str, ...], int] = {}
        self._spent: dict[tuple[str, ...], tuple[int, float]] = {}
        for cell in cells:
            self._left[self._kind(cell)] = self._left.get(self._kind(cell), 0) + 1

    @staticmethod
    def _kind(cell: AnyCell) -> tuple[str, ...]:
        return (cell.estimator, str(cell.params), cell.backend, cell.device, str(cell.n), str(cell.k))

    def note(self, outcome: Outcome) -> None:
        """Takes note of a finished cell."""
        kind = self._kind(outcome.cell)
        self._left[kind] -= 1
        count, total = self._spent.get(kind, (0, 0.0))
        self._spent[kind] = (count + 1, total + outcome.seconds)

    def seconds_left(self) -> float | None:
        """Returns the predicted seconds, kinds not yet seen at the mean of the others; None before the first cell."""
        if not self._spent:
            return None
        cells, seconds = (sum(column) for column in zip(*self._spent.values(), strict=True))
        left = 0.0
        for kind, count in self._left.items():
            seen, spent = self._spent.get(kind, (cells, seconds))
            left += count * spent / seen
        return left
