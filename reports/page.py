"""The page: one HTML file, in the order in which a reader asks."""

from __future__ import annotations

import gzip
import math
import re
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from . import figures, published, tables
from .load import TARGET, Results, problems, select, series_of, summarise

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
_LAWS = {
    "relaxed": ", which evaluates the objective between the subsets",
    "plackett_luce": ", which samples another law than the target's (Plackett–Luce)",
    "perturb_and_map": ", which samples another law than the target's (perturb and MAP)",
    "map": ", which only sees the most probable subset",
}
_BY_NAME = {metric.name: metric for metric in tables.METRICS}


def build(results: Results) -> str:
    """Returns the page as HTML; the same results give the same bytes."""
    rows = results.rows
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["breakable"] = _breakable
    comparison = published.compare(rows)
    pairs = tables.backends(rows)
    sections = [_section(name, rows) for name in EXPERIMENTS]
    others = sorted(set(rows["experiment"]) - set(EXPERIMENTS))
    cells = rows.groupby("status")["cell"].nunique()
    context = {
        "sections": sections,
        "others": [{"name": name, "boards": _boards(rows, name)} for name in others],
        "metrics": tables.METRICS,
        "headlines": _headlines(sections, comparison, pairs),
        "cells": {"ok": int(cells.get("ok", 0)), "failed": int(cells.get("failed", 0))},
        "estimators": rows["estimator"].nunique(),
        "series": series_of(rows),
        "set_aside": rows.loc[rows["status"] == "ok", "cell"].nunique() - select(rows)["cell"].nunique(),
        "published": _published(comparison),
        "backends": {"rows": pairs.to_dict("records"), "verdict": _verdict(pairs)},
        "failures": tables.failures(rows).to_dict("records"),
        "runs": results.runs,
        "store": results.store,
        "constants": tables.constants(rows),
        "row_count": len(rows),
        "browser": Markup(tables.browser(rows)),  # noqa: S704 - itables escapes the cells itself
        "rows_file": _compressed(_csv(rows[_stored(rows)])),
        "comparison_file": _compressed(_csv(comparison.drop(columns="index"))),
    }
    return environment.get_template("page.html.j2").render(context)


def _breakable(text: str) -> Markup:
    """Returns a name that a narrow column may break after its punctuation."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.:=])", text))


def _stored(rows: pd.DataFrame) -> list[str]:
    return [name for name in rows.columns if name not in ("label", "series", "plug_in")]


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def _link(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"


def _compressed(text: str) -> str:
    return _link("application/gzip", gzip.compress(text.encode(), mtime=0))


def _text_link(kind: str, text: str) -> str:
    return _link(f"{kind};charset=utf-8", text.encode())


def _section(name: str, rows: pd.DataFrame) -> dict[str, Any]:
    """Returns what the page says about one of the paper's experiments: figures and a leaderboard per problem."""
    about = EXPERIMENTS[name]
    return {"name": name, **about, "boards": [_with_figures(name, board) for board in _boards(rows, name)]}


def _boards(rows: pd.DataFrame, experiment: str) -> list[dict[str, Any]]:
    """Returns the experiment's leaderboards, one a problem, with the files to download."""
    boards = []
    for turn, (name, group) in enumerate(problems(rows, experiment)):
        first = group.iloc[0]
        boards.append(
            {
                "slug": f"{experiment}-{turn}" if turn else experiment,
                "name": name,
                "problem": f"{first['objective']}, n = {first['n']}, k = {first['k']}",
                "rows": group,
                "seeds": group["seed"].nunique(),
                "replicates": sorted(group["replicates"].unique()),
                "columns": tables.columns_of(group),
                "lines": tables.leaderboard(group),
                "main": next(iter(series_of(group)), ""),
                "files": {
                    "CSV": _text_link("text/csv", tables.printed(group, "csv")),
                    "Markdown": _text_link("text/markdown", tables.printed(group, "markdown")),
                    "LaTeX": _text_link("application/x-tex", tables.printed(group, "latex")),
                },
            }
        )
    return boards


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
) -> figures.Figure | None:
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
        return float(own.at[metric, column]) if metric in own.index else math.nan

    groups = []
    for name in names:
        inner = [
            cell(own, name, "spread") if many else figures.Z95 * cell(own, name, "std_error") for *_, own in chosen
        ]
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


def _dots(board: dict[str, Any], table: pd.DataFrame, name: str) -> figures.Figure:
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


