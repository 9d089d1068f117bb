"""The section about time and memory: its figures, tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from . import costs, curves, exponents, findings, fronts, pareto, printing, slopes, tables, timing, units
from .exponents import Fits
from .load import Results
from .slopes import Family
from .svg import Figure
from .timing import SIZE, Timings

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
        "failed": timings.missing.loc[timings.missing["status"] == "failed", "cell"].nunique(),
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
    fits = exponents.fit_all(table, found, ways, batch)
    drawn, further = _first_of_each_way(pareto.matches(results.rows, table, ways))
    blocks = costs.blocks(table)
    along = list(dict.fromkeys((family, metric) for family, metric, _ in fits))
    return about | {
        "measured": True,
        "headlines": findings.headlines(table, found, ways, batch, fits, drawn),
        "batch": batch,
        "ways": timing.ways(table),
        "usual": ways,
        "repeats": _range(table.loc[table["metric"] == "total_seconds", "repeats"]),
        "growth": [_growth(table, *key, fits, batch) for key in along if key[1] != "peak_bytes"],
        "memory": [_growth(table, *key, fits, batch) for key in along if key[1] == "peak_bytes"],
        "families": found,
        "claims": {"axes": exponents.axes_of(found), "ways": ways, "lines": exponents.claims(table, found, ways, fits)},
        "exponents": exponents.of_all(fits),
        **_opened(blocks),
        "ratios": [figure for figure in (*_backends(table, ways), *_modes(table)) if figure],
        "first": {"heads": costs.FIRST_CALL_HEADS, "lines": costs.first_calls(table)},
        "fronts": [_front(match) for match in drawn],
        "further": "; ".join(map(_where, further)),
        "unmatched": _unmatched(results.rows, table),
        "files": printing.files(partial(costs.printed, table, blocks)),
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


def _growth(table: pd.DataFrame, family: Family, metric: str, fits: Fits, batch: int) -> dict[str, Any]:
    """Returns a heading and a figure per way: time or memory along a family."""
    what = "Memory" if metric == "peak_bytes" else "Time"
    drawn = []
    for (_, _, way), fitted in ((key, own) for key, own in fits.items() if key[:2] == (family, metric)):
        rows = exponents.of_family(table, family, metric, way, batch)
        if rows["n"].nunique() * rows["k"].nunique() < 2:
            continue
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

    def shows(block: costs.Block) -> tuple[int, int]:
        return sum(cost is not None for _, own in block.lines for cost in own), block.batch * block.n

    most = max(blocks, key=shows)
    return {"open": most, "folded": [block for block in blocks if block is not most]}


def _backends(table: pd.DataFrame, ways: Sequence[str]) -> list[Figure | None]:
    """Returns torch against jax, on each device where both were timed the usual way."""
    found = []
    for device in sorted(table["device"].unique()):
        pair = {
            backend: way
            for way in ways
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
    # From small to large: the sizes that most estimators share, thinned to what a figure can hold.
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
        + "; first calls are not in it."
    )
    slug = f"ratio-{_slug(one)}-{_slug(other)}"
    return curves.ratios(slug, title, caption, shown, left=f"{left} is faster", right=f"{right} is faster")


def _front(match: pareto.Matched) -> dict[str, Any]:
    """Returns the figure of a front, and its members as a table: from how many microseconds each is the choice."""
    notes = [f"{point['label']} was {point['note']}" for point in match.points.to_dict("records") if point["note"]]
    if match.untimed:
        notes.append(f"not timed at this size: {', '.join(match.untimed)}")
    errors, times = match.dtypes
    caption = (
        f"Errors: {match.experiment}, {match.problem}, {match.series}, in {errors}; times: {match.way}, batch "
        f"{match.batch}, in {times}; both at n = {match.n}, k = {match.k} with the same samples, and with the same "
        "parameters unless noted. Lower left is better; filled and joined: no other is both faster and nearer; dashed: "
        "the same among those that sample from the target law. A cross is the exact gradient."
        + (f" Mind: {'; '.join(notes)}." if notes else "")
    )
    slug = f"front-{match.experiment}-{_slug(match.problem)}-{match.n}-{match.k}-{_slug(match.way)}"
    figure = fronts.draw(slug, f"Error against time, {match.way}", caption, match.points)
    named = match.points[match.points["named"]].sort_values("seconds").to_dict("records")
    lines = [
        row
        | {
            "time": units.seconds(row["seconds"], row["seconds_se"]),
            "told": tables.show_sampled(row["error"], row["error_se"]),
        }
        for row in named
    ]
    return {"figure": figure, "heading": _where(match), "lines": lines}


def _where(match: pareto.Matched) -> str:
    return f"{match.experiment}, {match.problem}, n = {match.n}, k = {match.k}, {match.way}"


def _first_of_each_way(found: Sequence[pareto.Matched]) -> tuple[list[pareto.Matched], list[pareto.Matched]]:
    """Returns what is drawn, one problem a way, and the others, which are named: a figure each would bury the rest."""
    drawn: dict[str, pareto.Matched] = {}
    for match in found:
        drawn.setdefault(match.way, match)
    return list(drawn.values()), [match for match in found if match is not drawn[match.way]]


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
