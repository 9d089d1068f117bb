"""The sections about experiments of quality: figures and a leaderboard for each problem."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from ..data import Z95, About
from ..form import text_tables
from ..form.svg import Figure
from . import figures, leaderboard, published
from .board import Board
from .leaderboard import BY_NAME, Leaderboard

_DIRECTION = ("bias", "variance", "error")
_LENGTH = ("relative_bias", "total_variance", "relative_mse")
_BEST_ON_TOP = "Left is better, and the best estimator is on top."
_ADVICE = {
    "bias": "Left is better; green ticks are the floor, which an unbiased estimator would show too.",
    "relative_bias": "Left is better; an estimator without bias in direction can stand far right by its length.",
}


def sections(experiments: Sequence[About], leaderboards: Sequence[Leaderboard]) -> list[dict[str, Any]]:
    """Returns a section for each experiment that repeats a published figure; one that was not run has no boards.

    Only the first problem gets figures of length, since a store may hold many problems.
    """
    repeated = [about for about in experiments if about.entries("bars")]
    boards = {about.name: [each for each in leaderboards if each.board.about.name == about.name] for about in repeated}
    first = next((each for made in boards.values() for each in made), None)
    return [
        {"about": about, "boards": [_with_figures(each, length=each is first) for each in boards[about.name]]}
        for about in repeated
    ]


def others(leaderboards: Sequence[Leaderboard]) -> list[dict[str, Any]]:
    """Returns the problems of the other experiments, which get tables only."""
    return [_as_table(each) for each in leaderboards if not each.board.about.entries("bars")]


def figures_of(sections: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """Returns the figures of these sections."""
    boards = [board for section in sections for board in section["boards"]]
    return [figure for board in boards for kind in ("paper", "direction", "length") for figure in board[kind]]


def _as_table(made: Leaderboard) -> dict[str, Any]:
    files = text_tables.files(partial(leaderboard.printed, [made]))
    return {"board": made.board, "columns": made.columns, "lines": made.lines, "files": files}


def _with_figures(made: Leaderboard, *, length: bool) -> dict[str, Any]:
    paper = [_paper_figure(made.board, entry) for entry in made.board.about.entries("bars")]
    return _as_table(made) | {
        "paper": [figure for figure in paper if figure],
        "direction": [_dots(made, metric) for metric in _DIRECTION],
        "length": [_dots(made, metric) for metric in _LENGTH if length],
    }


def _paper_figure(board: Board, entry: Mapping[str, Any]) -> Figure | None:
    """Returns a figure of the paper from our numbers: its estimators, labels and order; None without any."""
    table = board.table[board.table["series"] == board.main]
    labels, columns = [], []
    for bar in entry["estimators"]:
        rows = published.matching(table, bar["estimator"], bar["params"])
        if not rows.empty:
            labels.append(bar["label"])
            columns.append((bar, rows.drop_duplicates("metric").set_index("metric")))
    if not columns:
        return None

    def values(metric: str, column: str) -> list[float]:
        return [float(rows[column].get(metric, math.nan)) for _, rows in columns]

    many = board.seeds > 1
    unknown = [math.nan] * len(columns)
    groups = [
        figures.Bars(
            metric,
            values(metric, "value"),
            values(metric, "spread") if many else [Z95 * error for error in values(metric, "std_error")],
            values("error_std", "value") if metric == "error" else unknown,
            [_plotted(board, bar, metric, entry["origin"]) for bar, _ in columns],
        )
        for metric in entry["metrics"]
    ]
    metrics = " and ".join(entry["metrics"])
    thick = "the standard deviation over the seeds, as in the paper" if many else "the 95 % interval of sampled values"
    caption = (
        f"{metrics.capitalize()} of the paper's estimators, computed by {board.main} over {board.seeds} "
        f"seed{'s' if many else ''}. Bars: thick error bars are {thick}"
        + ("; thin ones the standard deviation over single estimates" if "error" in entry["metrics"] else "")
        + ("; the two axes differ." if len(groups) > 1 else "; 1 is no better than a random direction.")
    )
    slug = f"{board.slug}-paper-{'-'.join(entry['metrics'])}"
    return figures.bars(slug, f"{entry['title']}: {metrics}", caption, labels, groups, entry["origin"])


def _plotted(board: Board, bar: Mapping[str, Any], metric: str, origin: str) -> float:
    """Returns the value that was read off the original figure, NaN where there is none."""
    wanted = {"estimator": bar["estimator"], "params": bar["params"], "metric": metric, "origin": origin}
    wanted["objective"] = board.objective
    numbers = (number for number in board.about.entries("number") if wanted.items() <= number.items())
    return float(next((number["value"] for number in numbers), math.nan))


def _dots(made: Leaderboard, name: str) -> Figure:
    """Returns the figure of a metric: every estimator and series, and the reason where there is no value."""
    board, metric = made.board, BY_NAME[name]
    blank = {
        line.label: next((note for note in line.notes if "failed" in note), "undefined")
        for line in made.lines
        if name not in line.entries or line.entries[name].order == math.inf
    }
    seeds = f"mean over {board.seeds} seeds" if board.seeds > 1 else "one seed"
    caption = f"{metric.meaning}; {seeds}, intervals from sampling alone. {_ADVICE.get(name, _BEST_ON_TOP)}"
    return figures.dots(
        f"{board.slug}-{name.replace('_', '-')}",
        f"{_capital(metric.heading)} of every estimator",
        _capital(caption),
        _of(board.table, name),
        board.series,
        axis=metric.heading,
        floor=_of(board.table, "bias_floor") if name == "bias" else None,
        blank=blank,
    )


def _of(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    return table[table["metric"] == metric]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
