"""Error against time: which estimator has the least error for how many microseconds.

An error belongs to a time where estimator, parameters, samples, n and k are the same. Where an estimator was timed with
other parameters only, that time is used, and the point says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..form.numbers import rounded
from ..quality.board import TARGET, Board


@dataclass(frozen=True, eq=False)
class Matched:
    """The estimators of one problem that have both an error and a time.

    Attributes:
      board: the problem, whose main series the errors are from.
      batch, engine: of the times.
      dtypes: of the errors, and of the times.
      points: `label law plug_in reference seconds seconds_se error error_se best best_of_law named note`, one an
        estimator, in the order of their seconds for one row of the batch. `best`: on the front; `best_of_law`: on the
        front of the estimators that sample from the target law; `named`: on one of the two.
      untimed: the labels that have an error and no time here.
    """

    board: Board
    batch: int
    engine: str
    dtypes: tuple[str, str]
    points: pd.DataFrame
    untimed: tuple[str, ...]

    @property
    def problem(self) -> str:
        """Returns the problem in words, without n and k."""
        return f"{self.board.objective}{f' ({self.board.name})' if self.board.name else ''}"


def matches(boards: Sequence[Board], table: pd.DataFrame, engines: Sequence[str]) -> list[Matched]:
    """Returns the problems with two timed estimators or more at their n and k, those that repeat a figure first.

    Args:
      boards: of the quality rows.
      table: as `timings.Timings` has it; of several batches the largest counts.
      engines: those to take times from, in the order of the result.
    """
    totals = table[table["metric"] == "total_seconds"]
    made = []
    for board in boards:
        errors = board.table[(board.table["metric"] == "error") & board.table["value"].notna()]
        errors = errors[errors["series"] == board.main]
        sized = totals[(totals["n"] == board.n) & (totals["k"] == board.k)]
        parts = (_matched(board, errors, sized[sized["engine"] == engine]) for engine in engines)
        made += [match for match in parts if match]

    def order(match: Matched) -> tuple[int, bool, int, str]:
        about = match.board.about
        repeats = bool(about.entries("bars"))
        return engines.index(match.engine), not repeats, 0 if repeats else -len(match.points), about.name

    return sorted(made, key=order)


def _matched(board: Board, errors: pd.DataFrame, sized: pd.DataFrame) -> Matched | None:
    """Returns a problem's errors with the times of one engine; None with fewer than two estimators."""
    sized = sized[sized["batch"] == sized["batch"].max()]
    rows = errors.to_dict("records")
    points = pd.DataFrame([point for row in rows if (point := _point(row, sized, board.references))])
    if len(points) < 2:
        return None
    points = points.sort_values(["seconds", "label"], ignore_index=True)
    points["best"] = front(points)
    points["best_of_law"] = front(points[points["law"] == TARGET]).reindex(points.index, fill_value=False)
    points["named"] = points["best"] | points["best_of_law"]
    first = sized.iloc[0]
    dtype = board.rows.loc[board.rows["series"] == board.main, "dtype"].iloc[0]
    untimed = tuple(sorted(set(errors["label"]) - set(points["label"])))
    return Matched(board, int(first["batch"]), first["engine"], (dtype, first["dtype"]), points, untimed)


def _point(row: dict[Any, Any], sized: pd.DataFrame, references: set[str]) -> dict[str, Any] | None:
    timed = sized[(sized["estimator"] == row["estimator"]) & (sized["samples"] == row["samples"])]
    same = timed[timed["params"] == row["params"]]
    if timed.empty:
        return None
    time = (timed if same.empty else same).iloc[0]
    batch = float(time["batch"])
    return {
        "label": row["label"],
        "law": row["law"],
        "plug_in": row["plug_in"],
        "reference": row["estimator"] in references,
        "seconds": time["value"] / batch,
        "seconds_se": time["std_error"] / batch,
        "error": row["value"],
        "error_se": row["std_error"],
        "note": "" if len(same) else f"timed with {_differing(time['params'], row['params'])}",
    }


def _differing(timed: str, judged: str) -> str:
    """Returns the parameters of the timed record that differ from those of the judged one."""
    mine, other = json.loads(timed), json.loads(judged)
    values = {name: value for name, value in mine.items() if name not in other or other[name] != value}
    words = [f"{name} {rounded(value) if isinstance(value, float) else value}" for name, value in values.items()]
    return ", ".join(words) or "its default parameters"


def front(points: pd.DataFrame) -> pd.Series[bool]:
    """Returns which points are on the front: no other is as fast with a smaller error, or faster with one as small.

    A reference, the exact gradient itself, is neither on the front nor beats a point.
    """
    ranked = points[~points["reference"]].sort_values(["seconds", "error"], kind="stable")
    least_at = ranked.groupby("seconds")["error"].min()
    least_before = least_at.cummin().shift(fill_value=float("inf"))
    seconds, error = ranked["seconds"], ranked["error"]
    best = (error == seconds.map(least_at)) & (error < seconds.map(least_before))
    return best.reindex(points.index, fill_value=False).astype(bool)
