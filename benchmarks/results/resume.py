"""Resuming a run: which cells are still to compute, and storing each outcome at once, so that a later run goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from .cell import AnyCell, Effort
from .outcome import End, Outcome
from .store import Done, Store


def cells_to_compute(
    cells: Sequence[AnyCell],
    store: Store,
    fingerprints: Mapping[AnyCell, str],
    *,
    force: bool,
    efforts: Mapping[AnyCell, Effort] = {},
) -> list[AnyCell]:
    """Returns the cells for which the store has no valid result.

    A result is valid if the same code computed it. A result of a cost cell must also be precise enough: its interval is
    as narrow as asked, or a budget at least as large was spent on it. A skipped cell is valid if no larger budget would
    help.

    Args:
      cells: the cells of the plan.
      store: where results are kept.
      fingerprints: cell -> hash of the code that its result depends on.
      force: recompute even cells that have a valid result.
      efforts: cost cell -> how precisely to measure it.
    """
    done = {} if force else store.done()
    return [cell for cell in cells if not _is_valid(done.get(cell.key), fingerprints[cell], efforts.get(cell))]


def _is_valid(done: Done | None, fingerprint: str, effort: Effort | None) -> bool:
    if done is None or done.fingerprint != fingerprint:
        return False
    if effort is None or done.end is End.FINAL:
        return True
    if done.half_width is not None and done.half_width <= effort.relative_target:
        return True
    return done.budget_seconds is not None and done.budget_seconds >= effort.budget_seconds


def store_each(
    outcomes: Iterable[Outcome],
    store: Store,
    *,
    laws: Mapping[str, str],
    fingerprints: Mapping[AnyCell, str],
    run: str,
    after_each: Callable[[Outcome], None],
) -> Counter[str]:
    """Stores every outcome as soon as it is computed.

    Args:
      outcomes: the generator that `measure` of a kind returns; it computes a cell when the next outcome is requested.
      store: where results are kept.
      laws: estimator name -> forward law.
      fingerprints: cell -> hash of the code that its result depends on.
      run: id of this run.
      after_each: called with every outcome once it is stored.

    Returns:
      The number of cells with each status.
    """
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        cell = outcome.cell
        store.save(outcome, law=laws[cell.estimator], fingerprint=fingerprints[cell], run=run)
        counts[outcome.status] += 1
        after_each(outcome)
    return counts
