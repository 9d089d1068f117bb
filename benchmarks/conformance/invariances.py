"""Checks that compare two calls which must give the same gradient, or a known multiple of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from subsetgrad.base import expectation
from subsetgrad.ops import Array

from .candidate import ROWS, Candidate, N, NotApplicableError


def rows_are_independent(candidate: Candidate) -> None:
    """The gradient of a row does not depend on the other rows of the batch."""
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS)
    _, _, together, _ = candidate.estimate(theta, raw)
    for row in range(ROWS):
        alone = candidate.estimate(theta[row : row + 1], {name: v[:, row : row + 1] for name, v in raw.items()})[2][0]
        gap = _relative_gap(together[row], alone)
        assert gap < candidate.rounding, f"row {row} alone differs from row {row} in a batch by {gap:.2g}"


def samples_are_averaged(candidate: Candidate) -> None:
    """An estimate from S samples is the mean of the estimates from each: ∇f enters the rule unscaled, as λ, not λ/S."""
    if candidate.estimator.samples_min > 1:
        raise NotApplicableError("one sample alone gives no estimate")
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS, 2)
    together = candidate.estimate(theta, raw)[2]
    # Samples become rows. They are repeated up to the number of rows for which `points_follow_the_law` compiles.
    rows = candidate.replicates
    single = {name: np.resize(v.reshape(2 * ROWS, *v.shape[2:]), (rows, *v.shape[2:]))[None] for name, v in raw.items()}
    alone = candidate.estimate(np.resize(theta, (rows, N)), single)[2][: 2 * ROWS].reshape(2, ROWS, N)
    gap = _relative_gap(np.mean(alone, axis=0), together)
    assert gap < candidate.rounding, f"the estimate at S=2 is not the mean of those at S=1: off by {gap:.2g}"


def items_are_interchangeable(candidate: Candidate) -> None:
    """Permuting theta, draws and the objective permutes the gradient."""
    ops = candidate.ops
    order = np.random.RandomState(5).permutation(N)
    weights = np.linspace(-1.0, 2.0, N)

    def objective(c: np.ndarray) -> Any:
        return lambda z: ops.xp.sin(ops.xp.sum(ops.asarray(c) * z * z, axis=-1))

    theta, raw = candidate.device_inputs(2)
    draws = candidate.draws(theta, raw, objective(weights))
    before = np.asarray(candidate.evaluate(theta, draws, objective(weights)).gradient)
    permuted_theta, *permuted = (ops.asarray(np.asarray(array)[..., order]) for array in (theta, *draws.values()))
    permuted_draws = dict(zip(draws, permuted, strict=True))
    after = np.asarray(candidate.evaluate(permuted_theta, permuted_draws, objective(weights[order])).gradient)
    gap = _relative_gap(after, before[:, order])
    assert gap < candidate.rounding, f"permuting the items changes the gradient by {gap:.2g}"


def shift_changes_nothing_if_claimed(candidate: Candidate) -> None:
    """With `shift_invariant`, a constant added to a row changes no gradient."""
    if not candidate.estimator.shift_invariant:
        raise NotApplicableError("the record does not claim shift invariance")
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS)
    _, _, before, _ = candidate.estimate(theta, raw)
    _, _, after, _ = candidate.estimate(theta + 3.0, raw)
    gap = _relative_gap(after, before)
    assert gap < 1e3 * candidate.rounding, f"claims shift_invariant, but θ + 3 changes the gradient by {gap:.2g}"


def outer_weights_multiply_the_estimate(candidate: Candidate) -> None:
    """The gradient of Σ c_b loss_b is c_b times the finished estimate; f's parameters get Σ w ∂f."""
    ops, xp = candidate.ops, candidate.ops.xp
    theta, raw = candidate.device_inputs(2)
    outer = ops.asarray(np.array([0.25, -3.0]))
    scale = ops.asarray(np.array(1.5))

    def f(z: Array, s: Any = 1.5) -> Array:
        return s * xp.sum(z * z * ops.asarray(np.arange(1.0, N + 1)), axis=-1)

    draws = candidate.draws(theta, raw, f)
    keywords = {"k": candidate.k, "params": candidate.params, "state": candidate.state(theta)}
    points, weights, gradient, _ = candidate.evaluate(theta, draws, f)

    def total(t: Array) -> Array:
        return xp.sum(outer * expectation(candidate.estimator, ops, t, f, draws, **keywords)[0])

    by_theta = np.asarray(ops.value_and_grad(total)(theta)[1])
    gap = _relative_gap(by_theta, np.asarray(outer)[:, None] * np.asarray(gradient))
    assert gap < candidate.rounding, f"an outer weight does not multiply the finished estimate: off by {gap:.2g}"

    def of_parameter(s: Array) -> Array:
        loss, _ = expectation(candidate.estimator, ops, theta, lambda z: f(z, s), draws, **keywords)
        return xp.sum(loss)

    slope = float(ops.value_and_grad(of_parameter)(scale)[1])
    plain = float(xp.sum(weights * f(points, 1.0)))
    assert abs(slope - plain) < 1e-4 * max(1.0, abs(plain)), f"f's own parameter gets {slope:.6g}, not {plain:.6g}"


def compiled_equals_eager(candidate: Candidate) -> None:
    """A compiled call gives the gradient of an eager one, and a second compiled call traces nothing."""
    traces = 0
    f = candidate.objective("smooth")

    def gradient(theta: Array, raw: dict[str, Array]) -> Array:
        nonlocal traces
        traces += 1
        return candidate.evaluate(theta, candidate.draws(theta, raw, f), f).gradient

    theta, raw = candidate.device_inputs(2)
    eager = np.asarray(gradient(theta, raw))
    function = candidate.ops.compile(gradient)
    compiled = np.asarray(function(theta, raw))
    traces_before = traces
    function(theta + 0.1, raw)
    if function is not gradient:
        assert traces == traces_before, "a second call with other values compiles again"
    gap = _relative_gap(compiled, eager)
    assert gap < 10 * candidate.rounding, f"compiled differs from eager by {gap:.2g}"


def _relative_gap(gradient: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference, relative to the largest expected entry or 1."""
    return float(np.abs(gradient - expected).max() / max(1.0, np.abs(expected).max()))
