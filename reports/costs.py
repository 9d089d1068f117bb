"""Tables about cost: every size with its ratios to the baselines, and first calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from tabulate import tabulate

from . import timing, units
from .timing import BASELINES, SIZE

_LATEX = {"⟦": r"\textbf{", "⟧": "}", "±": r"$\pm$", "–": "--", "×": r"$\times$", "µ": r"$\mu$"}

# The columns about first calls, before the last, which counts steps.
_FIRST_CALL = {
    "first call": "first_seconds",
    "tracing": "trace_seconds",
    "compiling": "compile_seconds",
    "one step": "total_seconds",
}
FIRST_CALL_HEADS = (*_FIRST_CALL, "in steps")


@dataclass(frozen=True)
class Cost:
    """One estimator's time in one way, ready to print, and its ratios to the baselines, NaN where there is none."""

    text: str
    detail: str
    order: float
    ratios: tuple[float, ...]
    best: bool


@dataclass(frozen=True)
class Block:
    """Everything timed at one size: `lines` a label and its costs, one per way, None where there is none."""

    batch: int
    n: int
    k: int
    ways: tuple[str, ...]
    baselines: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cost | None, ...]], ...]

    @property
    def name(self) -> str:
        """Returns the size in words."""
        return timing.size_of(self.batch, self.n, self.k)


def blocks(table: pd.DataFrame) -> list[Block]:
    """Returns a block per size, smallest first; in each the estimators fastest first."""
    ways = timing.ways(table)
    totals = table[table["metric"] == "total_seconds"]
    baselines = [label for group in BASELINES if (label := timing.baseline(totals, group))]
    details = _details(table)
    found = []
    for (batch, n, k), rows in totals.groupby(SIZE, sort=True):
        own = [way for way in ways if (rows["way"] == way).any()]
        columns = []
        for way in own:
            part = rows[rows["way"] == way].set_index("label")
            best = _fastest(part)
            columns.append(
                {
                    str(label): Cost(
                        units.seconds(row["value"], row["std_error"]),
                        details.get((label, way, batch, n, k), ""),
                        float(row["value"]),
                        tuple(_over(row["value"], part["value"], name) for name in baselines),
                        label in best,
                    )
                    for label, row in part.iterrows()
                }
            )
        labels = sorted({label for column in columns for label in column})
        lines = [(label, tuple(column.get(label) for column in columns)) for label in labels]
        lines.sort(key=lambda line: tuple(cost.order if cost else math.inf for cost in line[1]))
        found.append(Block(batch, n, k, tuple(own), tuple(baselines), tuple(lines)))
    return found


def _over(value: float, values: pd.Series[float], name: str) -> float:
    return float(value / values[name]) if name in values.index else math.nan


def _fastest(part: pd.DataFrame) -> set[str]:
    """Returns the labels that errors cannot tell from the fastest, unless that is most of them."""
    low = part.loc[part["value"].idxmin()]
    reach = 2 * (part["std_error"].fillna(0.0) ** 2 + (low["std_error"] if low["std_error"] > 0 else 0.0) ** 2) ** 0.5
    close = set(part.index[part["value"] - low["value"] <= reach])
    return close if len(part) > 1 and (len(close) == 1 or 2 * len(close) <= len(part)) else set()


def _details(table: pd.DataFrame) -> Mapping[tuple[object, ...], str]:
    """Returns the parts of each total in words, by label, way and size."""
    names = {"sample_seconds": "sample", "forward_seconds": "forward", "backward_seconds": "backward"}
    names["peak_bytes"] = "peak memory"
    found: dict[tuple[object, ...], list[str]] = {}
    for metric, name in names.items():
        for row in table[table["metric"] == metric].itertuples():
            key = (row.label, row.way, row.batch, row.n, row.k)
            found.setdefault(key, []).append(f"{name} {units.of(metric, row.value)}")
    return {key: ", ".join(parts) for key, parts in found.items()}


def first_calls(table: pd.DataFrame) -> list[dict[str, object]]:
    """Returns, per estimator and way, the first call at the smallest and the largest size: its parts, and in steps."""
    wide = table.pivot(index=["label", "way", *SIZE], columns="metric", values="value")
    wide = wide.reindex(columns=list(_FIRST_CALL.values())).reset_index()
    wide = wide[wide["first_seconds"].notna()].sort_values(["label", "way", "n", "k", "batch"], kind="stable")
    lines: list[dict[str, object]] = []
    for (label, way), rows in wide.groupby(["label", "way"], sort=True):
        for row in [rows.iloc[0], rows.iloc[-1]][: len(rows)]:
            cells = [(units.seconds(row[metric]), float(row[metric])) for metric in _FIRST_CALL.values()]
            steps = float(row["first_seconds"] / row["total_seconds"])
            lines.append(
                {
                    "label": label,
                    "way": way,
                    "size": timing.size_of(row["batch"], row["n"], row["k"]),
                    "cells": [*cells, (f"{steps:,.0f}", steps)],
                }
            )
    return lines


def printed(table: pd.DataFrame, style: str) -> str:
    """Returns the timings as `markdown` or `latex`, a table per size, or as `csv`, a line per method, way and size."""
    return wide(table) if style == "csv" else text(blocks(table), style)


def wide(table: pd.DataFrame) -> str:
    """Returns the timings as CSV: seconds and bytes in full, with their standard errors."""
    keys = ["label", "estimator", "params", "samples", *SIZE, "backend", "device", "dtype", "mode"]
    pivot = pd.DataFrame(table.set_index([*keys, "metric"])[["value", "std_error"]].unstack("metric"))
    pivot.columns = pd.Index([metric + ("" if part == "value" else "_std_error") for part, metric in pivot.columns])
    return str(pivot.dropna(axis=1, how="all").reset_index().to_csv(index=False, lineterminator="\n"))


def text(found: Sequence[Block], style: str) -> str:
    """Returns a table per size as `markdown` or `latex`, the fastest in bold."""
    left, right = ("**", "**") if style == "markdown" else "⟦⟧"
    parts = []
    for block in found:
        heads = ["estimator"]
        for way in block.ways:
            heads += [way, *(f"× {name}" for name in block.baselines)]
        lines = []
        for label, costs in block.lines:
            cells = [label]
            for cost in costs:
                told = "–" if cost is None else f"{left}{cost.text}{right}" if cost.best else cost.text
                cells += [told, *map(units.ratio, cost.ratios if cost else [math.nan] * len(block.baselines))]
            lines.append(cells)
        format_ = {"markdown": "github", "latex": "latex_booktabs"}[style]
        title = {"markdown": f"**{block.name}**\n\n", "latex": f"% {block.name}\n"}[style]
        parts.append(title + tabulate(lines, heads, tablefmt=format_, disable_numparse=True) + "\n")
    whole = "\n".join(parts)
    for mark, meant in _LATEX.items() if style == "latex" else ():
        whole = whole.replace(mark, meant)
    return whole
