"""The sections about experiments: their problems, figures and leaderboards."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from . import figures, printing, published, tables
from .load import Z95, problems, select, series_of, summarise
from .svg import Figure

# What a section about an experiment of the paper says; an experiment without an entry gets a table only.
EXPERIMENTS: Mapping[str, Mapping[str, Any]] = {
    "figure1": {
        "heading": "Figure 1",
        "what": "n = 10 items, k = 5 chosen, a distance as objective; ten problems, each with its own seed.",
        "paper": (("bias", "variance"), ("error",)),
    },
    "figure3": {
        "heading": "Figure 3",
        "what": "k = 1 of n = 10: one categorical choice, one problem. Here the Gumbel trick samples the same law.",
        "paper": (("bias", "variance"),),
    },
}
_OURS = ("bias", "variance", "error")
_SCALE = ("relative_bias", "total_variance", "relative_mse")
_BY_NAME = {metric.name: metric for metric in tables.METRICS}


def section(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Returns what the page says about one of the paper's experiments: figures and a leaderboard per problem."""
    about = EXPERIMENTS[name]
    return {"name": name, **about, "boards": [_with_figures(name, board) for board in boards(rows, name)]}


def boards(rows: pd.DataFrame, experiment: str) -> list[dict[str, Any]]:
    """Returns the experiment's leaderboards, one a problem, with the files to download."""
    found = []
    for turn, (name, group) in enumerate(problems(rows, experiment)):
        first = group.iloc[0]
        found.append(
            {
                "slug": f"{experiment}-{turn}" if turn else experiment,
                "name": name,
                "problem": f"{first['objective']}, n = {first['n']}, k = {first['k']}",
                "rows": group,
                "seeds": group["seed"].nunique(),
                "replicates": [f"{count:,}" for count in sorted(select(group)["replicates"].unique())],
                "columns": tables.columns_of(group),
                "lines": tables.leaderboard(group),
                "main": next(iter(series_of(group)), ""),
                "files": printing.files(partial(tables.printed, group)),
            }
        )
    return found


def _with_figures(experiment: str, board: dict[str, Any]) -> dict[str, Any]:
    table = summarise(board["rows"])
    paper = [
        figure
        for place, names in enumerate(EXPERIMENTS[experiment]["paper"])
        if (figure := _as_published(experiment, board, table, names, place)) is not None
    ]
    ours = [_dots(board, table, metric) for metric in _OURS]
    # Only one problem gets the second row of figures: a store with many would make a page nobody scrolls.
    scale = [_dots(board, table, metric) for metric in _SCALE] if board["slug"] == "figure1" else []
    return board | {"paper_figures": paper, "our_figures": ours, "scale_figures": scale}


def _as_published(
    experiment: str, board: dict[str, Any], table: pd.DataFrame, names: tuple[str, ...], place: int
) -> Figure | None:
    """Returns the paper's figure from our numbers: its estimators, its labels, its order; None without any of them."""
    table = table[table["series"] == board["main"]]
    labels, chosen = [], []
    for estimator, params, label in published.PAPER_FIGURES[experiment]:
        own = published.matching(table, experiment, estimator, params)
        if not own.empty:
            labels.append(label)
            chosen.append((estimator, params, own.drop_duplicates("metric").set_index("metric")))
    if not chosen:
        return None
    many = board["seeds"] > 1
    objective = board["rows"]["objective"].iloc[0]

    def cell(own: pd.DataFrame, metric: str, column: str) -> float:
        known: dict[str, float] = dict(zip(own.index, own[column].astype(float).tolist(), strict=True))
        return known.get(metric, math.nan)

    groups = []
    for name in names:
        inner = [cell(own, name, "spread") if many else Z95 * cell(own, name, "std_error") for *_, own in chosen]
        outer = [cell(own, "error_std", "value") for *_, own in chosen] if name == "error" else None
        plotted = [_plotted(experiment, estimator, params, name, objective) for estimator, params, _ in chosen]
        values = [cell(own, name, "value") for *_, own in chosen]
        groups.append(figures.Bars(name, values, inner, outer, plotted if any(plotted) else None))
    drawn = "the standard deviation over the seeds, as in the paper" if many else "the 95 % interval of sampled values"
    what = " and ".join(names)
    caption = (
        f"{what.capitalize()} of the paper's estimators, computed by {board['main']} over {board['seeds']} "
        f"seed{'s' if many else ''}. "
        f"Bars: thick error bars are {drawn}"
        + ("; thin ones the standard deviation over single estimates" if "error" in names else "")
        + ("; the two axes differ." if len(names) > 1 else "; 1 is no better than a random direction.")
    )
    number = experiment.removeprefix("figure")
    side = ("left", "right")[place] if len(EXPERIMENTS[experiment]["paper"]) > 1 else ""
    title = f"As in the paper's Figure {number}" + (f", {side}: {what}" if side else f": {what}")
    return figures.bars(f"{board['slug']}-paper-{'-'.join(names)}", title, caption, labels, groups)


def _plotted(experiment: str, estimator: str, params: Mapping[str, Any], metric: str, objective: str) -> float | None:
    """Returns what the authors' figure shows, where somebody has read it off."""
    for number in published.NUMBERS:
        same = (number.experiment, number.estimator, number.metric) == (experiment, estimator, metric)
        if same and number.origin == "authors" and number.params == params and number.objective == objective:
            return number.value
    return None


def _dots(board: dict[str, Any], table: pd.DataFrame, name: str) -> Figure:
    """Returns our figure of a metric: every estimator, every series, those without a value with the reason."""
    metric = _BY_NAME[name]
    blank = {}
    for line in board["lines"]:
        if name not in line.entries or line.entries[name].order == math.inf:
            failed = any("failed" in note for note in line.notes)
            blank[line.label] = next(
                (note for note in line.notes if "failed" in note), "undefined" if not failed else ""
            )
    floor = table[table["metric"] == "bias_floor"] if name == "bias" else None
    reads = {
        "bias": "Left is better; green ticks are the floor, which an unbiased estimator would show too.",
        "relative_bias": "Left is better; an estimator without bias in direction can stand far right by its length.",
    }.get(name, "Left is better, and the best estimator is on top.")
    seeds = f"mean over {board['seeds']} seeds" if board["seeds"] > 1 else "one seed"
    caption = f"{metric.meaning}; {seeds}, intervals from sampling alone. {reads}"
    return figures.dots(
        f"{board['slug']}-{name.replace('_', '-')}",
        f"{metric.heading[0].upper()}{metric.heading[1:]} of every estimator",
        caption[0].upper() + caption[1:],
        table[table["metric"] == name],
        series_of(board["rows"]),
        axis=metric.heading,
        floor=floor,
        blank=blank,
    )
