"""Tables: the leaderboard, and its Markdown, LaTeX and CSV forms."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd

from .load import METHOD, PROBLEM, problems, series_of, summarise
from .printing import as_text, bold

REFERENCE = "exact_enum"  # the exact gradient itself: shown, never "best"
# Two exact values that differ by less, relative to the larger of them and 1, are the same value. A spread that is zero
# comes out as the root of a rounding error, 1e-8, on one backend and as 0 on the other.
NEARLY = 1e-7
_Name = TypeVar("_Name", bound=Hashable)
_BESIDE = ("bias_raw", "bias_floor", "error_std")  # quoted with other metrics, no columns of their own


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


@dataclass(frozen=True)
class Entry:
    """One value of the leaderboard, ready to print; `order` sorts it, `spread` is over seeds."""

    text: str
    exact: bool
    order: float
    spread: str = ""
    best: bool = False
    worst: bool = False


@dataclass(frozen=True)
class Line:
    """One method of the leaderboard: `entries` by metric, `notes` what a reader should be warned of.

    `budget` says how many samples one estimate takes: S, and beside it the estimator's own parameter of that name.
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


def show(value: float | None, std_error: float | None, exact: bool) -> str:
    """Returns a value with the digits it has: an exact one to four, a sampled one to two of its standard error."""
    if value is None or value != value:
        return "–"
    if abs(value) < 5e-13:
        value = 0.0
    if exact:
        return f"{value:.4g}"
    if std_error is None or std_error != std_error:
        return f"{value:.4g} ± ?"
    if std_error < 5e-13:
        return f"{value:.4g} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(std_error)))
    before = math.floor(math.log10(abs(value))) + 1 if value else 0
    if before + decimals > 5:
        decimals = max(0, decimals - 1)  # one digit of the error will do
    if decimals > 7:
        return f"{value:.4g} ± {std_error:.1g}"
    text = f"{value:.{decimals}f}"
    return f"{text.removeprefix('-') if float(text) == 0 else text} ± {std_error:.{decimals}f}"


def show_sampled(value: float, std_error: float) -> str:
    """Returns a value as `show` does, exact where its standard error is 0."""
    return show(value, std_error, std_error == 0)


def columns_of(rows: pd.DataFrame) -> tuple[Metric, ...]:
    """Returns the leaderboard's columns: the known metrics that the rows have, then whatever others they have."""
    present = set(rows["metric"]) - {"", *_BESIDE}
    known = tuple(metric for metric in METRICS if metric.name in present)
    names = {metric.name for metric in known}
    others = sorted(present - names)
    return (*known, *(Metric(name, name.replace("_", " "), "") for name in others)) or METRICS


def leaderboard(rows: pd.DataFrame) -> list[Line]:
    """Returns the methods of one problem's rows, least error first, those without a value last.

    A method's values come from one series, the one that covers most methods (the first that has it, otherwise).
    """
    table = summarise(rows)
    order = series_of(rows) or sorted(rows["series"].unique())
    most_seeds = rows["seed"].nunique()
    found: list[tuple[dict[str, Any], dict[str, pd.Series[Any]], tuple[str, ...]]] = []
    for _, group in rows.groupby(METHOD, sort=True):
        own = table[table["label"] == group["label"].iloc[0]]
        series = next((name for name in order if (own["series"] == name).any()), group["series"].iloc[0])
        values = {row["metric"]: row for _, row in own[own["series"] == series].iterrows()}
        seeds = max((int(row["seeds"]) for row in values.values()), default=0)
        first = group.iloc[0]
        about = {name: first[name] for name in ("label", "params", "law", "samples", "plug_in")}
        inner = json.loads(first["params"]).get("samples")
        about["budget"] = str(first["samples"]) if inner is None else f"{first['samples']} × {inner}"
        about |= {"series": series, "seeds": seeds, "reference": first["estimator"] == REFERENCE}
        found.append((about, values, _notes(values, group, seeds, most_seeds)))
    columns = {metric.name: _column(metric, found) for metric in columns_of(rows)}
    lines = [
        Line(entries={name: column[place] for name, column in columns.items()}, notes=notes, **about)
        for place, (about, _, notes) in enumerate(found)
    ]
    by = [name for name in ("error", "bias") if name in columns] or list(columns)[:1]
    return sorted(lines, key=lambda line: (*(line.entries[name].order for name in by), line.label))


