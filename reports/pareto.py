"""Error against time: which estimator for how many microseconds.

An error belongs to a time where estimator, parameters, samples, n and k are the same. Where an estimator was timed with
other parameters than it was judged with, its time stands in for the missing one, and the point says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .load import TARGET, problems, series_of, summarise
from .tables import REFERENCE

_FIRST = {"figure1": 0, "figure3": 1}


@dataclass(frozen=True)
class Matched:
    """The estimators of one problem that have both an error and a time.

    Attributes:
      experiment, problem: where the error is from.
      n, k, batch, way: where the time is from; `series` is the backend of the errors.
      dtypes: of the errors, and of the times.
      points: `label law plug_in reference seconds seconds_se error error_se best best_of_law named note`, one an
        estimator; seconds a row; `best`: on the front, `best_of_law`: on that of those that sample from the target law,
        `named`: on either.
      untimed: the labels that have an error and no time here.
    """

    experiment: str
    problem: str
    series: str
    n: int
    k: int
    batch: int
    way: str
    dtypes: tuple[str, str]
    points: pd.DataFrame
    untimed: tuple[str, ...]


def matches(rows: pd.DataFrame, timings: pd.DataFrame, ways: Sequence[str]) -> list[Matched]:
    """Returns the problems of `rows` with two timed estimators or more at their n and k, the paper's figures first.

    Args:
      rows: quality rows, `load.Results.rows`.
      timings: `timing.Timings.table`.
      ways: the ways to take times from, in this order; of several batches the largest counts.
    """
    totals = timings[timings["metric"] == "total_seconds"]
    found = []
    for experiment in sorted(rows["experiment"].unique()):
        for name, group in problems(rows, experiment):
            sized = totals[(totals["n"] == group["n"].iloc[0]) & (totals["k"] == group["k"].iloc[0])]
            if sized.empty:
                continue
            errors = summarise(group)
            series = series_of(group)[:1]
            errors = errors[(errors["metric"] == "error") & errors["value"].notna() & errors["series"].isin(series)]
            if errors.empty:
                continue
            problem = f"{group['objective'].iloc[0]}{f' ({name})' if name else ''}"
            dtype = group.loc[group["series"] == series[0], "dtype"].iloc[0]
            parts = (_matched(experiment, problem, dtype, errors, sized[sized["way"] == way]) for way in ways)
            found += [match for match in parts if match]

    def order(match: Matched) -> tuple[int, int, int, str]:
        return ways.index(match.way), _FIRST.get(match.experiment, 9), -len(match.points), match.experiment

    return sorted(found, key=order)


def _matched(experiment: str, problem: str, dtype: str, errors: pd.DataFrame, sized: pd.DataFrame) -> Matched | None:
    """Returns what the times of one way and size match of one problem's errors; None if that is no two estimators."""
    sized = sized[sized["batch"] == sized["batch"].max()]
    points = pd.DataFrame([point for row in errors.to_dict("records") if (point := _point(row, sized))])
    if len(points) < 2:
        return None
    points["best"] = front(points)
    points["best_of_law"] = front(points[points["law"] == TARGET]).reindex(points.index, fill_value=False)
    points["named"] = points["best"] | points["best_of_law"]
    first = sized.iloc[0]
    return Matched(
        experiment,
        problem,
        errors["series"].iloc[0],
        int(first["n"]),
        int(first["k"]),
        int(first["batch"]),
        first["way"],
        (dtype, first["dtype"]),
        points,
        tuple(sorted(set(errors["label"]) - set(points["label"]))),
    )


def _point(row: dict[str, Any], sized: pd.DataFrame) -> dict[str, Any] | None:
    timed = sized[(sized["estimator"] == row["estimator"]) & (sized["samples"] == row["samples"])]
    same = timed[timed["params"] == row["params"]]
    if timed.empty:
        return None
    chosen = (timed if same.empty else same).iloc[0]
    batch = float(chosen["batch"])
    return {
        "label": row["label"],
        "law": row["law"],
        "plug_in": row["plug_in"],
        "reference": row["estimator"] == REFERENCE,
        "seconds": chosen["value"] / batch,
        "seconds_se": chosen["std_error"] / batch,
        "error": row["value"],
        "error_se": row["std_error"],
        "note": "" if len(same) else f"timed with {_differing(chosen['params'], row['params'])}",
    }


def _differing(timed: str, judged: str) -> str:
    """Returns the parameters of the first of two records that the second does not share."""
    own, other = json.loads(timed), json.loads(judged)
    values = {name: value for name, value in own.items() if name not in other or other[name] != value}
    told = [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()]
    return ", ".join(told) or "its default parameters"


def front(points: pd.DataFrame) -> pd.Series[bool]:
    """Returns which points no other beats: none is faster with as little error, nor as fast with less.

    The exact gradient itself, a reference, is not a contestant.
    """
    best: dict[Any, bool] = dict.fromkeys(points.index, False)
    least = float("inf")
    contestants = points[~points["reference"]].sort_values(["seconds", "error"], kind="stable")
    for seconds, group in contestants.groupby("seconds", sort=True):
        del seconds
        error = float(group["error"].min())
        if error < least:
            least = error
            best |= dict.fromkeys(group.index[group["error"] == error], True)
    return pd.Series(best, index=points.index, dtype=bool)
