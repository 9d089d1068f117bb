"""Compares two stores: the same cells, metric by metric."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..results.store import Store

_SIGMAS = 4.0  # with some thousand comparisons, fewer than one in ten runs shows a difference by chance
_COSTLIER = 1.2  # a ratio of times: clock speed and neighbours alone change a machine by some percent from run to run
_BLUNT = 2.0  # the same where one of the two has too few readings for an interval
_READ_ONCE = ("first_seconds", "trace_seconds", "compile_seconds")  # and not judged
_RELATIVE = 1e-6  # exact values: beyond this a finite sum differs for another reason than rounding


def compare(first: Path, second: Path) -> int:
    """Prints the metrics that differ beyond their standard errors, and cells that failed in one alone.

    Times and memory are compared as ratios, in rows of the same machine and library versions. A time differs if the
    ratio of medians is beyond `_COSTLIER` and beyond 1 by more than the intervals explain, or beyond `_BLUNT` where one
    has no interval. First calls and compiling are not judged, nor is a backward pass that has none, being a difference.

    Returns:
      1 if anything differs but by being cheaper, else 0.
    """
    a, b = _rows(first), _rows(second)
    shared = sorted(a.keys() & b.keys(), key=str)
    console = Console(width=None if Console().is_terminal else 200)
    table = Table(box=None, pad_edge=False)
    for heading in ("cell", "target", "metric", str(first), str(second), "difference"):
        table.add_column(heading, overflow="fold")
    differing = cheaper = 0
    for key in shared:
        row = a[key]
        is_cost = row["batch"] is not None and bool(key[2])  # without a metric, the row is of the cell's status
        difference = (_cost_difference if is_cost else _difference)(row, b[key])
        if difference:
            gain = is_cost and b[key]["value"] < row["value"]
            differing += not gain
            cheaper += gain
            which = f"seed={row['seed']}" if row["batch"] is None else f"batch={row['batch']} {row['mode']}"
            cell = f"{row['estimator']} n={row['n']} k={row['k']} {which} {row['backend']} {row['cell']}"
            table.add_row(cell, row["target"], row["metric"], _show(row), _show(b[key]), difference)
    if table.rows:
        console.print(table, markup=False)
    counts = [sum(bool(metric) for *_, metric in keys) for keys in (shared, a.keys() - b.keys(), b.keys() - a.keys())]
    only = f"{counts[1]} rows only in {first}; {counts[2]} rows only in {second}"
    found = f"{counts[0]} shared rows, {differing} differ" + f", {cheaper} are cheaper" * bool(cheaper)
    console.print(f"{found}; {only}", markup=False, highlight=False)
    return int(differing > 0)


def _rows(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Returns the rows by cell, target and metric; under two empty names, each cell with its status alone."""
    found = {}
    with Store(path) as store:
        for row in store.rows():
            found[row["cell"], "", ""] = row | {"target": "", "metric": "status", "value": None}
            if row["metric"]:
                found[row["cell"], row["target"], row["metric"]] = row
    return found


def _difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Returns how the rows differ, or nothing."""
    if a["status"] != b["status"]:
        return f"{a['status']} / {b['status']}"
    if a["value"] is None or b["value"] is None:
        return "" if a["value"] == b["value"] else "undefined in one"
    gap = b["value"] - a["value"]
    error = math.hypot(a["std_error"] or 0.0, b["std_error"] or 0.0)
    tolerance = _SIGMAS * error + _RELATIVE * max(abs(a["value"]), abs(b["value"]), 1e-6)
    if abs(gap) <= tolerance:
        return ""
    return f"{gap:+.3g}" + (f" ({gap / error:+.1f} standard errors)" if error else "")


def _cost_difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Returns how the ratio of two costs differs from 1, or nothing."""
    if min(a["value"], b["value"]) <= 0:  # a backward pass lost in the noise of two readings
        return ""
    ratio, error, least = b["value"] / a["value"], 0.0, _COSTLIER
    if a["metric"] in _READ_ONCE:
        return ""
    if None not in (a["std_error"], b["std_error"]):
        error = math.hypot(a["std_error"] / a["value"], b["std_error"] / b["value"])
    elif a["metric"] == "backward_seconds":  # the difference of two readings, which may be all noise
        return ""
    elif a["metric"] != "peak_bytes":
        least = _BLUNT
    if abs(math.log(ratio)) <= max(math.log(least), _SIGMAS * error):
        return ""
    interval = f" [{ratio * math.exp(-_SIGMAS * error):.3g}, {ratio * math.exp(_SIGMAS * error):.3g}]" if error else ""
    return f"x {ratio:.3g}{interval}"


def _show(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return row["status"] if row["status"] != "ok" else "undefined"
    return f"{row['value']:.6g}" + (f" ± {row['std_error']:.2g}" if row["std_error"] else "")
