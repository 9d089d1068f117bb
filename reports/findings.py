"""What the timings say, a sentence each, with the interval of every number that has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from . import pareto, tables, timing, units
from .exponents import Fits, axes_of
from .load import TARGET
from .slopes import Family

_KNOWN = 0.6  # the widest interval of an exponent that a sentence is made of
_FACTOR = 2  # and of a ratio, its upper end over its lower


def headlines(
    table: pd.DataFrame,
    found: Sequence[Family],
    ways: Sequence[str],
    batch: int,
    fits: Fits,
    fronts: Sequence[pareto.Matched],
) -> list[str]:
    """Returns the findings about cost, a sentence each; none about what was not timed, or is hardly known."""
    simple = str(timing.variant(table, "simple") or "")
    sentences, growth = [], []
    for way in ways if simple else ():
        own = table[(table["way"] == way) & (table["batch"] == batch)]
        parts = []
        for group in timing.BASELINES:
            name = timing.baseline(table, group)
            ratios = timing.against(own, simple, name, "label") if name else pd.DataFrame()
            if told := _between(ratios):
                parts.append(f"{told} that of {group} ({name})")
        if parts:
            sentences.append(f"Time of {simple}, a step on {way}, batch {batch}: {'; '.join(parts)}.")
        grown = [
            f"{family.axis}^{slope.value:.2f} ({slope.low:.2f} to {slope.high:.2f}) at {family.held}"
            for family in axes_of(found)
            if (slope := fits[family, "total_seconds", way].get(simple)) and slope.high - slope.low < _KNOWN
        ]
        growth += [f"{' and '.join(grown)} on {way}"] if grown else []
    if growth:
        sentences.append(f"The time of {simple} grows as {'; '.join(growth)}.")
    for match in fronts[:1]:  # the others are beside it in their section
        named = match.points[match.points["named"]].sort_values("seconds").to_dict("records")
        choices = [_choice(row) for row in named if row["best"]]
        also = [_choice(row) for row in named if not row["best"]]
        sentences.append(
            f"Least error for its time on {match.experiment}'s {match.problem}, n = {match.n}, k = {match.k}, "
            f"{match.way}, per row of a batch of {match.batch}: {', '.join(choices)}"
            + (f"; of those that sample from the target law also {', '.join(also)}." if also else ".")
        )
    return sentences


def _choice(row: dict[str, Any]) -> str:
    """Returns a member of a front with its time and error, whose standard errors stand beside them."""
    law = [] if row["law"] == TARGET else [row["law"].replace("_", " ")]
    told = [*law, f"error {tables.show_sampled(row['error'], row['error_se'])}", *filter(None, [row["note"]])]
    return f"{row['label']} from {units.seconds(row['seconds'], row['seconds_se'])} ({', '.join(told)})"


def _between(ratios: pd.DataFrame) -> str:
    """Returns the range of a ratio over the sizes where it is known, its ends with intervals; empty if nowhere."""
    known = ratios[ratios["high"] <= _FACTOR * ratios["low"]] if len(ratios) else ratios
    if known.empty:
        return ""
    low, high = known.loc[known["value"].idxmin()], known.loc[known["value"].idxmax()]
    ends = [low, high] if high["value"] > 1.1 * low["value"] else [high]
    told = " to ".join(f"{_with_interval(row)} (n = {row['n']}, k = {row['k']})" for row in ends)
    unknown = len(ratios) - len(known)
    return told + (f", {unknown} of {len(ratios)} sizes being too uncertain to quote," if unknown else "")


def _with_interval(row: pd.Series[Any]) -> str:
    low, high = (units.ratio(row[name]).removesuffix("×") for name in ("low", "high"))
    return units.ratio(row["value"]) + (f" [{low}–{high}]" if low != high else "")
