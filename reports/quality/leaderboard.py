"""The leaderboard of a problem, and its Markdown, LaTeX and CSV forms."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from benchmarks.results import agreement

from ..data import METHOD, PROBLEM
from ..form import numbers
from ..form.text_tables import as_text, bold
from .board import Board

NO_COLUMN = ("bias_raw", "bias_floor", "error_std")  # shown in figures and in comparisons only


@dataclass(frozen=True)
class Metric:
    """A column: the row's metric, its heading, what it means in a line, and whether more of it is better."""

    name: str
    heading: str
    meaning: str
    more_is_better: bool = False


METRICS = (
    Metric("bias", "bias", "1 − cos(∇, E ĝ), debiased: how far the mean of the estimate points off the true gradient"),
    Metric("variance", "variance", "Var cos(ĝ, E ĝ): how much the direction of single estimates scatters"),
    Metric("error", "error", "E[1 − cos(∇, ĝ)]: how far one estimate points off, bias and scatter together"),
    Metric("relative_bias", "relative bias", "‖E ĝ − ∇‖ / ‖∇‖, debiased: length counts as well as direction"),
    Metric("total_variance", "total variance", "tr Cov ĝ"),
    Metric("relative_mse", "relative MSE", "E‖ĝ − ∇‖² / ‖∇‖²"),
    Metric("zero_probability", "P(ĝ = 0)", "how often an estimate is no gradient at all"),
    Metric("descent_probability", "P(descent)", "how often a step along −ĝ goes downhill", more_is_better=True),
)
BY_NAME = {metric.name: metric for metric in METRICS}


@dataclass(frozen=True)
class Entry:
    """One value of the leaderboard as printed; `order` sorts it, and `spread` is its standard deviation over seeds."""

    text: str
    exact: bool
    order: float
    spread: str = ""
    best: bool = False
    worst: bool = False


