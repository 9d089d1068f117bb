"""A small results store with known numbers, for the tests of `reports`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.harness.cell import Cell
from benchmarks.harness.store import Measurement, Store
from reports import published

TARGET = "conditional_poisson"
SEEDS = published.SEEDS
LOGSIGMOID = {"epsilon": 1e-7, "logits": "logsigmoid", "temperature": 2}
PLUG_IN = "my_lab.estimators:NEW"

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
    "machine": {"cpu": "a <processor> & more", "cores": 2},
}


def cell_of(
    estimator: str, params: Mapping[str, Any] = {}, *, seed: int = SEEDS[0], backend: str = "torch", **changed: Any
) -> Cell:
    """Returns a cell of figure1, or of what `changed` makes of it."""
    plain: dict[str, Any] = {"objective": "distance", "extension": "squares", "logits": "normal", "n": 10, "k": 5}
    plain |= {"samples": 1, "replicates": 10_000, "device": "cpu", "dtype": "float64"}
    settings = tuple(sorted(params.items()))
    return Cell(estimator, settings, seed=seed, backend=backend, **(plain | changed))


def write(path: Path, fill: Callable[[Store, Callable[..., None]], None], run: str = "run-1") -> Path:
    """Writes a store; `fill` gets it and a function that saves one cell."""
    with Store(path) as store:
        store.begin_run(run, "2026-01-02T03:04:05+00:00", PROVENANCE)
        store.begin_run("idle", "2026-01-01T00:00:00+00:00", {"command": "a run without cells"})

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
            store.save(cell, measurements, law=law, fingerprint="f", run=run, seconds=0.1, reason=reason)

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
