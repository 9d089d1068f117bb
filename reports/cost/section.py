"""The section about time and memory: its figures, tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from ..data import Results, torch_first
from ..form import numbers, text_tables, units
from ..form.svg import Figure
from ..quality.board import Board
from . import curves, exponents, findings, front_figure, fronts, slopes, tables, timings
from .exponents import Fits
from .slopes import Family
from .timings import SIZE, Timings

_SIZES_IN_RATIOS = 4
_DRAWN = {
    "total_seconds": (
        "Time",
        "seconds of one step, forward and backward, all rows; median, 95 % interval",
    ),
    "peak_bytes": ("Memory", "peak memory of one step, by the framework's own accounting"),
}


def section(results: Results, boards: Sequence[Board]) -> dict[str, Any] | None:
    """Returns the content of the section; None if nothing was timed."""
    if results.timings.empty:
        return None
    chosen = timings.choose(results)
    table, missing = chosen.table, chosen.missing
    content = {
        "experiments": [results.experiments[name] for name in sorted(results.timings["experiment"].unique())],
        "setup": chosen.setup,
        "set_aside": chosen.set_aside,
        "missing": reasons(missing[missing["status"] != "ok"]),
        "failed": missing.loc[missing["status"] == "failed", "cell"].nunique(),
        "remarks": reasons(missing[missing["status"] == "ok"]),
        "facts": _facts(chosen),
        "measured": not table.empty,
        "headlines": [],
    }
    return content if table.empty else content | _measured(table, results, boards)


def _measured(table: pd.DataFrame, results: Results, boards: Sequence[Board]) -> dict[str, Any]:
    """Returns the figures, tables and sentences."""
    batch = timings.main_batch(table)
    engines = timings.usual_engines(table)
    compared = timings.comparison(table, results.entries("comparison"))
    highlights = [name for entry in results.entries("highlight") for name in entry["estimators"]]
    shown = table[(table["batch"] == batch) & table["engine"].isin(engines)]
    timed = {str(label): set(zip(rows["n"], rows["k"], strict=True)) for label, rows in shown.groupby("label")}
    families = slopes.families(timed)
    fits = exponents.fit_all(table, families, engines, batch)
    matches = fronts.matches(boards, table, engines)
    first = {engine: next((match for match in matches if match.engine == engine), None) for engine in engines}
    drawn = [match for match in first.values() if match]
    blocks = tables.blocks(table, list(compared.baselines.values()))
    most = max(blocks, key=_values_in)
    growth = {key: _growth(table, *key, fits, batch, highlights) for key in dict.fromkeys(key[:2] for key in fits)}
    return {
        "headlines": findings.headlines(table, compared, families, engines, batch, fits, drawn),
        "batch": batch,
        "engines": engines,
        "repeats": _range(table.loc[table["metric"] == "total_seconds", "repeats"]),
        "growth": [group for (_, metric), group in growth.items() if metric == "total_seconds"],
        "memory": [group for (_, metric), group in growth.items() if metric == "peak_bytes"],
        "families": families,
        "axes": exponents.axes_of(families),
        "stated": exponents.stated(table, results.entries("complexity"), families, engines, fits),
        "exponents": exponents.of_all(fits),
        "open": most,
        "folded": [block for block in blocks if block is not most],
        "ratios": [figure for figure in (*_backends(table, engines), *_modes(table)) if figure],
        "first": {"heads": tables.FIRST_CALL_HEADS, "lines": tables.first_calls(table)},
        "fronts": [_front(match, highlights) for match in drawn],
        # An engine gets one figure; further problems are named, since a figure of each would make a very long page.
        "further": "; ".join(_where(match) for match in matches if match not in drawn),
        "unmatched": _unmatched(boards, table),
        "files": text_tables.files(partial(tables.printed, table, blocks)),
    }


def figures_of(content: Mapping[str, Any]) -> list[Figure]:
    """Returns the figures of the section; none if nothing was measured."""
    if not content["measured"]:
        return []
    growth = [figure for group in (*content["growth"], *content["memory"]) for figure in group["figures"]]
    return [*growth, *content["ratios"], *(front["figure"] for front in content["fronts"])]


def _facts(chosen: Timings) -> str:
    """Returns machine and libraries of the latest run at the setup, in words."""
    facts = chosen.run.facts if chosen.run else {}
    versions = [f"{name.rpartition(' ')[2]} {value}" for name, value in facts.items() if name.startswith("versions ")]
    machine = [facts[name] for name in ("machine cpu", "machine gpus") if name in facts]
    machine += [f"{facts['machine cores']} cores"] if "machine cores" in facts else []
    return ", ".join([*machine, *versions])


def _range(values: pd.Series[float]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _growth(
    table: pd.DataFrame, family: Family, metric: str, fits: Fits, batch: int, highlights: Sequence[str]
) -> dict[str, Any]:
    """Returns a heading and a figure for each engine: time or memory along a family."""
    word, measured = _DRAWN[metric]
    drawn = []
    for engine, fitted in ((key[2], fitted) for key, fitted in fits.items() if key[:2] == (family, metric)):
        rows = exponents.of_family(table, family, metric, engine, batch)
        if rows[family.axis].nunique() < 2:
            continue
        drawn.append(
            curves.growth(
                f"{word.lower()}-{family.axis}-{_slug(family.held)}-{_slug(engine)}",
                f"{word} against {family.axis}, {engine}",
                f"{family.held}, batch {batch}: {measured}. The number after a name is the exponent of {family.axis}, "
                "fitted over the largest sizes.",
                rows,
                axis=family.axis,
                metric=metric,
                exponents={label: slope.value for label, slope in fitted.items()},
                highlights=highlights,
            )
        )
    return {"heading": f"{word} against {family.axis}, at {family.held}", "figures": drawn}


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.replace(" ", "").replace("=", "")).strip("-")


def _values_in(block: tables.Block) -> tuple[int, int]:
    """Returns the number of values in a block, then its size: the page shows the largest unfolded."""
    return sum(cost is not None for _, costs in block.lines for cost in costs), block.batch * block.n


def _backends(table: pd.DataFrame, engines: Sequence[str]) -> list[Figure | None]:
    """Returns torch against jax, on each device where both were timed on their usual engines."""
    drawn = []
    for device in sorted(table["device"].unique()):
        here = table[(table["device"] == device) & table["engine"].isin(engines)]
        pair = {str(backend): str(rows["engine"].iloc[0]) for backend, rows in here.groupby("backend")}
        if len(pair) == 2:
            title = f"jax against torch, {device}"
            drawn.append(_ratio_figure(table, pair["jax"], pair["torch"], title, "jax", "torch"))
    return drawn


def _modes(table: pd.DataFrame) -> list[Figure | None]:
    """Returns compiled against eager for each series that has both."""
    drawn = []
    for series in sorted(table["series"].unique(), key=torch_first):
        pair = (f"{series} compiled", f"{series} eager")
        if set(pair) <= set(table["engine"]):
            drawn.append(_ratio_figure(table, *pair, f"Compiled against eager, {series}", "compiled", "eager"))
    return drawn


def _ratio_figure(table: pd.DataFrame, one: str, other: str, title: str, left: str, right: str) -> Figure | None:
    ratios = timings.against(table, one, other, "engine")
    if ratios.empty:
        return None
    counts = ratios.groupby(SIZE).size()
    # A few sizes from small to large, of those that most estimators have.
    shared = sorted(
        (size for size in counts.index if counts[size] >= 0.7 * counts.max()),
        key=lambda size: (size[1] * size[0], size),
    )
    if len(shared) > _SIZES_IN_RATIOS:
        step = (len(shared) - 1) / (_SIZES_IN_RATIOS - 1)
        shared = [shared[round(turn * step)] for turn in range(_SIZES_IN_RATIOS)]
    ratios["size"] = [f"B={batch}, n={n}, k={k}" for batch, n, k in ratios[SIZE].itertuples(index=False)]
    wanted = [f"B={batch}, n={n}, k={k}" for batch, n, k in shared]
    shown = pd.concat([ratios[ratios["size"] == size] for size in wanted])
    caption = (
        f"Seconds of {one} over seconds of {other}, one step forward and backward at the same batch (B), n and k; "
        f"95 % intervals. {len(counts)} size{'s' if len(counts) > 1 else ''} have both"
        + (f", {len(wanted)} are drawn" if len(wanted) < len(counts) else "")
        + "; first calls are not included."
    )
    slug = f"ratio-{_slug(one)}-{_slug(other)}"
    return curves.ratios(slug, title, caption, shown, left=f"{left} is faster", right=f"{right} is faster")


def _front(match: fronts.Matched, highlights: Sequence[str]) -> dict[str, Any]:
    """Returns the figure of a front, and its members as a table: from how many microseconds on each is the choice."""
    notes = [f"{point['label']} was {point['note']}" for point in match.points.to_dict("records") if point["note"]]
    if match.untimed:
        notes.append(f"not timed at this size: {', '.join(match.untimed)}")
    board = match.board
    errors, times = match.dtypes
    caption = (
        f"Errors: {board.about.name}, {match.problem}, {board.main}, in {errors}; times: {match.engine}, batch "
        f"{match.batch}, in {times}; both at n = {board.n}, k = {board.k} with the same samples, and with the same "
        "parameters unless noted. Lower left is better. Filled and joined, in bold: no other is both faster and "
        "nearer; dashed: the same among those that sample from the target law. A cross is the exact gradient."
        + (f" Note: {'; '.join(notes)}." if notes else "")
    )
    slug = f"front-{board.about.name}-{_slug(match.problem)}-{board.n}-{board.k}-{_slug(match.engine)}"
    title = f"Error against time, {match.engine}"
    lines = [
        row
        | {
            "time": units.seconds(row["seconds"], row["seconds_se"]),
            "error": numbers.estimate(row["error"], row["error_se"], exact=row["error_se"] == 0),
        }
        for row in match.points[match.points["named"]].to_dict("records")
    ]
    figure = front_figure.draw(slug, title, caption, match.points, highlights)
    return {"figure": figure, "heading": _where(match), "lines": lines}


def _where(match: fronts.Matched) -> str:
    board = match.board
    return f"{board.about.name}, {match.problem}, n = {board.n}, k = {board.k}, {match.engine}"


def _unmatched(boards: Sequence[Board], table: pd.DataFrame) -> list[tuple[int, int]]:
    """Returns the pairs (n, k) that have errors but no times."""
    judged = {(board.n, board.k) for board in boards if (board.rows["metric"] == "error").any()}
    return sorted(judged - set(table[["n", "k"]].itertuples(index=False, name=None)))


def reasons(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns rows that were skipped, failed or have a remark: a line for each status, estimator, engine and reason."""
    rows = rows.drop_duplicates("cell")
    keys = ["status", "label", "engine", "reason"]
    lines: list[dict[str, Any]] = []
    for key, group in rows.groupby(keys, sort=True):
        sizes = sorted(set(group[SIZE].itertuples(index=False, name=None)))
        line = dict(zip(keys, key, strict=True))
        lines.append(line | {"sizes": "; ".join(timings.size_of(*size) for size in sizes), "cells": len(group)})
    return lines