@dataclass(frozen=True)
class Line:
    """One method of the leaderboard.

    Attributes:
      label, params, law, plug_in: of the method.
      samples: S; `budget` is S in words, times the estimator's own parameter `samples` if it has one.
      series, seeds: the backend that the values are from, and the number of seeds behind them.
      reference: whether it is the exact gradient, which is not ranked.
      entries: by metric.
      notes: warnings.
    """

    label: str
    params: str
    law: str
    samples: int
    budget: str
    seeds: int
    series: str
    plug_in: bool
    reference: bool
    entries: dict[str, Entry]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """The methods of one problem: least error first, and methods without a value last."""

    board: Board
    columns: tuple[Metric, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class _Values:
    """A method's facts for its line, and its row of means by metric."""

    facts: dict[str, Any]
    rows: Mapping[str, pd.Series[Any]]


def columns_of(rows: pd.DataFrame) -> tuple[Metric, ...]:
    """Returns the leaderboard's columns: the metrics of `METRICS` that the rows have, then their other metrics."""
    present = set(rows["metric"]) - {"", *NO_COLUMN}
    others = sorted(present - set(BY_NAME))
    return (
        *(metric for metric in METRICS if metric.name in present),
        *(Metric(name, name.replace("_", " "), "") for name in others),
    ) or METRICS


def leaderboard(board: Board) -> Leaderboard:
    """Returns the leaderboard of a problem.

    The values of a method come from one series: the one that covers most methods, or else the first that has it.
    """
    order = board.series or tuple(sorted(board.rows["series"].unique()))
    methods = []
    for _, group in board.rows.groupby(METHOD, sort=True):
        means = board.table[board.table["label"] == group["label"].iloc[0]]
        series = next((name for name in order if (means["series"] == name).any()), group["series"].iloc[0])
        values = {row["metric"]: row for _, row in means[means["series"] == series].iterrows()}
        first = group.iloc[0]
        facts: dict[str, Any] = {name: first[name] for name in ("label", "params", "law", "samples", "plug_in")}
        inner = json.loads(first["params"]).get("samples")
        facts["budget"] = str(first["samples"]) if inner is None else f"{first['samples']} × {inner}"
        facts["series"] = series
        facts["seeds"] = max((int(row["seeds"]) for row in values.values()), default=0)
        facts["reference"] = first["estimator"] in board.references
        facts["notes"] = _notes(values, group, facts["seeds"], board.seeds)
        methods.append(_Values(facts, values))
    columns = columns_of(board.rows)
    entries = {metric.name: _column(metric, methods) for metric in columns}
    lines = [
        Line(entries={name: column[index] for name, column in entries.items()}, **method.facts)
        for index, method in enumerate(methods)
    ]
    by = [name for name in ("error", "bias") if name in entries] or list(entries)[:1]
    lines.sort(key=lambda line: (*(line.entries[name].order for name in by), line.label))
    return Leaderboard(board, columns, tuple(lines))


def _column(metric: Metric, methods: Sequence[_Values]) -> list[Entry]:
    """Returns a metric's entries. Every value that agrees with the best is marked, unless most values do."""
    sign = -1.0 if metric.more_is_better else 1.0
    rows = [method.rows.get(metric.name) for method in methods]
    ranked = [
        (index, sign * float(row["value"]), numbers.or_zero(row["std_error"]))
        for index, row in enumerate(rows)
        if row is not None and row["defined"] and not methods[index].facts["reference"]
    ]
    best: set[int] = set()
    worst: set[int] = set()
    if len(ranked) > 2:
        close = agreement.near_least(ranked, agreement.EXACT_DOUBLE)
        best = close if 2 * len(close) <= len(ranked) else set()
        far = agreement.near_least([(index, -value, error) for index, value, error in ranked], agreement.EXACT_DOUBLE)
        worst = far if len(far) == 1 else set()
    entries = []
    for index, row in enumerate(rows):
        if row is None or not row["defined"]:
            entries.append(Entry(numbers.MISSING if row is None else "undefined", False, math.inf))
            continue
        text = numbers.estimate(row["value"], row["std_error"], exact=bool(row["exact"]))
        spread = "" if row["spread"] != row["spread"] else numbers.rounded(row["spread"], 3)
        order = sign * float(row["value"])
        entries.append(Entry(text, bool(row["exact"]), order, spread, index in best, index in worst))
    return entries


def _notes(values: Mapping[str, Any], group: pd.DataFrame, seeds: int, most_seeds: int) -> tuple[str, ...]:
    """Returns warnings about a method: missing cells, and thresholds that its numbers exceed."""
    notes = []
    failed = group.loc[group["status"] == "failed", "cell"].nunique()
    if failed:
        notes.append(f"{failed} of {group['cell'].nunique()} cells failed")
    if 0 < seeds < most_seeds:
        notes.append(f"only {seeds} of {most_seeds} seeds")

    def above(metric: str, threshold: float) -> bool:
        row = values.get(metric)
        if row is None or not row["defined"]:
            return False
        return agreement.clearly_above(row["value"], threshold, numbers.or_zero(row["std_error"]))

    if above("bias", 1.0):
        notes.append("its mean points uphill")
    down, zero = values.get("descent_probability"), values.get("zero_probability")
    if down is not None and zero is not None and down["defined"] and zero["defined"]:
        uphill = 1 - down["value"] - zero["value"]
        error = math.hypot(2 * numbers.or_zero(down["std_error"]), numbers.or_zero(zero["std_error"]))
        if agreement.clearly_above(uphill, down["value"], error):
            notes.append("more steps go uphill than down")
    if above("zero_probability", 0.1):
        notes.append("often no gradient at all")
    gaps = [row for row in values.values() if row["defined"] < row["seeds"]]
    if gaps:
        notes.append(f"undefined at some seeds: {', '.join(sorted(row['metric'] for row in gaps))}")
    return tuple(notes)


def printed(leaderboards: Sequence[Leaderboard], style: str) -> str:
    """Returns leaderboards as `markdown`, `latex` or `csv` (a line for each method and series, with all digits)."""
    if style == "csv":
        return str(_wide(leaderboards).to_csv(index=False, lineterminator="\n"))
    parts = []
    for each in leaderboards:
        cells = []
        for line in each.lines:
            marked = [bold(entry.text) if entry.best else entry.text for entry in line.entries.values()]
            cells.append([line.label, *marked, line.law, line.budget, str(line.seeds)])
        headings = ["estimator", *(metric.heading for metric in each.columns), "law", "S", "seeds"]
        parts.append(as_text(each.board.name, headings, cells, style))
    return "\n".join(parts)


def _wide(leaderboards: Sequence[Leaderboard]) -> pd.DataFrame:
    """Returns each metric's mean, spread, standard error and exactness, a row for each problem, method and series."""
    table = pd.concat([each.board.table for each in leaderboards], ignore_index=True)
    keys = ["experiment", *PROBLEM, *METHOD, "law", "series", "replicates", "seeds"]
    parts = {"value": "", "spread": "_spread", "std_error": "_std_error", "exact": "_exact"}
    pivot = pd.DataFrame(table.set_index([*keys, "metric"])[list(parts)].unstack("metric"))
    names = list(BY_NAME)
    metrics = sorted(table["metric"].unique(), key=lambda name: (names.index(name) if name in names else 99, name))
    columns = [(part, metric) for metric in metrics for part in parts if (part, metric) in pivot.columns]
    pivot = pivot[columns]
    pivot.columns = pd.Index([f"{metric}{parts[part]}" for part, metric in columns])
    return pivot.reset_index()
