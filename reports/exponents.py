"""Measured exponents of time and memory, and what is said of the algorithms beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from . import slopes, timing
from .slopes import Family, Slope

_FEW = 3
# The slope of each label, by family, metric and way.
Fits = Mapping[tuple[Family, str, str], Mapping[str, Slope]]


@dataclass(frozen=True)
class Claim:
    """What is said of an algorithm's cost, and who measures it.

    Attributes:
      algorithm: in words; estimator: a selector.
      source: where it is said.
      work, powers: number of operations, and what that is as powers of n and k.
      vectorised, vectorised_powers: time with as many processors as anybody could use.
    """

    algorithm: str
    estimator: str
    source: str
    work: str = "–"
    powers: str = ""
    vectorised: str = "–"
    vectorised_powers: str = ""


_PAPER = "the paper, section 6"
_SEQUENTIAL, _DIVIDED = (f"subsetgrad.families.simple_as_printed:SIMPLE_{form}" for form in ("SEQUENTIAL", "DIVIDED"))
CLAIMS = (
    Claim("SIMPLE, Algorithms 1 and 2", _SEQUENTIAL, _PAPER, "O(n k)", "n¹ k¹"),
    Claim(
        "SIMPLE, Algorithms 5 and 6",
        _DIVIDED,
        _PAPER,
        vectorised="O(log k log n), samples O(log n)",
        vectorised_powers="n⁰ k⁰",
    ),
    Claim(
        "SIMPLE, as in this library", "simple", "this project", "O(n √k) at most", "n¹ k^½", "O(log n) deep", "n⁰ k⁰"
    ),
    Claim("SoftSub", "softsub", _PAPER, "O(n k)", "n¹ k¹", "O(k log n)", "n⁰ k¹"),
    Claim("straight-through Gumbel-top-k", "ste_gumbel", "nobody, a baseline"),
)


@dataclass(frozen=True)
class Measured:
    """One exponent, ready to print: `text` with its interval, `detail` what it was fitted on, `order` to sort by."""

    text: str
    detail: str
    order: float


NOTHING = Measured("–", "fewer than three sizes were timed", math.inf)


def of_family(table: pd.DataFrame, family: Family, metric: str, way: str, batch: int) -> pd.DataFrame:
    """Returns the rows of `table` that lie along the family."""
    rows = table[(table["metric"] == metric) & (table["way"] == way) & (table["batch"] == batch)]
    return rows.merge(pd.DataFrame(family.sizes, columns=["n", "k"]), on=["n", "k"])


def fit_all(table: pd.DataFrame, found: Sequence[Family], ways: Sequence[str], batch: int) -> Fits:
    """Returns what figures, tables and sentences show: time along each family, memory along the first against n."""
    along_n = [family for family in found if family.axis == "n"][:1]
    wanted = [(family, "total_seconds", way) for family in found for way in ways]
    wanted += [(family, "peak_bytes", way) for family in along_n for way in ways]
    return {key: _fitted(table, *key, batch) for key in wanted}


def _fitted(table: pd.DataFrame, family: Family, metric: str, way: str, batch: int) -> dict[str, Slope]:
    """Returns the fitted slope of each label that has three sizes of the family or more."""
    found = {}
    for label, rows in of_family(table, family, metric, way, batch).groupby("label", sort=True):
        slope = slopes.fit(rows[family.axis].tolist(), rows["value"].tolist(), rows["std_error"].tolist())
        if slope is not None:
            found[str(label)] = slope
    return found


def measured(slope: Slope | None, axis: str, *, interval: bool) -> Measured:
    """Returns an exponent as the tables print it: with its 95 % interval, or with its standard error."""
    if slope is None:
        return NOTHING
    limits = f"{slope.low:.2f} to {slope.high:.2f}"
    text = f"{slope.value:.2f} ({limits})" if interval else f"{slope.value:.2f} ± {slope.std_error:.2f}"
    if interval and len(slope.sizes) == _FEW:  # one degree of freedom: the interval says that nothing is known
        text = f"{slope.value:.2f}, from {_FEW} sizes"
    detail = f"95 % interval {limits}; fitted on {axis} = {', '.join(map(str, slope.sizes))}"
    return Measured(text, detail, slope.value)


@dataclass(frozen=True)
class Grid:
    """A table of exponents: `heads` its columns, `lines` a name with its cells."""

    heads: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Measured, ...]], ...]


def of_all(fits: Fits) -> Grid:
    """Returns every estimator's exponents, a column for each fit that has any."""
    shown = {key: own for key, own in fits.items() if own}
    heads = [
        f"{'memory' if metric == 'peak_bytes' else 'time'} in {family.axis} at {family.held}, {way}"
        for family, metric, way in shown
    ]
    lines = [
        (label, tuple(measured(own.get(label), key[0].axis, interval=False) for key, own in shown.items()))
        for label in sorted({label for own in shown.values() for label in own})
    ]
    return Grid(tuple(heads), tuple(lines))


def claims(
    table: pd.DataFrame, found: Sequence[Family], ways: Sequence[str], fits: Fits
) -> list[tuple[Claim, list[Measured]]]:
    """Returns the claims about estimators that were timed, each with its exponents: per way, against n, then k."""
    lines = []
    for claim in CLAIMS:
        label = timing.variant(table, claim.estimator)
        if label is None:
            continue
        cells = []
        for way in ways:
            for family in axes_of(found):
                own = fits[family, "total_seconds", way].get(label)
                cells.append(measured(own, family.axis, interval=True))
        lines.append((claim, cells))
    return lines


def axes_of(found: Sequence[Family]) -> list[Family]:
    """Returns one family against n, at one k where there is one, and one against k."""
    chosen: dict[str, Family] = {}
    for family in found:
        chosen.setdefault(family.axis, family)
    return list(chosen.values())
