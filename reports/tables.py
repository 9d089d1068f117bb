"""Tables: the leaderboard and its Markdown, LaTeX and CSV forms, torch against jax, failures, and all rows."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist
from typing import Any

import pandas as pd
from itables import options, to_html_datatable
from itables.javascript import generate_init_offline_itables_html
from tabulate import tabulate

from .load import METHOD, PROBLEM, TARGET, problems, select, series_of, summarise

REFERENCE = "exact_enum"  # the exact gradient itself: shown, never "best"
NEARLY = 1e-9  # two exact values that differ by less, relative to the larger of them and 1, are the same value
_SINGLE = 1e-4  # the same in single precision
_LATEX = {"⟦": r"\textbf{", "⟧": "}", "±": r"$\pm$", "P(ĝ = 0)": r"$P(\hat g=0)$", "–": "--", "×": r"$\times$"}
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
        (place, sign * float(row["value"]), 0.0 if row["std_error"] != row["std_error"] else float(row["std_error"]))
        for place, row in enumerate(rows)
        if row is not None and row["defined"] and not found[place][0]["reference"]
    ]
    best: set[int] = set()
    worst: set[int] = set()
    if len(known) > 2:
        _, low, low_error = min(known, key=lambda item: item[1])
        close = {place for place, value, error in known if value - low <= 2 * math.hypot(error, low_error) + NEARLY}
        best = close if 2 * len(close) <= len(known) else set()
        _, high, high_error = max(known, key=lambda item: item[1])
        far = {place for place, value, error in known if high - value <= 2 * math.hypot(error, high_error) + NEARLY}
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


def _notes(values: dict[str, Any], group: pd.DataFrame, seeds: int, most_seeds: int) -> tuple[str, ...]:
    """Returns what a reader should be warned of; thresholds on the numbers, whoever's numbers they are."""
    notes = []
    failed = group.loc[group["status"] == "failed", "cell"].nunique()
    if failed:
        notes.append(f"{failed} of {group['cell'].nunique()} cells failed")
    if 0 < seeds < most_seeds:
        notes.append(f"only {seeds} of {most_seeds} seeds")

    def surely(metric: str, sign: int, threshold: float) -> bool:
        row = values.get(metric)
        if row is None or not row["defined"]:
            return False
        error = 0.0 if row["std_error"] != row["std_error"] else row["std_error"]
        return bool(sign * (row["value"] - threshold) > 3 * error)

    if surely("bias", 1, 1.0):
        notes.append("its mean points uphill")
    if surely("descent_probability", -1, 0.5):
        notes.append("more steps go uphill than down")
    if surely("zero_probability", 1, 0.1):
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
            texts = list(line.entries.values())
            left, right = ("**", "**") if style == "markdown" else "⟦⟧"
            marked = [f"{left}{entry.text}{right}" if entry.best else entry.text for entry in texts]
            cells.append([line.label, *marked, line.law, line.budget, line.seeds])
        headings = ["estimator", *(metric.heading for metric in columns_of(group)), "law", "S", "seeds"]
        format_ = {"markdown": "github", "latex": "latex_booktabs"}[style]
        text = tabulate(cells, headings, tablefmt=format_, disable_numparse=True)
        for mark, meant in _LATEX.items() if style == "latex" else ():
            text = text.replace(mark, meant)
        title = {"markdown": f"**{name}**\n\n", "latex": f"% {name}\n"}[style]
        parts.append((title if name else "") + text + "\n")
    return "\n".join(parts)


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per problem, method and series, with each metric's mean, spread, standard error and exactness."""
    table = summarise(rows)
    keys = ["experiment", *PROBLEM, *METHOD, "law", "series", "replicates", "seeds"]
    parts = {"value": "", "spread": "_spread", "std_error": "_std_error", "exact": "_exact"}
    pivot = table.set_index([*keys, "metric"])[list(parts)].unstack("metric")
    names = [metric.name for metric in METRICS]
    metrics = sorted(table["metric"].unique(), key=lambda name: (names.index(name) if name in names else 99, name))
    columns = [(part, metric) for metric in metrics for part in parts if (part, metric) in pivot.columns]
    pivot = pivot[columns]
    pivot.columns = pd.Index([f"{metric}{parts[part]}" for part, metric in columns])
    return pivot.reset_index()


