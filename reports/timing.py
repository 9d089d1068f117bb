"""Timings: which of a store's are shown, and one against another.

A *place* is a machine with its libraries and number of threads: seconds from two places are never put into one figure
or table. A *way* is a series and a mode, `torch:cpu eager`; a *size* is a batch, n and k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .load import METHOD, Z95, Results, Run

SIZE = ["batch", "n", "k"]
# What others are compared with: the first of each group that was timed beside them.
BASELINES = {"straight-through Gumbel-top-k": ("ste_gumbel", "imle_gumbel"), "SoftSub": ("softsub",)}
_PLACE = ["environment", "threads", "logits"]


@dataclass(frozen=True)
class Timings:
    """The timings of one place.

    Attributes:
      table: a row per method, size, way and metric: `value` (median seconds or bytes), `std_error`,
        `repeats`; with `label`, `way`, `series`, `mode`, `plug_in`.
      missing: the rows of cells that were skipped, failed, or were timed with a remark; with the derived column `way`.
      place: what the place is, in words.
      run: the latest run that measured there.
      set_aside: the other places, a sentence each.
    """

    table: pd.DataFrame
    missing: pd.DataFrame
    place: str
    run: Run | None
    set_aside: tuple[str, ...]


def choose(results: Results) -> Timings:
    """Returns the timings of the place that was measured last; in it, of the threads and logits with most cells."""
    rows = results.timings.drop_duplicates(["cell", "metric"])
    rows = rows.assign(
        way=(rows["series"] + " " + rows["mode"]).str.strip(),
        threads=rows["threads"].fillna(0),
        logits=rows["logits"].fillna(""),
    )
    started = {run.name: run.started for run in results.runs}
    rows["begun"] = rows["run"].map(lambda name: started.get(name, ""))
    places = rows.groupby(_PLACE, sort=True).agg(cells=("cell", "nunique"), begun=("begun", "max")).reset_index()
    if places.empty:
        return Timings(_measured(rows), rows, "", None, ())
    places["latest"] = places.groupby("environment")["begun"].transform("max")
    places = places.sort_values(["latest", "environment", "cells", "begun"], ascending=False, kind="stable")
    logits = places["logits"].nunique() > 1
    told = [
        f"{_in_words(place, logits)} ({place['cells']} cells, last run {place['begun'] or 'unknown'})"
        for place in places.to_dict("records")
    ]
    first = places.iloc[0]
    own = rows[(rows[_PLACE] == first[_PLACE]).all(axis=1)]
    latest = own.loc[own["begun"] == first["begun"], "run"].max()
    missing = own[(own["status"] != "ok") | (own["reason"] != "")]
    run = next((run for run in results.runs if run.name == latest), None)
    return Timings(_measured(own), missing, _in_words(first, logits), run, tuple(told[1:]))


def _in_words(place: Mapping[str, Any], logits: bool) -> str:
    """Returns a place in words, with its logits where others have different ones."""
    words = [f"environment {place['environment']}" if place["environment"] else "an unnamed environment"]
    if place["threads"] > 0:
        words.append(f"{place['threads']:.0f} thread{'s' if place['threads'] != 1 else ''}")
    if logits and place["logits"]:
        words.append(f"{place['logits']} logits")
    return ", ".join(words)


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the ok rows; there are no seeds to average over, and bytes, which are counted, have no error."""
    ok = rows[(rows["status"] == "ok") & (rows["metric"] != "") & rows["value"].notna()]
    ok = ok.assign(std_error=ok["std_error"].fillna(ok["metric"].map({"peak_bytes": 0.0})), repeats=ok["replicates"])
    keys = [*METHOD, "label", "plug_in", *SIZE, "backend", "device", "dtype", "series", "mode", "way", "metric"]
    return ok[[*keys, "value", "std_error", "repeats"]].sort_values(keys, ignore_index=True)


def ways(table: pd.DataFrame) -> list[str]:
    """Returns the ways, the one that most methods were timed in first."""
    counts = table.groupby("way")["label"].nunique()
    return sorted(counts.index, key=lambda way: (-counts[way], not str(way).startswith("torch"), way))


def usual_ways(table: pd.DataFrame) -> list[str]:
    """Returns of each backend and device the way that a user would take: most methods and sizes, in one dtype."""
    chosen: dict[tuple[str, str], str] = {}
    cells = table.drop_duplicates(["label", "way", *SIZE]).groupby("way").size()
    for way in sorted(cells.index, key=lambda way: (-cells[way], way)):
        first = table[table["way"] == way].iloc[0]
        chosen.setdefault((first["backend"], first["device"]), way)
    # torch before jax, the processor before the accelerator
    return [chosen[key] for key in sorted(chosen, key=lambda key: (key[1] != "cpu", key[0] != "torch", key))]


def size_of(batch: int, n: int, k: int) -> str:
    """Returns a size in words."""
    return f"batch {batch}, n = {n}, k = {k}"


def main_batch(table: pd.DataFrame) -> int:
    """Returns the batch with the most sizes (the largest of equals): growth is shown there."""
    sizes = table.drop_duplicates(SIZE).groupby("batch").size()
    return int(max(sizes.index, key=lambda batch: (sizes[batch], batch)))


def variant(table: pd.DataFrame, estimator: str) -> str | None:
    """Returns the label of the estimator, of several variants the one with most rows; None if it was not timed."""
    counts = table.loc[table["estimator"] == estimator, "label"].value_counts()
    return str(min(counts.index, key=lambda label: (-counts[label], label))) if len(counts) else None


def baseline(table: pd.DataFrame, group: str) -> str | None:
    """Returns the label of the baseline of that group, if one was timed."""
    return next((label for name in BASELINES[group] if (label := variant(table, name))), None)


def interval(values: pd.Series[float], std_errors: pd.Series[float]) -> tuple[pd.Series[float], pd.Series[float]]:
    """Returns the ends of 95 % intervals, made in logarithms: a time is never negative. NaN where an error is."""
    reach = (Z95 * std_errors / values).clip(upper=20).map(math.exp)
    return values / reach, values * reach


def against(table: pd.DataFrame, one: str, other: str, by: str, metric: str = "total_seconds") -> pd.DataFrame:
    """Returns `one` against `other`, both values of column `by`, wherever all else is the same.

    Args:
      table: as `Timings` has it.
      one, other: two values of `by`: labels, ways.
      by: the column in which the compared rows differ; columns that follow from it are not asked to agree.

    Returns:
      `label way batch n k`, `value low high` of the ratio one/other, and `mine`, `theirs`: the two medians.
    """
    keys = [name for name in ("label", "way", *SIZE) if name != by]
    rows = table[table["metric"] == metric]
    columns = [*keys, by, "value", "std_error"]
    both = rows.loc[rows[by] == one, columns].merge(rows.loc[rows[by] == other, columns], on=keys, suffixes=("", "_b"))
    spread = ((both["std_error"] / both["value"]) ** 2 + (both["std_error_b"] / both["value_b"]) ** 2) ** 0.5
    mine, theirs = both["value"], both["value_b"]
    quotient = mine / theirs
    low, high = interval(quotient, spread * quotient)
    found = both[[*keys, by]].assign(mine=mine, theirs=theirs, value=quotient, low=low, high=high)
    return found.sort_values([*SIZE, *keys], kind="stable", ignore_index=True)
