"""A small results store with known numbers, for the tests of `reports`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import experiments
from benchmarks.experiments.published import SEEDS
from benchmarks.results.cell import Cell
from benchmarks.results.names import COST
from benchmarks.results.outcome import Measurement, Outcome
from benchmarks.results.store import Store
from reports import data
from reports.cost import section
from reports.quality.board import Board, boards

TARGET = "conditional_poisson"
LOGSIGMOID = {"epsilon": 1e-7, "logits": "logsigmoid", "temperature": 2}
PLUG_IN = "my_lab.estimators:NEW"

Rows = Iterable[Mapping[str, Any]]
# estimator, parameters, law, exact, then value of each metric at every seed
Metrics = Mapping[str, float | None]
PLAIN: tuple[tuple[str, Mapping[str, Any], str, bool, Metrics], ...] = (
    ("exact_enum", {}, TARGET, True, {"bias": -1e-17, "variance": 0.0, "error": 0.0, "descent_probability": 1.0}),
    ("simple", {}, TARGET, True, {"bias": 0.0368, "variance": 0.0003, "error": 0.2468, "descent_probability": 0.99}),
    ("sfe", {}, TARGET, True, {"bias": 0.0, "variance": 0.1312, "error": 0.9988, "descent_probability": 0.51}),
    ("softsub", LOGSIGMOID, "relaxed", False, {"bias": 0.0828, "variance": 0.0311, "error": 0.271}),
    ("softsub", {**LOGSIGMOID, "logits": "theta"}, "relaxed", False, {"bias": 0.077, "variance": 0.03, "error": 0.271}),
    (PLUG_IN, {"scale": 3}, TARGET, False, {"bias": 1.9, "variance": 0.03, "error": 1.7, "descent_probability": 0.01}),
    ("undefined_here", {}, TARGET, False, {"bias": None, "variance": 0.1, "error": None}),
)
PROVENANCE = {
    "command": "python -m benchmarks run figure1",
    "commit": "0123abc",
    "dirty": True,
    "versions": {"python": "3.11", "torch": "2.13"},
    "machine": {"cpu": "a <processor> & more", "cores": 2, "gpus": ["a graphics <processor>"]},
}


def cell_of(
    estimator: str, params: Mapping[str, Any] = {}, *, seed: int = SEEDS[0], backend: str = "torch", **changed: Any
) -> Cell:
    """Returns a cell of figure1, or of what `changed` makes of it."""
    plain: dict[str, Any] = {"objective": "distance", "extension": "squares", "logits": "normal", "n": 10, "k": 5}
    plain |= {"samples": 1, "replicates": 10_000, "device": "cpu", "dtype": "float64"}
    settings = tuple(sorted(params.items()))
    return Cell(estimator=estimator, params=settings, seed=seed, backend=backend, **(plain | changed))


def write(path: Path, fill: Callable[[Store, Callable[..., None]], None], run: str = "run-1") -> Path:
    """Writes a store; `fill` gets it and a function that saves one cell."""
    with Store(path) as store:
        store.begin_run(run, "2026-01-02T03:04:05+00:00", PROVENANCE)
        store.begin_run("idle", "2026-01-01T00:00:00+00:00", {"command": "a run without cells"})
        for text in experiments.described():
            store.describe(*text)

        def save(
            cell: Cell,
            metrics: Metrics,
            *,
            experiment: str = "figure1",
            std_error: float = 0.0,
            law: str = TARGET,
            reason: str = "",
            targets: Iterable[str] = (TARGET,),
        ) -> None:
            measurements = [
                Measurement(target, name, value, None if value is None else std_error, std_error == 0)
                for target in targets
                for name, value in metrics.items()
            ]
            store.enrol(experiment, [cell])
            outcome = Outcome(cell, 0.1, measurements, reason, "failed" if reason else "ok")
            store.save(outcome, law=law, fingerprint="f", run=run)

        fill(store, save)
    return path


def plain(store: Store, save: Callable[..., None]) -> None:
    """Two seeds, two backends, one failed cell, one plug-in."""
    del store
    for seed in SEEDS[:2]:
        for backend in ("torch", "jax"):
            for estimator, params, law, exact, metrics in PLAIN:
                save(
                    cell_of(estimator, params, seed=seed, backend=backend),
                    {"bias_floor": 0.001, "relative_bias": metrics["bias"], "total_variance": 3.0, **metrics},
                    std_error=0.0 if exact else 0.002,
                    law=law,
                )
    save(cell_of("aimle"), {}, reason="ValueError: the <step> became NaN")
    save(cell_of("simple", k=1), {"bias": 0.02535, "variance": 0.02302}, experiment="figure3")
    save(cell_of("simple", n=20), {"law_distance": 0.25}, experiment="sweep")


# base, scale, a and b of the seconds of a cell: base + scale · n^a · k^b.
Law = tuple[float, float, float, float]
LAWS: Mapping[str, Law] = {
    "simple": (20e-6, 4e-7, 1.0, 0.1),
    "softsub": (15e-6, 2e-7, 1.0, 1.0),
    "ste_gumbel": (10e-6, 2e-7, 1.0, 0.0),
    "sfe": (12e-6, 3e-7, 1.0, 0.1),
    "subsetgrad.families.simple_as_printed:SIMPLE_SEQUENTIAL": (0.0, 3e-6, 1.0, 1.0),
}
_GRID = ((n, k) for n in (16, 64, 256, 1024) for k in (1, 4, 8, 32) if 2 * k <= n)
SIZES = (*_GRID, (10, 5), (128, 64), (512, 256))


def timing_rows(
    laws: Mapping[str, Law] = LAWS,
    sizes: Iterable[tuple[int, int]] = SIZES,
    *,
    backends: Mapping[str, float] = {"torch": 1.0, "jax": 0.5},
    environment: str = "e0",
    run: str = "run-1",
    relative_error: float = 0.01,
    **changed: Any,
) -> list[dict[str, Any]]:
    """Returns timing rows as the store's view gives them; `backends` has the factor of each backend's times."""
    rows = []
    for name, (base, scale, in_n, in_k) in laws.items():
        for n, k in sizes:
            for backend, factor in backends.items():
                total = factor * (base + scale * n**in_n * k**in_k)
                mode = {"torch": "eager", "jax": "compiled"}[backend]
                row = {"experiment": "scaling", "estimator": name, "params": "{}", "law": TARGET, "target": ""}
                row |= {"objective": "", "extension": "", "logits": "normal", "n": n, "k": k, "seed": 0}
                row |= {"samples": 1, "replicates": 30, "backend": backend, "device": "cpu", "dtype": "float32"}
                row |= {"exact": 0, "status": "ok", "run": run, "reason": "", "batch": 64, "mode": mode, "threads": 1}
                row |= {"environment": environment, "kind": COST} | changed
                row["cell"] = "-".join(
                    str(row[key])
                    for key in ("estimator", "n", "k", "backend", "batch", "mode", "threads", "environment")
                )
                values = {
                    "sample_seconds": 0.2 * total,
                    "forward_seconds": 0.4 * total,
                    "backward_seconds": 0.6 * total,
                }
                values |= {"total_seconds": total, "peak_bytes": 4.0 * 64 * n * (k if name == "softsub" else 3)}
                values["first_seconds"] = 0.125 + total
                if row["mode"] == "compiled":
                    values |= {"trace_seconds": 0.1, "compile_seconds": 0.4, "first_seconds": 0.625 + total}
                if row["status"] != "ok":
                    values = {"": None}
                for metric, value in values.items():
                    once = value is None or metric.startswith(("peak", "first", "trace", "compile"))
                    error = None if once else relative_error * value
                    rows.append(row | {"metric": metric, "value": value, "std_error": error})
    return rows


def add_timings(path: Path, rows: Rows, runs: Mapping[str, str] = {}) -> Path:
    """Adds rows to a store's view, which becomes a table, and runs with their starts."""
    with closing(sqlite3.connect(path)) as connection:
        together = pd.concat([pd.read_sql("SELECT * FROM rows", connection), pd.DataFrame(rows).astype(object)])
        connection.execute("DROP VIEW IF EXISTS rows")
        together.to_sql("rows", connection, index=False, if_exists="replace")
        text = json.dumps(PROVENANCE)
        connection.executemany("INSERT OR IGNORE INTO run VALUES (?, ?, ?)", ((*run, text) for run in runs.items()))
        connection.commit()
    return path


