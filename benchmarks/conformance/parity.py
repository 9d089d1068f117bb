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
from ..quality.estimates import compiled
from ..quality.problem import Method, Problem, draw_problem

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}  # of gradients, relative to max(1, largest entry)
DECIDING_GAP = {"float64": 1e-12, "float32": 1e-5}  # rounding can change a choice between closer numbers


@dataclass(frozen=True)
class Parity:
    """How well two backends agree on one estimator.

    Attributes:
      rows: number of rows that were compared.
      undecided: number of rows in which a choice has a gap under `DECIDING_GAP`; their samples may differ.
      differing: number of undecided rows that differ, in samples or gradient.
      worst: the largest relative difference of gradients over all other rows.
      worst_row: its index.
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
    """Returns how well the backends agree on rows with the same logits and the same random numbers.

    Args:
      estimator, params: the record and all its parameters.
      first, second: two backends of one dtype. The first must run eagerly, because its top-k scores are inspected.
      n, k: items, items chosen.
      rows: of logits.
      objective: its name.
    """
    theta = np.random.RandomState(2).randn(rows, n) * 1.5
    problem = draw_problem(objectives.get(objective), "", "normal", n=n, k=k, seed=4)
    method = Method(estimator, params, estimator.samples(2))
    draw = numpy_draw(np.random.default_rng(1), first.dtype)
    raw = raw_draws(method.declared(k), draw, np, samples=method.samples, rows=rows, n=n)
    gap = DECIDING_GAP[first.dtype]
    undecided = np.zeros(rows, bool)

    def inspected_top_k(scores: Array, size: int) -> Array:
        if first.is_concrete(scores) and 0 < size < n:
            ordered = np.sort(np.asarray(scores, np.float64), axis=-1)
            close = ordered[..., n - size] - ordered[..., n - size - 1] < gap
            undecided[:] |= _any_by_row(close, rows)
        return first.top_k_mask(scores, size)

    inspecting = replace(first, top_k_mask=inspected_top_k)
    points_a, gradient_a = _estimate(problem, method, inspecting, theta, raw)
    points_b, gradient_b = _estimate(problem, method, second, theta, raw)
    undecided |= _undecided_subsets(problem, method, first, theta, raw, gap)
    scale = np.maximum(1.0, np.abs(gradient_a).max(axis=-1))
    difference = np.abs(gradient_a - gradient_b).max(axis=-1) / scale
    other_points = np.abs(points_a - points_b).max(axis=(0, -1)) > 1e-3
    differs = other_points | ~(difference <= TOLERANCE[first.dtype])
    counted = np.where(undecided, 0.0, np.where(other_points, np.inf, difference))
    return Parity(
        rows, int(undecided.sum()), int((differs & undecided).sum()), float(counted.max()), int(counted.argmax())
    )


def _estimate(
    problem: Problem, method: Method, ops: Ops, theta: np.ndarray, raw: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns points `[M, rows, n]` and gradients `[rows, n]` at the rows of theta, in float64."""
    logits = ops.asarray(theta)
    state = None
    if method.estimator.initial_state is not None:
        # An entry of 0 could hide a difference.
        state = {name: value + 0.5 for name, value in method.estimator.initial_state(ops, logits).items()}
    params = tuple(method.params.items())
    function = compiled(method.estimator, params, ops, problem.objective, problem.extension, problem.k, True)
    arrays = {name: ops.asarray(value) for name, value in raw.items()}
    estimate = function(logits, arrays, problem.device_parameters(ops), state)
    return np.asarray(estimate.points, np.float64), np.asarray(estimate.gradient, np.float64)


def _any_by_row(flags: np.ndarray, rows: int) -> np.ndarray:
    """Returns `[rows]`: whether any flag of the row is set. Rows are the second axis, samples the first."""
    axis = 0 if flags.ndim == 1 else 1
    others = tuple(a for a in range(flags.ndim) if a != axis)
    return np.broadcast_to(flags.any(axis=others), (rows,))


def _undecided_subsets(
    problem: Problem, method: Method, ops: Ops, theta: np.ndarray, raw: Mapping[str, np.ndarray], gap: float
) -> np.ndarray:
    """Returns `[rows]`: whether an exact sample changes when all its uniforms move by the gap, down or up."""
    k, params = problem.k, method.params
    declared = method.declared(k)
    undecided = np.zeros(len(theta), bool)
    if not any(isinstance(declaration, Subset) for declaration in declared.values()):
        return undecided
    logits, f = ops.asarray(theta), problem.f(ops)
    arrays = {name: ops.asarray(value) for name, value in raw.items()}
    draws = resolve_draws(declared, ops, logits, arrays, f, k=k, params=params)
    for name, declaration in declared.items():
        if not isinstance(declaration, Subset):
            continue
        law = logits if declaration.logits is None else declaration.logits(ops, logits, draws, f, k=k, **params)
        for moved in (raw[name] - gap, raw[name] + gap):
            z = declaration.sampler(ops, law, k, ops.asarray(np.clip(moved, 0.0, 1.0 - 1e-7)))
            undecided |= np.asarray(z != draws[name]).any(axis=(0, -1))
    return undecided
