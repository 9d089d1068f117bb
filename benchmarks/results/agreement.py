"""When do two numbers differ? The suite's comparisons of results and their tolerances, each under its name.

`reports` imports this module, so it imports the standard library alone.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from statistics import NormalDist
from typing import Any, NamedTuple, TypeVar

# Exact values, relative to the larger of the two. `compare` reads two runs, which may have other library versions.
EXACT_BETWEEN_RUNS = 1e-6
# Exact values in double and in single precision, relative to the larger of the two and 1: the square root of a rounding
# error, 1e-8, is 0 on another backend.
EXACT_DOUBLE = 1e-7
EXACT_SINGLE = 1e-4
# Sampled values, in combined standard errors. At 4, fewer than one in ten stores shows a difference by chance.
SIGMAS = 4.0
# Backends of one dtype draw the same random numbers: only choices within rounding of a tie can differ.
SIGMAS_SAME_NOISE = 0.1
# How often the largest of several independent differences may exceed its limit by chance.
CHANCE = 0.001
# Marks in tables: a value joins the best within 2 standard errors, and a warning needs 3.
SIGMAS_BEST = 2.0
SIGMAS_WARNING = 3.0
# Ratios of times: clock speed and other processes change a machine by some percent from run to run.
COSTLIER = 1.2
COSTLIER_WITHOUT_INTERVAL = 2.0
MEASURED_ONCE = ("first_seconds", "trace_seconds", "compile_seconds")
# Values of a benchmark of asv that have no interval; `regressions_thresholds` in asv.conf.json is the same for quality.
CHANGED = 0.01
# By asv's unit, the smallest value that a change is relative to. Figures print a cosine to thousandths.
SMALLEST = {"of cosines": 1e-4}

_Name = TypeVar("_Name", bound=Hashable)


class Gap(NamedTuple):
    """A difference, and the largest that still counts as agreement: both relative, or both in standard errors."""

    size: float
    limit: float

    @property
    def agrees(self) -> bool:
        """Returns whether the difference is within its limit."""
        return self.size <= self.limit


def meets_published(number: Mapping[str, Any], value: float, std_error: float = 0.0) -> bool:
    """Returns whether our value agrees with a published number.

    An exact number is met within one unit of its last digit, a plotted one within the precision of reading the figure;
    four of our standard errors are added. A sampled number is met within four combined standard errors, which include
    the rounding of its last digit.

    Args:
      number: with `value`, `unit`, `kind` and `std_error`, see `benchmarks.experiments.published.Number`.
      value, std_error: ours.
    """
    if number["kind"] == "sampled":
        # A rounded digit is uniform within its unit: standard deviation unit/√12.
        tolerance = SIGMAS * math.hypot(number["std_error"], std_error, number["unit"] / math.sqrt(12))
    else:
        tolerance = number["unit"] + SIGMAS * std_error
    return bool(abs(value - number["value"]) <= tolerance * (1 + 1e-9))


def exact_gap(value: float, other: float, *, double: bool) -> Gap:
    """Returns the difference of two exact values of one cell, relative to the larger of them and 1.

    Args:
      value, other: of two backends.
      double: whether both were computed in float64.
    """
    size = abs(value - other) / max(abs(value), abs(other), 1.0)
    return Gap(size, EXACT_DOUBLE if double else EXACT_SINGLE)


def sampled_gap(value: float, other: float, std_error: float, *, independent: int) -> Gap:
    """Returns the difference of two values of one cell, at least one of them sampled, in combined standard errors.

    Args:
      value, other: of two backends.
      std_error: of their difference; 0 gives 0 for equal values and infinity for others.
      independent: how many such pairs with random numbers of their own are compared; 0 if both drew the same.
    """
    if std_error > 0:
        size = abs(value - other) / std_error
    else:
        size = 0.0 if exact_gap(value, other, double=True).agrees else math.inf
    return Gap(size, chance_limit(independent) if independent else SIGMAS_SAME_NOISE)


def chance_limit(comparisons: int) -> float:
    """Returns the z that the largest of so many independent comparisons exceeds with probability `CHANCE`."""
    return NormalDist().inv_cdf(1 - CHANCE / (2 * max(comparisons, 1)))


def near_least(values: Iterable[tuple[_Name, float, float]], rounding: float = 0.0) -> set[_Name]:
    """Returns the names whose values do not differ from the least by more than their errors explain.

    Args:
      values: name, value and standard error; at least one.
      rounding: a difference that counts as none.
    """
    values = list(values)
    _, least, least_error = min(values, key=lambda entry: entry[1])
    return {
        name
        for name, value, error in values
        if value - least <= SIGMAS_BEST * math.hypot(error, least_error) + rounding
    }


def clearly_above(value: float, threshold: float, std_error: float) -> bool:
    """Returns whether a value exceeds a threshold by more than its standard error explains."""
    return bool(value - threshold > SIGMAS_WARNING * std_error)


def relative_change(before: float, now: float, unit: str) -> float:
    """Returns the change as a share of the larger of the two, or of the smallest value that matters in asv's `unit`.

    It is at most 1, or 2 where the value changes its sign.
    """
    return abs(now - before) / (max(abs(before), abs(now), SMALLEST.get(unit, 0.0)) or 1.0)


def apart(interval: tuple[float, float], other: tuple[float, float]) -> bool:
    """Returns whether two intervals have no number in common; False where an end is NaN."""
    return bool(interval[1] < other[0] or other[1] < interval[0])


def quality_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Returns in words how two rows of one quality metric differ, empty if they agree."""
    if a["status"] != b["status"]:
        return f"{a['status']} / {b['status']}"
    if a["value"] is None or b["value"] is None:
        return "" if a["value"] == b["value"] else "undefined in one"
    gap = b["value"] - a["value"]
    error = math.hypot(a["std_error"] or 0.0, b["std_error"] or 0.0)
    if abs(gap) <= SIGMAS * error + EXACT_BETWEEN_RUNS * max(abs(a["value"]), abs(b["value"]), 1e-6):
        return ""
    return f"{gap:+.3g}" + (f" ({gap / error:+.1f} standard errors)" if error else "")


def cost_difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Returns in words how the ratio of two costs differs from 1, empty if they agree or are not compared.

    First calls are not compared, since they are measured once. Neither is a backward pass without an interval: it is a
    difference of two readings, and may be noise alone.
    """
    if min(a["value"], b["value"]) <= 0 or a["metric"] in MEASURED_ONCE:
        return ""
    ratio, error, least = b["value"] / a["value"], 0.0, COSTLIER
    if None not in (a["std_error"], b["std_error"]):
        error = math.hypot(a["std_error"] / a["value"], b["std_error"] / b["value"])
    elif a["metric"] == "backward_seconds":
        return ""
    elif a["metric"] != "peak_bytes":  # bytes are counted: they have no interval and need none
        least = COSTLIER_WITHOUT_INTERVAL
    if abs(math.log(ratio)) <= max(math.log(least), SIGMAS * error):
        return ""
    interval = f" [{ratio * math.exp(-SIGMAS * error):.3g}, {ratio * math.exp(SIGMAS * error):.3g}]" if error else ""
    return f"x {ratio:.3g}{interval}"
