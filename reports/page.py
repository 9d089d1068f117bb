"""The page: one HTML file, in the order in which a reader asks."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .cost import curves
from .cost import section as cost_section
from .data import PROBLEM, Results, series_of
from .form import numbers, row_browser, units
from .form.svg import Figure
from .history import section as history_section
from .quality import backends, board, findings, leaderboard, published
from .quality import section as quality_section

_FAILURE = ["experiment", "label", "params", *PROBLEM, "seed", "samples", "series", "reason"]


def build(results: Results, asv: pd.DataFrame | None = None, source: str = "") -> str:
    """Returns the page as HTML; the same results give the same bytes.

    Args:
      results: a store, as `data.read` returns it.
      asv: asv's results, as `history.asv.read` returns them.
      source: where these were read.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"breakable": _breakable, "short": curves.short, "order": _order, "times": units.ratio}
    environment.filters["rounded"] = numbers.rounded
    return environment.get_template("page.html.j2").render(_context(results, asv, source))


def figures(results: Results) -> dict[str, Figure]:
    """Returns the figures of the page by their names in files."""
    made = [leaderboard.leaderboard(each) for each in board.boards(results)]
    sections = quality_section.sections(list(results.experiments.values()), made)
    cost = cost_section.section(results, [each.board for each in made])
    drawn = [*quality_section.figures_of(sections), *(cost_section.figures_of(cost) if cost else [])]
    return {figure.slug: figure for figure in drawn}


def _context(results: Results, asv: pd.DataFrame | None, source: str) -> dict[str, Any]:
    """Returns the values that the template shows."""
    rows, timings = results.rows, results.timings
    boards = board.boards(results)
    made = [leaderboard.leaderboard(each) for each in boards]
    sections = quality_section.sections(list(results.experiments.values()), made)
    pairs = backends.compare(boards)
    quoted = results.entries("number")
    selected = pd.concat([each.selected for each in boards]) if boards else rows
    comparison = published.compare(selected, quoted)
    compared = published.section(comparison, quoted)
    cost = cost_section.section(results, boards)
    history = None if asv is None else history_section.section(asv, source)
    first = next((each for section in sections for each in made if each.board.about is section["about"]), None)
    cells = rows.groupby("status")["cell"].nunique()
    timed = timings.loc[timings["status"] == "ok", "cell"].nunique()
    counts = [f"{cells.get('ok', 0)} cells ok, {cells.get('failed', 0)} failed"] if len(rows) else []
    counts += [f"{timed} {'more' if counts else 'cells'} timed"] if len(timings) else []
    counts += [f"{len({*rows['estimator'], *timings['estimator']})} estimators"]
    counts += [", ".join(dict.fromkeys([*series_of(rows), *series_of(timings)]))]
    return {
        "sections": sections,
        "others": quality_section.others(made),
        "metrics": leaderboard.METRICS,
        "cost": cost,
        "history": history,
        "headlines": [
            *(findings.headlines(first) if first else []),
            *([published.headline(compared)] if compared and compared["compared"] else []),
            *([backends.verdict(pairs)] if len(pairs) else []),
            *(cost["headlines"] if cost else []),
            *(history_section.headline(history) if history else []),
        ],
        "counts": [text for text in counts if text],
        "failed": int(cells.get("failed", 0)),
        "set_aside": cells.get("ok", 0) - selected["cell"].nunique() if boards else 0,
        "published": compared,
        "comparison_file": row_browser.compressed(comparison.drop(columns=["index", "seeds"], errors="ignore")),
        "backends": {"rows": pairs.to_dict("records"), "verdict": backends.verdict(pairs)},
        "failures": rows.loc[rows["status"] == "failed", _FAILURE].to_dict("records"),
        "runs": results.runs,
        "store": results.store,
        "table_code": row_browser.table_code(),
        "all_rows": row_browser.listed(rows, "rows"),
        "all_timings": row_browser.listed(timings, "timings") if len(timings) else None,
    }


def _breakable(text: str) -> Markup:
    """Returns a name that a narrow column may break after its punctuation."""
    return Markup("<wbr>").join(re.split(r"(?<=[_.:=])", text))


def _order(value: float | None) -> float:
    """Returns a number to sort a cell by. An unknown one comes last, but is finite, since the script subtracts."""
    return value if value is not None and math.isfinite(value) else 1e300
