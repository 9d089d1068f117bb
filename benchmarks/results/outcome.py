"""Outcomes: the result of one cell, as `measure` of each kind yields it, and the callbacks that `measure` takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from .cell import AnyCell


class Measurement(NamedTuple):
    """One metric of one cell against one target.

    Attributes:
      target: the target's name; empty for a metric of cost.
      metric: one of `names.QUALITY_METRICS` or `names.COST_METRICS`.
      value: None where the metric is undefined.
      std_error: 0 if exact; None if unknown.
      exact: whether the value is a finite sum.
      readings: the number of readings of a metric of cost, which its row shows as replicates.
    """

    target: str
    metric: str
    value: float | None
    std_error: float | None
    exact: bool
    readings: int | None = None


class End(StrEnum):
    """The event that ended the measurement of a cost cell."""

    PRECISE = "precise"  # the interval became as narrow as asked
    BUDGET = "budget"  # the budget was spent first
    FINAL = "final"  # skipped, and a larger budget would not help


@dataclass(frozen=True)
class Outcome:
    """The result of one cell.

    Attributes:
      cell: the cell.
      seconds: time that the cell took in all.
      measurements: its metrics; empty if the cell failed or was skipped.
      reason: why the cell failed or was skipped, or a remark on its metrics.
      status: `ok`, `failed` or `skipped`.
      end: what ended the measurement; None for cells of quality and for failures.
      budget_seconds: the budget, if it ended the measurement; else None.
      half_width: the largest relative half width among the steps of a cost cell: half of a step's interval divided by
        its median. None if a step has fewer than 10 readings.
    """

    cell: AnyCell
    seconds: float
    measurements: Sequence[Measurement] = ()
    reason: str = ""
    status: str = "ok"
    end: End | None = None
    budget_seconds: float | None = None
    half_width: float | None = None


@dataclass(frozen=True)
class Report:
    """Callbacks by which a measurement informs the user.

    Attributes:
      notice: prints a message that the user should read, such as the reason of a wait.
      doing: shows the current activity, next to the progress bar.
      command: the command that is running, which other processes show while they wait for it.
    """

    notice: Callable[[str], None]
    doing: Callable[[str], None]
    command: str


def failed(cell: AnyCell, seconds: float, error: Exception) -> Outcome:
    """Returns the outcome of a cell that an exception ended."""
    return Outcome(cell, seconds, reason=describe(error), status="failed")


def describe(error: Exception) -> str:
    """Returns an exception's class and message."""
    return f"{type(error).__name__}: {error}"