def _headlines(sections: list[dict[str, Any]], comparison: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """Returns the findings, a sentence each, from the first problem that has any."""
    found = []
    board = next((board for section in sections for board in section["boards"]), None)
    lines = [line for line in board["lines"] if not line.reference] if board else []
    lines = [
        line for line in lines if {"error", "bias"} <= set(line.entries) and line.entries["error"].order < math.inf
    ]
    if board and lines:

        def told(line: tables.Line) -> str:
            return f"{line.label} ({line.entries['error'].text})"

        found.append(f"Least error on {board['problem']}: {told(lines[0])}{_LAWS.get(lines[0].law, '')}.")
        sampling = [line for line in lines if line.law == TARGET]
        if sampling and sampling[0] is not lines[0]:
            found.append(f"Least error of those that sample subsets from the target law: {told(sampling[0])}.")
        best = [line for line in lines if line.entries["bias"].best]
        if best:
            names = ", ".join(told(line) for line in best[:6])
            more = f" and {len(best) - 6} more" if len(best) > 6 else ""
            found.append(f"Least bias, {_least(best)}: {names}{more}; in brackets their errors.")
        warned = [line for line in lines if any("uphill" in note for note in line.notes)]
        if warned:
            found.append("Going uphill more than down: " + ", ".join(line.label for line in warned) + ".")
    counted = comparison["agrees"].dropna()
    if len(counted):
        found.append(f"{int(counted.sum())} of {len(counted)} comparisons with published numbers agree.")
    return [*found, *([_verdict(pairs)] if len(pairs) else [])]


def _least(best: list[tables.Line]) -> str:
    """Returns the least bias in words; exact values say it best."""
    exact = [line.entries["bias"].text for line in best if line.entries["bias"].exact]
    return (exact or [best[0].entries["bias"].text])[0]


def _verdict(pairs: pd.DataFrame) -> str:
    """Returns the sentence on how far the backends lie apart."""
    if pairs.empty:
        return "Only one backend is in this store, so there is nothing to compare."
    sampled, exact = int(pairs["sampled"].sum()), int(pairs["exact"].sum())
    parts = []
    if sampled:
        limit = tables.bound(sampled)
        parts.append(
            f"the largest of {sampled:,} sampled differences is {pairs['z'].max():.1f} combined standard errors "
            f"({limit:.1f} would be suspicious)"
        )
    if exact:
        parts.append(f"the largest of {exact:,} exact ones {pairs['difference'].max():.1g}")
    wrong = list(pairs.loc[~pairs["agree"], "label"].unique())
    head = "The backends agree" if not wrong else "The backends disagree on " + ", ".join(wrong)
    return f"{head}: {', '.join(parts)}."


def _published(comparison: pd.DataFrame) -> dict[str, Any]:
    """Returns the comparison as the page shows it: a line per quantity, its published values side by side."""
    series = list(comparison["series"].unique())
    sources = list(dict.fromkeys(number.source for number in published.NUMBERS))
    lines = []
    keys = ["experiment", "objective", "estimator", "variant", "metric", "statistic", "seed"]
    variant = [", ".join(f"{name} {value}" for name, value in params.items()) for params in comparison["params"]]
    for key, group in comparison.assign(variant=variant).groupby(keys, dropna=False, sort=False):
        line: dict[str, Any] = dict(zip(keys, key, strict=True))
        line["seed"] = "" if line["seed"] != line["seed"] else f"{line['seed']:.0f}"
        numbers = [published.NUMBERS[index] for index in group["index"].unique()]
        for origin in ("authors", "sfess", "reference"):
            own = sorted((each for each in numbers if each.origin == origin), key=lambda each: each.std_error)
            line[origin] = [_as_printed(each) for each in own]
        line["ours"] = {}
        for name in series:
            own_rows = group[group["series"] == name]
            ours = own_rows.dropna(subset="ours")
            exact = ours.empty or bool((ours["ours_se"] == 0).all())
            text = "" if ours.empty else tables.show(ours["ours"].iloc[0], ours["ours_se"].iloc[0], exact)
            line["ours"][name] = text
        known = group["agrees"].dropna()
        line["agrees"] = None if known.empty else bool(known.all())
        line["sources"] = sorted({sources.index(each.source) + 1 for each in numbers})
        lines.append(line)
    counted = comparison["agrees"].dropna()
    return {
        "series": series,
        "sources": sources,
        "agree": int(counted.sum()),
        "compared": len(counted),
        "absent": int(comparison["agrees"].isna().sum()),
        "wrong": [line for line in lines if line["agrees"] is False],
        "means": [line for line in lines if line["agrees"] is not None and line["statistic"] != "value"],
        "single": [line for line in lines if line["agrees"] is not None and line["statistic"] == "value"],
        "missing": [line for line in lines if line["agrees"] is None],
    }


def _as_printed(number: published.Number) -> str:
    decimals = max(0, -math.floor(math.log10(number.unit) + 0.01)) if number.kind != "plotted" else 4
    text = f"{number.value:.{decimals}f}"
    if number.kind == "plotted":
        return f"≈ {number.value:g}"
    return f"{text} ± {number.std_error:.1g}" if number.kind == "sampled" else text
