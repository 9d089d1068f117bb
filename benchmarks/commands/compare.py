"""Compares two stores: the same cells, metric by metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ..results.agreement import cost_difference, quality_difference
from ..results.names import COST
from ..results.store import Store


def compare(first: Path, second: Path) -> int:
    """Prints the metrics that differ beyond their standard errors, and cells that failed in one alone.

    `agreement` defines when two rows differ. Times and memory are compared as ratios, between rows of the same machine
    and library versions.

    Returns:
      1 if anything differs, else 0; a lower cost does not count as a difference.
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
        is_cost = row["kind"] == COST and bool(key[2])  # a row without a metric is of the cell's status
        difference = (cost_difference if is_cost else quality_difference)(row, b[key])
        if difference:
            gain = is_cost and b[key]["value"] < row["value"]
            differing += not gain
            cheaper += gain
            which = f"seed={row['seed']}" if row["kind"] != COST else f"batch={row['batch']} {row['mode']}"
            cell = f"{row['estimator']} n={row['n']} k={row['k']} {which} {row['backend']} {row['cell']}"
            table.add_row(cell, row["target"], row["metric"], _show(row), _show(b[key]), difference)
    if table.rows:
        console.print(table, markup=False)
    counts = [sum(bool(metric) for *_, metric in keys) for keys in (shared, a.keys() - b.keys(), b.keys() - a.keys())]
    only = f"{counts[1]} rows only in {first}; {counts[2]} rows only in {second}"
    summary = f"{counts[0]} shared rows, {differing} differ" + f", {cheaper} are cheaper" * bool(cheaper)
    console.print(f"{summary}; {only}", markup=False, highlight=False)
    return int(differing > 0)


def _rows(path: Path) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Returns the rows by cell, target and metric. With target and metric empty, the row holds the cell's status."""
    rows = {}
    with Store(path) as store:
        for row in store.rows():
            rows[row["cell"], "", ""] = row | {"target": "", "metric": "status", "value": None}
            if row["metric"]:
                rows[row["cell"], row["target"], row["metric"]] = row
    return rows


def _show(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return row["status"] if row["status"] != "ok" else "undefined"
    return f"{row['value']:.6g}" + (f" ± {row['std_error']:.2g}" if row["std_error"] else "")
