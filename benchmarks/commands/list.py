"""The command `list`: tables of estimators, objectives, experiments and backends, made without a framework."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

import subsetgrad

from .. import backends, objectives
from ..experiments import EXPERIMENTS

Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]


def show(name: str) -> None:
    """Prints a table of the estimators, objectives, experiments or backends."""
    headings, rows = _TABLES[name]()
    table = Table(title=None, box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    # Outside a terminal the table is so wide that nothing is cut.
    console.print(table, markup=False) if console.is_terminal else Console(width=240).print(table, markup=False)


def _estimators() -> Listing:
    rows: list[tuple[str, ...]] = [
        (
            e.name,
            e.law,
            e.target if e.functional == "mean_of_f" else f"{e.functional}:{e.target}",
            ",".join(sorted(e.needs)),
            e.unbiased_for,
            str(e.k),
            ",".join(f"{name}={value}" for name, value in e.params.items()),
        )
        for e in subsetgrad.ESTIMATORS
    ]
    return ("name", "law", "target", "needs", "unbiased for", "k", "params"), rows


def _objectives() -> Listing:
    rows: list[tuple[str, ...]] = [(o.name, o.degree, ", ".join(o.extensions)) for o in objectives.OBJECTIVES]
    return ("name", "degree", "extensions"), rows


def _experiments() -> Listing:
    return ("name", "summary"), [(e.name, e.summary) for e in EXPERIMENTS]


def _backends() -> Listing:
    installed = backends.installed()
    names = ("torch:cpu", "jax:cpu", "torch:cuda", "jax:cuda")
    # Only the framework knows whether there is a CUDA device, and a list does not import it.
    states = ("installed" if f"{name.split(':')[0]}:cpu" in installed else "not installed" for name in names)
    return ("name", "framework"), list(zip(names, states, strict=True))


_TABLES = {
    "estimators": _estimators,
    "objectives": _objectives,
    "experiments": _experiments,
    "backends": _backends,
}