def _column(metric: Metric, found: Sequence[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]]) -> list[Entry]:
    """Returns a metric's entries; best is whatever sampling cannot tell from the best, unless that is most of them."""
    sign = -1.0 if metric.more_is_better else 1.0
    rows = [values.get(metric.name) for _, values, _ in found]
    known = [
        (place, sign * float(row["value"]), _known(row["std_error"]))
        for place, row in enumerate(rows)
        if row is not None and row["defined"] and not found[place][0]["reference"]
    ]
    best: set[int] = set()
    worst: set[int] = set()
    if len(known) > 2:
        close = near_least(known, NEARLY)
        best = close if 2 * len(close) <= len(known) else set()
        far = near_least(((place, -value, error) for place, value, error in known), NEARLY)
        worst = far if len(far) == 1 else set()
    entries = []
    for place, row in enumerate(rows):
        if row is None or not row["defined"]:
            entries.append(Entry("–" if row is None else "undefined", False, math.inf))
            continue
        text = show(row["value"], row["std_error"], bool(row["exact"]))
        spread = "" if row["spread"] != row["spread"] else f"{row['spread']:.3g}"
        order = sign * float(row["value"])
        entries.append(Entry(text, bool(row["exact"]), order, spread, place in best, place in worst))
    return entries


def near_least(known: Iterable[tuple[_Name, float, float]], rounding: float = 0.0) -> set[_Name]:
    """Returns of names, values and their errors the names that two errors, or rounding, cannot tell from the least."""
    known = list(known)
    _, low, low_error = min(known, key=lambda item: item[1])
    return {name for name, value, error in known if value - low <= 2 * math.hypot(error, low_error) + rounding}


def _known(std_error: float) -> float:
    return 0.0 if std_error != std_error else float(std_error)


def _notes(values: dict[str, Any], group: pd.DataFrame, seeds: int, most_seeds: int) -> tuple[str, ...]:
    """Returns what a reader should be warned of; thresholds on the numbers, whoever's numbers they are."""
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
        return bool(row["value"] - threshold > 3 * _known(row["std_error"]))

    if above("bias", 1.0):
        notes.append("its mean points uphill")
    down, zero = values.get("descent_probability"), values.get("zero_probability")
    if down is not None and zero is not None and down["defined"] and zero["defined"]:
        uphill = 1 - down["value"] - zero["value"]
        if uphill - down["value"] > 3 * math.hypot(2 * _known(down["std_error"]), _known(zero["std_error"])):
            notes.append("more steps go uphill than down")
    if above("zero_probability", 0.1):
        notes.append("often no gradient at all")
    gaps = [row for row in values.values() if row["defined"] < row["seeds"]]
    if gaps:
        names = ", ".join(sorted(row["metric"] for row in gaps))
        notes.append(f"undefined at some seeds: {names}")
    return tuple(notes)


def printed(rows: pd.DataFrame, style: str) -> str:
    """Returns an experiment's leaderboard as `markdown`, `latex` or `csv` (one line a method and series, in full)."""
    if style == "csv":
        return str(wide(rows).to_csv(index=False, lineterminator="\n"))
    parts = []
    for name, group in problems(rows, str(rows["experiment"].iloc[0])):
        cells = []
        for line in leaderboard(group):
            marked = [bold(entry.text) if entry.best else entry.text for entry in line.entries.values()]
            cells.append([line.label, *marked, line.law, line.budget, str(line.seeds)])
        headings = ["estimator", *(metric.heading for metric in columns_of(group)), "law", "S", "seeds"]
        parts.append(as_text(name, headings, cells, style))
    return "\n".join(parts)


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per problem, method and series, with each metric's mean, spread, standard error and exactness."""
    table = summarise(rows)
    keys = ["experiment", *PROBLEM, *METHOD, "law", "series", "replicates", "seeds"]
    parts = {"value": "", "spread": "_spread", "std_error": "_std_error", "exact": "_exact"}
    pivot = pd.DataFrame(table.set_index([*keys, "metric"])[list(parts)].unstack("metric"))
    names = [metric.name for metric in METRICS]
    metrics = sorted(table["metric"].unique(), key=lambda name: (names.index(name) if name in names else 99, name))
    columns = [(part, metric) for metric in metrics for part in parts if (part, metric) in pivot.columns]
    pivot = pivot[columns]
    pivot.columns = pd.Index([f"{metric}{parts[part]}" for part, metric in columns])
    return pivot.reset_index()