# The reason why one cell of `all_timings` was skipped.
SKIPPED = "would hold 12 GiB, over the budget of 2 GiB"


def judged(_: object, save: Callable[..., None]) -> None:
    """A sweep, which has no figures, with errors at the size of Figure 1."""
    for estimator, params, law, exact, metrics in PLAIN:
        cell = cell_of(estimator, params)
        save(cell, metrics, experiment="sweep", std_error=0.0 if exact else 0.002, law=law)


def all_timings() -> list[dict[str, Any]]:
    """Returns timing rows of every kind: two backends and modes, one skipped, one failed, another environment's."""
    rows = timing_rows()
    rows += timing_rows({"simple": (1e-4, 1e-6, 1, 0)}, ((10, 5), (64, 8)), backends={"jax": 9.0}, mode="eager")
    rows += timing_rows({"softsub": (0, 0, 0, 0)}, ((10_000, 5_000),), status="skipped", reason=SKIPPED)
    rows += timing_rows({"sfe": (0, 0, 0, 0)}, ((2_000, 7),), status="failed", reason="OSError: <no> room")
    slow = dict.fromkeys(LAWS, (1000.0, 0.0, 0.0, 0.0))
    return rows + timing_rows(slow, environment="laptop", run="old")


# The start of the run that `all_timings` names in addition to the store's own.
RUNS = {"old": "2025-01-01T00:00:00+00:00"}


def timed(path: Path, rows: Rows, runs: Mapping[str, str] = {}, fill: Callable[..., None] = judged) -> data.Results:
    """Returns the results of a store with quality rows by `fill` and these timing rows."""
    return data.read(add_timings(write(path, fill), rows, runs))


def board_of(results: data.Results, experiment: str = "figure1") -> Board:
    """Returns the experiment's only problem."""
    (board,) = (board for board in boards(results) if board.about.name == experiment)
    return board


def cost_of(results: data.Results) -> dict[str, Any]:
    """Returns the content of the section about cost."""
    content = section.section(results, boards(results))
    assert content is not None
    return content
