"""Tables of cost: every size with its ratios to the baselines, and first calls."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from benchmarks.results import agreement

from ..form import numbers, units
from ..form.text_tables import as_text, bold
from . import timings
from .timings import SIZE

_PARTS = {
    "sample_seconds": "sample",
    "forward_seconds": "forward",
    "backward_seconds": "backward",
    "peak_bytes": "peak memory",
}
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
    """One estimator's time on one engine as printed, and its ratios to the baselines, NaN where there is none."""

    text: str
    detail: str
    order: float
    ratios: tuple[float, ...]
    best: bool


@dataclass(frozen=True)
class Block:
    """Everything timed at one size: `lines` a label and its costs, one per engine, None where there is none."""

    batch: int
    n: int
    k: int
    engines: tuple[str, ...]
    baselines: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Cost | None, ...]], ...]

    @property
    def name(self) -> str:
        """Returns the size in words."""
        return timings.size_of(self.batch, self.n, self.k)


def blocks(table: pd.DataFrame, baselines: Sequence[str]) -> list[Block]:
    """Returns a block for each size, smallest first, with the fastest estimators first.

    Args:
      table: as `timings.Timings` has it.
      baselines: labels that the others are compared with.
    """
    engines = timings.engines(table)
    details = _details(table)
    made = []
    for (batch, n, k), rows in table[table["metric"] == "total_seconds"].groupby(SIZE, sort=True):
        engines_here = [engine for engine in engines if (rows["engine"] == engine).any()]
        columns = []
        for engine in engines_here:
            part = rows[rows["engine"] == engine].set_index("label")
            best = _fastest(part)
            columns.append(
                {
                    str(label): Cost(
                        units.seconds(row["value"], row["std_error"]),
                        details.get((label, engine, batch, n, k), ""),
                        float(row["value"]),
                        tuple(float(row["value"] / part["value"].get(name, math.nan)) for name in baselines),
                        label in best,
                    )
                    for label, row in part.iterrows()
                }
            )
        labels = sorted({label for column in columns for label in column})
        lines = [(label, tuple(column.get(label) for column in columns)) for label in labels]
        lines.sort(key=lambda line: tuple(cost.order if cost else math.inf for cost in line[1]))
        made.append(Block(batch, n, k, tuple(engines_here), tuple(baselines), tuple(lines)))
    return made


def _fastest(part: pd.DataFrame) -> set[str]:
    """Returns the labels whose times agree with the fastest, unless these are most of the labels."""
    close = agreement.near_least(zip(part.index, part["value"], part["std_error"].fillna(0.0), strict=True))
    return close if len(part) > 1 and (len(close) == 1 or 2 * len(close) <= len(part)) else set()


def _details(table: pd.DataFrame) -> Mapping[tuple[object, ...], str]:
    """Returns the parts of each total in words, by label, engine and size."""
    details: dict[tuple[object, ...], list[str]] = {}
    for metric, name in _PARTS.items():
        for row in table[table["metric"] == metric].itertuples():
            key = (row.label, row.engine, row.batch, row.n, row.k)
            details.setdefault(key, []).append(f"{name} {units.of(metric, row.value)}")
    return {key: ", ".join(parts) for key, parts in details.items()}


def first_calls(table: pd.DataFrame) -> list[dict[str, object]]:
    """Returns the parts of the first call for each estimator and engine, at its smallest and its largest size."""
    wide = table.pivot(index=["label", "engine", *SIZE], columns="metric", values="value")
    wide = wide.reindex(columns=list(_FIRST_CALL.values())).reset_index()
    wide = wide[wide["first_seconds"].notna()].sort_values(["label", "engine", "n", "k", "batch"], kind="stable")
    lines: list[dict[str, object]] = []
    for (label, engine), rows in wide.groupby(["label", "engine"], sort=True):
        for row in [rows.iloc[0], rows.iloc[-1]][: len(rows)]:
            cells = [(units.seconds(row[metric]), float(row[metric])) for metric in _FIRST_CALL.values()]
            steps = float(row["first_seconds"] / row["total_seconds"])
            lines.append(
                {
                    "label": label,
                    "engine": engine,
                    "size": timings.size_of(row["batch"], row["n"], row["k"]),
                    "cells": [*cells, (f"{steps:,.0f}", steps)],
                }
            )
    return lines


def printed(table: pd.DataFrame, made: Sequence[Block], style: str) -> str:
    """Returns the timings as `markdown` or `latex`, a table for each block, or as `csv`, one table for all."""
    return _wide(table) if style == "csv" else "\n".join(_text(block, style) for block in made)


def _wide(table: pd.DataFrame) -> str:
    """Returns the timings as CSV: seconds and bytes with all digits, and their standard errors."""
    keys = ["label", "estimator", "params", "samples", *SIZE, "backend", "device", "dtype", "mode"]
    pivot = pd.DataFrame(table.set_index([*keys, "metric"])[["value", "std_error"]].unstack("metric"))
    pivot.columns = pd.Index([metric + ("" if part == "value" else "_std_error") for part, metric in pivot.columns])
    return str(pivot.dropna(axis=1, how="all").reset_index().to_csv(index=False, lineterminator="\n"))


def _text(block: Block, style: str) -> str:
    """Returns a size's table, the fastest in bold."""
    heads = ["estimator"]
    for engine in block.engines:
        heads += [engine, *(f"× {name}" for name in block.baselines)]
    lines = []
    for label, costs in block.lines:
        cells = [label]
        for cost in costs:
            time = numbers.MISSING if cost is None else bold(cost.text) if cost.best else cost.text
            cells += [time, *map(units.ratio, cost.ratios if cost else [math.nan] * len(block.baselines))]
        lines.append(cells)
    return as_text(block.name, heads, lines, style)
