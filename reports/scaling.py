"""The section about time and memory: its figures, tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from . import costs, curves, exponents, findings, fronts, pareto, slopes, timing, units
from .load import Results
from .slopes import Family
from .svg import Figure, data_link
from .timing import SIZE, Timings

_FIGURES_OF_FRONTS = 1
_SIZES_IN_RATIOS = 4


def section(results: Results) -> dict[str, Any] | None:
    """Returns what the page says about time and memory; None if nothing was timed."""
    if results.timings.empty:
        return None
    timings = timing.choose(results)
    table = timings.table
    about = {
        "place": timings.place,
        "set_aside": timings.set_aside,
        "missing": reasons(timings.missing[timings.missing["status"] != "ok"]),
        "remarks": reasons(timings.missing[timings.missing["status"] == "ok"]),
        "facts": _facts(timings),
    }
    if table.empty:
        return about | {"measured": False, "headlines": []}
    batch = timing.main_batch(table)
    ways = timing.usual_ways(table)
    shown = table[(table["batch"] == batch) & table["way"].isin(ways)]
    found = slopes.families(
        {label: set(zip(rows["n"], rows["k"], strict=True)) for label, rows in shown.groupby("label")}
    )
    blocks = costs.blocks(table)
    claimed = exponents.claims(table, found, ways, batch)
    matched = [match for way in ways for match in pareto.matches(results.rows, table, way)[:_FIGURES_OF_FRONTS]]
    return about | {
        "measured": True,
        "headlines": findings.headlines(table, found, ways, batch, matched),
        "batch": batch,
        "ways": timing.ways(table),
        "usual": ways,
        "repeats": _range(table.loc[table["metric"] == "total_seconds", "repeats"]),
        "growth": [_growth(table, family, "total_seconds", ways, batch) for family in found],
        "memory": [_growth(table, family, "peak_bytes", ways, batch) for family in found if family.axis == "n"][:1],
        "families": found,
        "claims": {"axes": exponents.axes_of(found), "ways": ways, "lines": claimed},
        "exponents": exponents.of_all(table, found, ways, batch),
        **_opened(blocks),
        "ratios": [figure for figure in (*_backends(table, ways), *_modes(table)) if figure],
        "first": {"heads": costs.FIRST_CALL_HEADS, "lines": costs.first_calls(table)},
        "fronts": [_front(match) for match in matched],
        "unmatched": _unmatched(results.rows, table),
        "files": {
            "CSV": data_link("text/csv;charset=utf-8", costs.wide(table).encode()),
            "Markdown": data_link("text/markdown;charset=utf-8", costs.text(blocks, "markdown").encode()),
            "LaTeX": data_link("application/x-tex;charset=utf-8", costs.text(blocks, "latex").encode()),
        },
    }


def _facts(timings: Timings) -> str:
    """Returns machine and libraries of the latest run at the place, in words."""
    facts = timings.run.facts if timings.run else {}
    versions = [f"{name.rpartition(' ')[2]} {value}" for name, value in facts.items() if name.startswith("versions ")]
    machine = [facts[name] for name in ("machine cpu", "machine gpus") if name in facts]
    machine += [f"{facts['machine cores']} cores"] if "machine cores" in facts else []
    return ", ".join([*machine, *versions])


def _range(values: pd.Series[float]) -> str:
    known = values.dropna()
    if known.empty:
        return ""
    low, high = int(known.min()), int(known.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _growth(table: pd.DataFrame, family: Family, metric: str, ways: Sequence[str], batch: int) -> dict[str, Any]:
    """Returns a heading and a figure per way: time or memory along a family."""
    what = "Memory" if metric == "peak_bytes" else "Time"
    drawn = []
    for way in ways:
        rows = exponents.of_family(table, family, metric, way, batch)
        if rows["n"].nunique() * rows["k"].nunique() < 2:
            continue
        fitted = exponents.exponents(table, family, metric, way, batch)
        measured = (
            "peak memory of one step, by the framework's own accounting"
            if what == "Memory"
            else ("seconds of one step, forward and backward, all rows together; median, with 95 % intervals")
        )
        drawn.append(
            curves.growth(
                f"{what.lower()}-{family.axis}-{_slug(family.held)}-{_slug(way)}",
                f"{what} against {family.axis}, {way}",
                f"{family.held}, batch {batch}: {measured}. The number at a name is the exponent of {family.axis}, "
                "fitted over the largest sizes.",
                rows,
                axis=family.axis,
                metric=metric,
                exponents={label: slope.value for label, slope in fitted.items()},
            )
        )
    return {"heading": f"{what} against {family.axis}, at {family.held}", "figures": drawn}


def _slug(text: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in text.replace(" ", "").replace("=", "")).strip("-")


def _opened(blocks: list[costs.Block]) -> dict[str, Any]:
    """Returns the block that shows most, and the others, which are folded."""
    most = max(
        blocks, key=lambda block: (sum(len(line[1]) for line in block.lines), block.batch * block.n), default=None
    )
    return {"open": most, "folded": [block for block in blocks if block is not most]}


def _backends(table: pd.DataFrame, ways: Sequence[str]) -> list[Figure | None]:
    """Returns torch against jax, on each device where both were timed the usual way."""
    found = []
    for device in sorted(table["device"].unique()):
        pair = {
            backend: way
            for way in reversed(ways)
            for backend in ("torch", "jax")
            if ((table["way"] == way) & (table["backend"] == backend) & (table["device"] == device)).any()
        }
        if len(pair) == 2:
            found.append(
                _ratio_figure(table, pair["jax"], pair["torch"], f"jax against torch, {device}", "jax", "torch")
            )
    return found


def _modes(table: pd.DataFrame) -> list[Figure | None]:
    """Returns eager against compiled for each series that has both."""
    found = []
    for series in sorted(table["series"].unique(), key=lambda name: (not str(name).startswith("torch"), name)):
        own = set(table.loc[table["series"] == series, "way"])
        if {f"{series} eager", f"{series} compiled"} <= own:
            title = f"Compiled against eager, {series}"
            names = (f"{series} compiled", f"{series} eager")
            found.append(_ratio_figure(table, *names, title, "compiled", "eager"))
    return found


def _ratio_figure(table: pd.DataFrame, one: str, other: str, title: str, left: str, right: str) -> Figure | None:
    ratios = timing.against(table, one, other, "way")
    if ratios.empty:
        return None
    counts = ratios.groupby(SIZE).size()
    best = sorted(counts.index, key=lambda size: (-counts[size], -size[0] * size[1], size))
    # From small to large: the sizes that most estimators share, thinned to what a figure can hold.
    shared = sorted(
        (size for size in best if counts[size] >= 0.7 * counts.max()), key=lambda size: (size[1] * size[0], size)
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
        + "; first calls are not in it."
    )
    slug = f"ratio-{_slug(one)}-{_slug(other)}"
    return curves.ratios(slug, title, caption, shown, left=f"{left} is faster", right=f"{right} is faster")


def _front(match: pareto.Matched) -> dict[str, Any]:
    """Returns the figure of a front, and its members as a table: from how many microseconds each is the choice."""
    notes = [f"{point['label']} was {point['note']}" for point in match.points.to_dict("records") if point["note"]]
    if match.untimed:
        notes.append(f"not timed at this size: {', '.join(match.untimed)}")
    caption = (
        f"Errors: {match.experiment}, {match.problem}, {match.series}; times: {match.way}, batch {match.batch}; "
        f"both at n = {match.n}, k = {match.k} with the same parameters and samples. Lower left is better; filled and "
        "joined: no other is both faster and nearer; dashed: the same among those that sample from the target law. A "
        "cross is the exact gradient." + (f" Mind: {'; '.join(notes)}." if notes else "")
    )
    slug = f"front-{match.experiment}-{_slug(match.problem)}-{match.n}-{match.k}-{_slug(match.way)}"
    figure = fronts.draw(slug, f"Error against time, {match.way}", caption, match.points)
    best = match.points[match.points["best"] | match.points["best_of_law"]].sort_values("seconds").to_dict("records")
    return {
        "figure": figure,
        "heading": f"{match.experiment}, {match.problem}, n = {match.n}, k = {match.k}, {match.way}",
        "lines": [
            {"label": row["label"], "time": units.seconds(row["seconds"], row["seconds_se"]), **row} for row in best
        ],
    }


def _unmatched(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """Returns which sizes have errors but no times: empty if none."""
    judged = set(rows.loc[rows["metric"] == "error", ["n", "k"]].itertuples(index=False, name=None))
    timed = set(table[["n", "k"]].itertuples(index=False, name=None))
    return "; ".join(f"n = {n}, k = {k}" for n, k in sorted(judged - timed))


def reasons(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns what was skipped or failed, or timed with a remark: a line per estimator, way and reason."""
    rows = rows.drop_duplicates("cell")
    found: list[dict[str, Any]] = []
    for key, group in rows.groupby(["status", "label", "way", "reason"], sort=True, dropna=False):
        line = dict(zip(("status", "label", "way", "reason"), key, strict=True))
        sizes = sorted(set(group[SIZE].itertuples(index=False, name=None)))
        line["sizes"] = "; ".join(timing.size_of(*size) for size in sizes)
        line["cells"] = len(group)
        found.append(line)
    return found
