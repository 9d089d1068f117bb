"""The findings about cost, a sentence each, with the interval of every number that has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ..form import numbers, units
from ..quality.board import TARGET
from . import timings
from .exponents import Fits, axes_of, in_words
from .fronts import Matched
from .slopes import Family
from .timings import Comparison

# An exponent is quoted if its interval is at most this wide; a ratio, if its ends differ at most by this factor.
_WIDEST_EXPONENT = 0.6
_WIDEST_RATIO = 2


def headlines(
    table: pd.DataFrame,
    compared: Comparison,
    families: Sequence[Family],
    engines: Sequence[str],
    batch: int,
    fits: Fits,
    fronts: Sequence[Matched],
) -> list[str]:
    """Returns the findings about cost, a sentence each; none about a number that is unknown or too uncertain.

    Args:
      table: as `timings.Timings` has it.
      compared: the estimator whose time is quoted, and its baselines.
      families, fits: for its exponents.
      engines, batch: for its times.
      fronts: of which the first is quoted; the section shows the others.
    """
    sentences = []
    if compared.label:
        sentences += _ratios(table[table["batch"] == batch], compared.label, compared, engines)
        sentences += _growth(compared.label, families, engines, fits)
    return [*sentences, *map(_least_error, fronts[:1])]


def _ratios(table: pd.DataFrame, label: str, compared: Comparison, engines: Sequence[str]) -> list[str]:
    sentences = []
    for engine in engines:
        here = table[table["engine"] == engine]
        parts = [
            f"{words} that of {name} ({baseline})"
            for name, baseline in compared.baselines.items()
            if (words := _between(timings.against(here, label, baseline, "label")))
        ]
        if parts:
            batch = here["batch"].iloc[0]
            sentences.append(f"Time of {label}, a step on {engine}, batch {batch}: {'; '.join(parts)}.")
    return sentences


def _growth(label: str, families: Sequence[Family], engines: Sequence[str], fits: Fits) -> list[str]:
    parts = []
    for engine in engines:
        slopes = [(family, fits[family, "total_seconds", engine].get(label)) for family in axes_of(families)]
        known = [
            f"{family.axis}^{numbers.exponent(slope.value)} ({in_words(slope)}) at {family.held}"
            for family, slope in slopes
            if slope and slope.high - slope.low < _WIDEST_EXPONENT
        ]
        parts += [f"{' and '.join(known)} on {engine}"] if known else []
    return [f"The time of {label} grows as {'; '.join(parts)}."] if parts else []


def _least_error(match: Matched) -> str:
    named = match.points[match.points["named"]].to_dict("records")
    of_all = [_choice(row) for row in named if row["best"]]
    of_law = [_choice(row) for row in named if not row["best"]]
    board = match.board
    return (
        f"Least error for its time on {board.about.name}'s {match.problem}, n = {board.n}, k = {board.k}, "
        f"{match.engine}, per row of a batch of {match.batch}: {', '.join(of_all)}"
        + (f"; of those that sample from the target law also {', '.join(of_law)}." if of_law else ".")
    )


def _choice(row: dict[Any, Any]) -> str:
    """Returns a member of a front with its time and its error."""
    law = [] if row["law"] == TARGET else [row["law"].replace("_", " ")]
    error = numbers.estimate(row["error"], row["error_se"], exact=row["error_se"] == 0)
    words = [*law, f"error {error}", *filter(None, [row["note"]])]
    return f"{row['label']} from {units.seconds(row['seconds'], row['seconds_se'])} ({', '.join(words)})"


def _between(ratios: pd.DataFrame) -> str:
    """Returns the range of a ratio over the sizes where it may be quoted, its ends with intervals; empty if nowhere."""
    known = ratios[ratios["high"] <= _WIDEST_RATIO * ratios["low"]]
    if known.empty:
        return ""
    low, high = known.loc[known["value"].idxmin()], known.loc[known["value"].idxmax()]
    ends = [low, high] if high["value"] > 1.1 * low["value"] else [high]
    words = " to ".join(f"{_with_interval(row)} (n = {row['n']}, k = {row['k']})" for row in ends)
    unknown = len(ratios) - len(known)
    return words + (f", {unknown} of {len(ratios)} sizes being too uncertain to quote," if unknown else "")


def _with_interval(row: pd.Series[Any]) -> str:
    low, high = (units.ratio(row[name]).removesuffix("×") for name in ("low", "high"))
    return units.ratio(row["value"]) + (f" [{low}–{high}]" if low != high else "")
