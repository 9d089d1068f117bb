"""The page: one HTML file, in the order in which a reader asks."""

from __future__ import annotations

import gzip
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from . import backends, changes, curves, listing, published, scaling, tables, units
from .load import TARGET, Results, select, series_of
from .printing import data_link
from .sections import EXPERIMENTS, boards, section

_LAWS = {
    "relaxed": ", which evaluates the objective between the subsets",
    "plackett_luce": ", which samples another law than the target's (Plackett–Luce)",
    "perturb_and_map": ", which samples another law than the target's (perturb and MAP)",
    "map": ", which only sees the most probable subset",
}


def build(results: Results, history: pd.DataFrame | None = None, source: str = "") -> str:
    """Returns the page as HTML; the same results give the same bytes.

    Args:
      results: a store, as `load.read` returns it.
      history: asv's results, as `changes.section` takes them, and `source`, where they were read.
    """
    rows = results.rows
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"breakable": _breakable, "short": curves.short, "order": _order, "times": units.ratio}
    comparison = published.compare(rows)
    pairs = backends.compare(rows)
    sections = [section(name, rows) for name in EXPERIMENTS]
    others = sorted(set(rows["experiment"]) - set(EXPERIMENTS))
    cells = rows.groupby("status")["cell"].nunique()
    failed = int(cells.get("failed", 0))
    timed = results.timings.loc[results.timings["status"] == "ok", "cell"].nunique()
    estimators = len({*rows["estimator"], *results.timings["estimator"]})
    series = [*series_of(rows), *series_of(results.timings)]
    counts = [f"{cells.get('ok', 0)} cells ok, {failed} failed"] if len(rows) else []
    counts += [f"{timed} {'more' if counts else 'cells'} timed"] if len(results.timings) else []
    cost = scaling.section(results)
    changed = None if history is None else changes.section(history, source)
    context = {
        "sections": sections,
        "others": [{"name": name, "boards": boards(rows, name)} for name in others],
        "metrics": tables.METRICS,
        "scaling": cost,
        "history": changed,
        "headlines": [*_headlines(sections, comparison, pairs), *(cost["headlines"] if cost else [])]
        + (changes.headline(changed) if changed else []),
        "counts": [*counts, f"{estimators} estimators", ", ".join(dict.fromkeys(series))],
        "failed": failed,
        "set_aside": rows.loc[rows["status"] == "ok", "cell"].nunique() - select(rows)["cell"].nunique(),
        "published": _published(comparison),
        "backends": {"rows": pairs.to_dict("records"), "verdict": backends.verdict(pairs)},
        "failures": listing.failures(rows).to_dict("records"),
        "runs": results.runs,
        "store": results.store,
        "table_code": listing.table_code(),
        "all_rows": _listed(rows, "rows"),
        "all_timings": _listed(results.timings, "timings", "exact") if len(results.timings) else None,
        "comparison_file": _compressed(comparison.drop(columns="index")),
    }
    return environment.get_template("page.html.j2").render(context)


def _breakable(text: str) -> Markup:
    """Returns a name that a narrow column may break after its punctuation."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.:=])", text))


def _order(value: float | None) -> float:
    """Returns a number to sort a cell by: what is unknown comes last, and script.js subtracts, so it is finite."""
    return value if value is not None and math.isfinite(value) else 1e300


def _listed(rows: pd.DataFrame, name: str, *hidden: str) -> dict[str, Any]:
    """Returns rows to search, but for columns that say nothing (a clock is never exact), and to download, in full."""
    shown = rows.drop(columns=list(hidden))
    return {
        "count": len(rows),
        "constants": listing.constants(shown),
        "browser": listing.browser(shown, name),
        "file": _compressed(rows.drop(columns=["label", "series", "plug_in"])),
    }


def _compressed(table: pd.DataFrame) -> str:
    text = str(table.to_csv(index=False, lineterminator="\n"))
    return data_link("application/gzip", gzip.compress(text.encode(), mtime=0))


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
    return [*found, *([backends.verdict(pairs)] if len(pairs) else [])]


def _least(best: list[tables.Line]) -> str:
    """Returns the least bias in words; exact values say it best."""
    exact = [line.entries["bias"].text for line in best if line.entries["bias"].exact]
    return (exact or [best[0].entries["bias"].text])[0]


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