def backends(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns, per experiment and method, how far the series lie apart at most, over seeds and metrics.

    Columns: `sampled` (pairs compared), `z` (largest difference in combined standard errors) and where; `exact`
    (pairs), `difference` (largest, relative to the value where that exceeds 1) and where; `agree`.
    """
    chosen = select(rows)
    chosen = chosen[(chosen["target"] == TARGET) & chosen["value"].notna() & chosen["std_error"].notna()]
    chosen = chosen[chosen["metric"] != "bias_floor"]  # follows from the others, and has no standard error of its own
    keys = ["experiment", "label", *PROBLEM, "params", "samples", "seed", "metric"]
    parts = []
    for a, b in combinations(series_of(rows), 2):
        columns = [*keys, "value", "std_error", "exact", "dtype"]
        pair = chosen.loc[chosen["series"] == a, columns].merge(
            chosen.loc[chosen["series"] == b, columns], on=keys, suffixes=("", "_b")
        )
        parts.append(pair.assign(pair=f"{a}, {b}"))
    if not parts:
        return pd.DataFrame()
    both = pd.concat(parts, ignore_index=True)
    gap = (both["value"] - both["value_b"]).abs()
    error = (both["std_error"] ** 2 + both["std_error_b"] ** 2) ** 0.5
    scale = both[["value", "value_b"]].abs().max(axis=1).clip(lower=1)
    both["finite"] = finite = both["exact"] & both["exact_b"]
    both["z"] = (gap / error.where(error > 0)).fillna((gap > NEARLY * scale).map({True: math.inf, False: 0.0}))
    both["difference"] = gap / scale
    allowed = (both[["dtype", "dtype_b"]] == "float64").all(axis=1).map({True: NEARLY, False: _SINGLE})
    both["ok"] = (both["difference"] <= allowed).where(finite, both["z"] <= bound(int((~finite).sum())))
    found = []
    for (experiment, label), group in both.groupby(["experiment", "label"], sort=True):
        exact, sampled = group[group["finite"]], group[~group["finite"]]
        line: dict[str, Any] = {"experiment": experiment, "label": label}
        line |= {"sampled": len(sampled), "exact": len(exact), "agree": bool(group["ok"].all())}
        for part, name in ((sampled, "z"), (exact, "difference")):
            place = part[name].idxmax() if len(part) else None
            line[name] = float("nan") if place is None else float(part[name][place])
            line[f"{name}_where"] = "" if not line[name] > 0 else f"{part['metric'][place]}, seed {part['seed'][place]}"
        found.append(line)
    return pd.DataFrame(found).sort_values(["agree", "experiment", "label"], ignore_index=True)


def bound(comparisons: int) -> float:
    """Returns the z that the largest of so many independent comparisons exceeds once in a thousand times by chance."""
    return NormalDist().inv_cdf(1 - 0.001 / (2 * max(comparisons, 1)))


def failures(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the failed cells, one a line, with the reason."""
    columns = ["experiment", "label", "params", *PROBLEM, "seed", "samples", "replicates", "series", "dtype", "reason"]
    return rows.loc[rows["status"] == "failed", columns].reset_index(drop=True)


def constants(rows: pd.DataFrame) -> dict[str, str]:
    """Returns the columns that are the same in every row, with their value: said once, above the table."""
    names = ["target", *PROBLEM, "replicates", "device", "dtype", "status", "reason"]
    return {name: str(rows[name].iloc[0]) for name in names if rows[name].nunique(dropna=False) == 1}


def browser(rows: pd.DataFrame) -> str:
    """Returns all rows as a searchable, sortable table that needs JavaScript but no network."""
    hidden = ["label", "series", "plug_in", "cell", "run", *constants(rows)]
    table = rows.drop(columns=hidden, errors="ignore").assign(
        value=[_rounded(value) for value in rows["value"]],
        std_error=[_rounded(value) for value in rows["std_error"]],
        exact=rows["exact"].map({True: "exact", False: "sampled"}),
        params=rows["params"].replace("{}", ""),
    )
    # Categories are written once and numbered in the rows: a third of the bytes.
    words = [name for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])]
    table = table.astype(dict.fromkeys(words, "category"))
    text = to_html_datatable(
        table,
        connected=False,
        table_id="all-rows",
        maxBytes=0,
        maxColumns=0,
        showIndex=False,
        classes="display compact nowrap",
        style="width:100%",
        column_filters="footer",
        pageLength=15,
        lengthMenu=[15, 50, 200],
        layout={
            "topStart": "buttons",
            "topEnd": "search",
            "bottomStart": ["info", "pageLength"],
            "bottomEnd": "paging",
        },
        buttons=["copyHtml5", {"extend": "csvHtml5", "filename": "subsetgrad-rows"}, "colvis"],
        display_logo_when_loading=False,
        text_in_header_can_be_selected=False,
        format_floats_in_python=False,
        warn_on_unexpected_types=False,
    )
    # The library's own code, once; then the table, without the links to its web site.
    text = generate_init_offline_itables_html(options.dt_bundle) + text
    return re.sub(
        r"<noscript>.*?</noscript>|<sup><a href=https?:[^>]*>.*?</a></sup>|<a href=https?:[^>]*>|</a>",
        "",
        text,
        flags=re.DOTALL,
    )


def _rounded(value: float) -> float | None:
    return None if value != value else float(f"{value:.6g}")
