"""Measured exponents of time and memory, next to the complexities that are stated of the algorithms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..form import numbers
from . import slopes, timings
from .slopes import FEWEST, Family, Slope

# The slope of each label, by family, metric and engine.
Fits = Mapping[tuple[Family, str, str], Mapping[str, Slope]]
NO_STATEMENT = {"work": numbers.MISSING, "powers": "", "vectorised": numbers.MISSING, "vectorised_powers": ""}


@dataclass(frozen=True)
class Measured:
    """One exponent as printed: `text` with its uncertainty, `detail` on its fit, `order` to sort by."""

    text: str
    detail: str
    order: float


@dataclass(frozen=True)
class Grid:
    """A table of exponents: `heads` its columns, `lines` a name with its cells."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Measured, ...]], ...]


def of_family(table: pd.DataFrame, family: Family, metric: str, engine: str, batch: int) -> pd.DataFrame:
    """Returns the rows of `table` that lie along the family."""
    rows = table[(table["metric"] == metric) & (table["engine"] == engine) & (table["batch"] == batch)]
    return rows.merge(pd.DataFrame(family.sizes, columns=["n", "k"]), on=["n", "k"])


def fit_all(table: pd.DataFrame, families: Sequence[Family], engines: Sequence[str], batch: int) -> Fits:
    """Returns the fits of time along each family, and of memory along the first family against n."""
    along_n = [family for family in families if family.axis == "n"][:1]
    wanted = [(family, "total_seconds", engine) for family in families for engine in engines]
    wanted += [(family, "peak_bytes", engine) for family in along_n for engine in engines]
    return {key: _fitted(table, *key, batch) for key in wanted}


def _fitted(table: pd.DataFrame, family: Family, metric: str, engine: str, batch: int) -> dict[str, Slope]:
    """Returns the slope of each label that has three sizes of the family or more."""
    fits = {}
    for label, rows in of_family(table, family, metric, engine, batch).groupby("label", sort=True):
        slope = slopes.fit(rows[family.axis].tolist(), rows["value"].tolist(), rows["std_error"].tolist())
        if slope is not None:
            fits[str(label)] = slope
    return fits


def in_words(slope: Slope) -> str:
    """Returns the 95 % interval of an exponent."""
    return f"{numbers.exponent(slope.low)} to {numbers.exponent(slope.high)}"


def _measured(slope: Slope | None, axis: str, uncertainty: str) -> Measured:
    """Returns an exponent as printed, with `uncertainty` in its text; without a slope, a dash."""
    if slope is None:
        return Measured(numbers.MISSING, "fewer than three sizes were timed", math.inf)
    detail = f"95 % interval {in_words(slope)}; fitted on {axis} = {', '.join(map(str, slope.sizes))}"
    return Measured(numbers.exponent(slope.value) + uncertainty, detail, slope.value)


def _with_interval(slope: Slope | None, axis: str) -> Measured:
    """Returns an exponent with its interval. Three sizes get none: one degree of freedom makes it meaningless."""
    if slope is None:
        return _measured(None, axis, "")
    few = len(slope.sizes) == FEWEST
    return _measured(slope, axis, f", from {FEWEST} sizes" if few else f" ({in_words(slope)})")


def _with_error(slope: Slope | None, axis: str) -> Measured:
    return _measured(slope, axis, f" ± {numbers.exponent(slope.std_error)}" if slope else "")


def of_all(fits: Fits) -> Grid:
    """Returns every estimator's exponents, a column for each fit that has any."""
    shown = {key: fitted for key, fitted in fits.items() if fitted}
    heads = [
        f"{'memory' if metric == 'peak_bytes' else 'time'} in {family.axis} at {family.held}, {engine}"
        for family, metric, engine in shown
    ]
    lines = [
        (label, tuple(_with_error(fitted.get(label), key[0].axis) for key, fitted in shown.items()))
        for label in sorted({label for fitted in shown.values() for label in fitted})
    ]
    return Grid(tuple(heads), tuple(lines))


def stated(
    table: pd.DataFrame,
    complexities: Sequence[Mapping[str, Any]],
    families: Sequence[Family],
    engines: Sequence[str],
    fits: Fits,
) -> list[tuple[dict[str, Any], list[Measured]]]:
    """Returns the stated complexities of estimators that were timed, each with its measured exponents.

    The exponents are of time: for each engine, against n and then against k.
    """
    lines = []
    for entry in complexities:
        label = timings.variant(table, entry["estimator"])
        if label is not None:
            columns = [
                (family, fits[family, "total_seconds", engine]) for engine in engines for family in axes_of(families)
            ]
            cells = [_with_interval(fitted.get(label), family.axis) for family, fitted in columns]
            lines.append((NO_STATEMENT | dict(entry), cells))
    return lines


def axes_of(families: Sequence[Family]) -> list[Family]:
    """Returns one family against n, at one k where there is one, and one against k."""
    chosen: dict[str, Family] = {}
    for family in families:
        chosen.setdefault(family.axis, family)
    return list(chosen.values())
