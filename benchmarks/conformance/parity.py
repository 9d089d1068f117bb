"""Parity of the backends: on identical noise their gradients agree to rounding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from subsetgrad import Estimator, Subset
from subsetgrad.draws import raw_draws, resolve_draws
from subsetgrad.noise import numpy_draw
from subsetgrad.ops import Array, Ops

from .. import objectives
from ..quality.moments import compiled

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}  # of gradients, relative to max(1, largest entry)
DECIDING_GAP = {"float64": 1e-12, "float32": 1e-5}  # below it a discrete choice may fall either way


@dataclass(frozen=True)
class Parity:
    """How two backends agree on one estimator.

    Attributes:
      rows: how many were compared.
      undecided: how many rows have a deciding gap under `DECIDING_GAP`; their samples may differ.
      differing: how many of those do differ, in samples or gradient.
      worst: the largest relative difference of gradients over all other rows.
      worst_row: where it is.
    """

    rows: int
    undecided: int
    differing: int
    worst: float
    worst_row: int


def parity(
    estimator: Estimator,
    params: Mapping[str, Any],
    first: Ops,
    second: Ops,
    *,
    n: int,
    k: int,
    rows: int = 200,
    objective: str = "smooth",
) -> Parity:
    """Returns how the backends agree on `rows` problems with the same logits and the same numbers behind the draws.

    Args:
      estimator, params: the record and all its parameters.
      first, second: two backends of one dtype; the first must run eagerly, since its choices are watched.
      n, k: the size of the problems.
      rows: how many.
      objective: name of the objective.
    """
    f = objectives.get(objective)
    theta = np.random.RandomState(2).randn(rows, n) * 1.5
    parameters = objectives.problem(f, "normal", n, 4)[1]
    raw = raw_draws(
        estimator.draws_for(k, params),
        numpy_draw(np.random.default_rng(1), first.dtype),
        np,
        samples=estimator.samples(2),
        rows=rows,
        n=n,
    )
    gap = DECIDING_GAP[first.dtype]
    undecided = np.zeros(rows, bool)

    def watched(scores: Array, size: int) -> Array:
        if first.is_concrete(scores) and 0 < size < n:
            ordered = np.sort(np.asarray(scores, np.float64), axis=-1)
            close = ordered[..., n - size] - ordered[..., n - size - 1] < gap
            undecided[:] |= _by_row(close, rows)
        return first.top_k_mask(scores, size)

    watching = replace(first, top_k_mask=watched)
    results = []
    for ops in (watching, second):
        arrays = {name: ops.asarray(value) for name, value in raw.items()}
        on_device = {name: ops.asarray(value) for name, value in parameters.items()}
        logits = ops.asarray(theta)
        state = None
        if estimator.initial_state is not None:
            state = {name: value + 0.5 for name, value in estimator.initial_state(ops, logits).items()}
        function = compiled(estimator, tuple(params.items()), ops, f, f.extension(""), k, True)
        points, _, gradient, _ = function(logits, arrays, on_device, state)
        results.append((np.asarray(points, np.float64), np.asarray(gradient, np.float64)))
    undecided |= _undecided_subsets(estimator, params, first, theta, raw, f, parameters, k, gap)
    (points_a, gradient_a), (points_b, gradient_b) = results
    scale = np.maximum(1.0, np.abs(gradient_a).max(axis=-1))
    difference = np.abs(gradient_a - gradient_b).max(axis=-1) / scale
    other_points = np.abs(points_a - points_b).max(axis=(0, -1)) > 1e-3
    differs = other_points | ~(difference <= TOLERANCE[first.dtype])
    counted = np.where(undecided, 0.0, np.where(other_points, np.inf, difference))
    return Parity(
        rows, int(undecided.sum()), int((differs & undecided).sum()), float(counted.max()), int(counted.argmax())
    )


def _by_row(flags: np.ndarray, rows: int) -> np.ndarray:
    """Returns `[rows]`: whether any flag of the row is set; rows are the axis of that length, samples lead."""
    axis = 0 if flags.ndim == 1 else 1
    others = tuple(a for a in range(flags.ndim) if a != axis)
    return np.broadcast_to(flags.any(axis=others), (rows,))


def _undecided_subsets(
    estimator: Estimator,
    params: Mapping[str, Any],
    ops: Ops,
    theta: np.ndarray,
    raw: Mapping[str, np.ndarray],
    f: objectives.Objective,
    parameters: objectives.Parameters,
    k: int,
    gap: float,
) -> np.ndarray:
    """Returns `[rows]`: whether an exact sample changes when all its uniforms move by the gap, down or up."""
    declared = estimator.draws_for(k, params)
    undecided = np.zeros(len(theta), bool)
    if not any(isinstance(draw, Subset) for draw in declared.values()):
        return undecided
    on_device = {name: ops.asarray(value) for name, value in parameters.items()}
    logits = ops.asarray(theta)

    def objective(z: Array) -> Array:
        return f.extensions[f.extension("")](ops.xp, z, on_device)

    arrays = {name: ops.asarray(value) for name, value in raw.items()}
    draws = resolve_draws(declared, ops, logits, arrays, objective, k=k, params=params)
    for name, draw in declared.items():
        if not isinstance(draw, Subset):
            continue
        law = logits if draw.logits is None else draw.logits(ops, logits, draws, objective, k=k, **params)
        for moved in (raw[name] - gap, raw[name] + gap):
            z = draw.sampler(ops, law, k, ops.asarray(np.clip(moved, 0.0, 1.0 - 1e-7)))
            undecided |= np.asarray(z != draws[name]).any(axis=(0, -1))
    return undecided
