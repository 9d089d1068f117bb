"""The conformance suite: each check holds an estimator to a word of its record, on one backend or across both.

The checks run on any `Estimator`, a plug-in's too:
`pytest tests/benchmarks/test_conformance.py --estimator package.module:NAME`.
A check raises AssertionError with the fact that does not hold; `not_applicable` says why a check has nothing to test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from subsetgrad import plackett_luce, subsets
from subsetgrad.base import evaluate, expectation
from subsetgrad.draws import resolve_draws
from subsetgrad.ops import Array

from .. import objectives
from ..quality.true_gradients import target_label
from .candidate import (
    ROWS,
    SIGMAS,
    Candidate,
    N,
    NotApplicableError,
    assert_mean_is_exact,
    assert_means_agree,
    expected_estimate,
    rounding,
    target_gradient,
)


def shapes_are_as_declared(candidate: Candidate) -> None:
    """Points [M, B, n], weights [M, B] that sum to 1, gradient [B, n], all finite and of the backend's dtype."""
    rows = ROWS
    for k in (0, candidate.k, N):
        if candidate.estimator.k == 1 and k != 1:
            continue
        points, weights, gradient, state = candidate.estimate(candidate.theta(rows), candidate.raw(rows, k=k), k=k)
        assert points.shape == (len(points), rows, N), f"k={k}: points have shape {points.shape}, not [M, {rows}, {N}]"
        assert weights.shape == points.shape[:2], f"k={k}: weights have shape {weights.shape}, not {points.shape[:2]}"
        assert gradient.shape == (rows, N), f"k={k}: the gradient has shape {gradient.shape}, not {(rows, N)}"
        for name, array in (("points", points), ("weights", weights), ("gradient", gradient)):
            assert str(array.dtype) == candidate.ops.dtype, (
                f"k={k}: {name} are {array.dtype}, not {candidate.ops.dtype}"
            )
            assert np.isfinite(array).all(), f"k={k}: {name} are not finite"
        assert np.allclose(weights.sum(axis=0), 1), f"k={k}: weights sum to {weights.sum(axis=0)}, not 1"
        if state is not None:
            for name, array in state.items():
                assert array.shape == (rows,), f"state {name!r} has shape {tuple(array.shape)}, not one entry a row"


def points_follow_the_law(candidate: Candidate) -> None:
    """Single and joint inclusion frequencies of the points against the declared law's exact ones."""
    estimator, ops, k = candidate.estimator, candidate.ops, candidate.k
    theta = candidate.theta(1)
    rows = candidate.replicates
    points, weights, _, _ = candidate.estimate(np.repeat(theta, rows, axis=0), candidate.raw(rows, 1))
    assert (points >= 0).all(), f"points fall below 0, to {points.min()}"
    assert (points.sum(axis=-1) < k + 1e-4).all(), f"points sum to more than k={k}: {points.sum(axis=-1).max()}"
    if estimator.law == "relaxed":
        return
    if estimator.functional == "mean_of_f":
        of_two = candidate.estimate(candidate.theta(ROWS), candidate.raw(ROWS, 2))[0]
        for samples, found in ((estimator.samples(1), points), (estimator.samples(2), of_two)):
            hot = ((found == 0) | (found == 1)).all() and (found.sum(axis=-1) == k).all()
            assert hot, f"law={estimator.law} is discrete, but some points are not {k}-hot (S={samples})"
    if estimator.law not in ("conditional_poisson", "plackett_luce"):
        return
    logits = ops.asarray(theta[0])
    if estimator.law_logits is not None:
        logits = estimator.law_logits(ops, logits, **candidate.params)
    states = subsets.enumerate(N, k)
    if estimator.law == "conditional_poisson":
        law = np.exp(np.asarray(subsets.log_prob(ops, logits, k, ops.asarray(states)), np.float64))
    else:
        law = np.asarray(plackett_luce.probabilities(ops, logits, k), np.float64)
    pairs = np.triu_indices(N, 1)
    if estimator.functional == "f_of_mean":  # a mean of samples: only its own expectation is known
        found, expected = points, law @ states
    else:
        found, expected = (
            points[..., pairs[0]] * points[..., pairs[1]],
            law @ (states[:, pairs[0]] * states[:, pairs[1]]),
        )
        found, expected = np.concatenate([points, found], axis=-1), np.concatenate([law @ states, expected])
    per_row = np.sum(weights[..., None] * found, axis=0)
    assert_means_agree(per_row, expected, f"law={estimator.law}: inclusion frequencies (items, then pairs)")


def estimate_is_unbiased_as_claimed(candidate: Candidate) -> None:
    """E ĝ against the exact gradient, coordinate by coordinate, on objectives of the claimed degree."""
    claimed = candidate.estimator.unbiased_for
    degrees = {"any": ("affine", "quadratic", "any"), "quadratic": ("affine", "quadratic"), "affine": ("affine",)}
    if claimed == "nothing":
        raise NotApplicableError("the record claims no unbiasedness")
    for objective in ("affine", "distance", "pairwise", "smooth"):
        if objectives.get(objective).degree not in degrees[claimed]:
            continue
        least = candidate.estimator.samples_min
        # A factor such as 1 − 1/S shows at any S > 1; once is enough.
        for samples in (least, least + 1) if objective == "pairwise" else (least,):
            label = f"claims unbiased_for={claimed}; objective {objective}, S={samples}"
            assert_mean_is_exact(candidate, candidate.problem(objective), samples, label)


def mean_points_downhill(candidate: Candidate) -> None:
    """On an affine objective the mean estimate has a positive product with the exact gradient of its target."""
    problem = candidate.problem("affine")
    exact = target_gradient(candidate, problem)
    mean, std_error = expected_estimate(candidate, problem, candidate.estimator.samples(1), exact)
    product, error = float(mean @ exact), float(std_error @ np.abs(exact))
    assert product > SIGMAS * error, (
        f"E ĝ·∇ = {product:.3g} ± {error:.2g} on an affine objective: the estimate does not point along the gradient "
        f"of {target_label(candidate.estimator)} (wrong sign?)"
    )


def objective_is_used_as_declared(candidate: Candidate) -> None:
    """`needs` holds: f's gradient is asked for, and f evaluated off the k-hot points, only if declared."""
    ops, needs = candidate.ops, candidate.estimator.needs
    f = candidate.objective("smooth")
    by_values_only = "gradient" not in needs and "relaxed" not in needs

    def refuse(*_: Array) -> Array:
        raise AssertionError(f"needs={sorted(needs)}, but the gradient of f was asked for")

    def guarded(z: Array) -> Array:
        if "relaxed" not in needs:
            hot = bool(ops.xp.all((z == 0) | (z == 1)))
            assert hot, f"needs={sorted(needs)}, but f was evaluated at a point that is not k-hot"
        return ops.custom_vjp(f, refuse)(z) if by_values_only else f(z)

    theta = ops.asarray(candidate.theta(2))
    raw = {name: ops.asarray(value) for name, value in candidate.raw(2).items()}
    draws = resolve_draws(candidate.declared(), ops, theta, raw, guarded, k=candidate.k, params=candidate.params)
    evaluate(
        candidate.estimator,
        ops,
        theta,
        draws,
        guarded,
        k=candidate.k,
        params=candidate.params,
        state=candidate.state(theta),
    )


def minus_infinity_is_never_chosen(candidate: Candidate) -> None:
    """-inf logits: points 0 and gradient 0 there, everything finite, down to exactly k finite logits."""
    theta = candidate.theta(ROWS)
    theta[0, 1] = theta[1, : N - candidate.k] = -np.inf
    points, weights, gradient, _ = candidate.estimate(theta, candidate.raw(ROWS))
    never = theta == -np.inf
    assert np.isfinite(points).all() and np.isfinite(gradient).all(), "a -inf logit makes points or gradient NaN or inf"
    assert ((points * weights[..., None])[:, never] == 0).all(), "an item of logit -inf was chosen"
    assert (gradient[never] == 0).all(), "an item of logit -inf has a gradient"


def invalid_rows_are_nan(candidate: Candidate) -> None:
    """A row with NaN, +inf or too few finite logits is NaN, and its neighbours do not notice."""
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS)
    _, _, sound, _ = candidate.estimate(theta, raw)
    theta[1, 2], theta[2, 0], theta[3, : N - candidate.k + 1] = np.nan, np.inf, -np.inf
    points, _, gradient, _ = candidate.estimate(theta, raw)
    assert np.isnan(points[:, 1:]).all(), "points of an invalid row are not NaN"
    assert np.isnan(gradient[1:]).all(), "the gradient of an invalid row is not NaN"
    assert np.array_equal(gradient[0], sound[0]), "an invalid row changes its neighbour"


def rows_are_independent(candidate: Candidate) -> None:
    """Each row of a batch is what it is alone."""
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS)
    _, _, together, _ = candidate.estimate(theta, raw)
    for row in range(ROWS):
        alone = candidate.estimate(theta[row : row + 1], {name: v[:, row : row + 1] for name, v in raw.items()})[2][0]
        gap = np.abs(alone - together[row]).max() / max(1.0, np.abs(alone).max())
        assert gap < rounding(candidate), f"row {row} alone differs from row {row} in a batch by {gap:.2g}"


def samples_are_averaged(candidate: Candidate) -> None:
    """An estimate from S samples is the mean of the estimates from each: a rule sees ∇f unscaled (λ, never λ/S)."""
    if candidate.estimator.samples_min > 1:
        raise NotApplicableError("one sample alone gives no estimate")
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS, 2)
    together = candidate.estimate(theta, raw)[2]
    # Samples become rows, repeated up to the shape of `points_follow_the_law`, for which a function is compiled.
    rows = candidate.replicates
    single = {name: np.resize(v.reshape(2 * ROWS, *v.shape[2:]), (rows, *v.shape[2:]))[None] for name, v in raw.items()}
    alone = candidate.estimate(np.resize(theta, (rows, N)), single)[2][: 2 * ROWS].reshape(2, ROWS, N)
    gap = np.abs(together - np.mean(alone, axis=0)).max() / max(1.0, np.abs(together).max())
    assert gap < rounding(candidate), f"the estimate at S=2 is not the mean of those at S=1: off by {gap:.2g}"


def items_are_interchangeable(candidate: Candidate) -> None:
    """Permuting theta, draws and the objective permutes the gradient."""
    ops, k = candidate.ops, candidate.k
    order = np.random.RandomState(5).permutation(N)
    weights = ops.asarray(np.linspace(-1.0, 2.0, N))
    theta = ops.asarray(candidate.theta(2))
    raw = {name: ops.asarray(value) for name, value in candidate.raw(2).items()}

    def gradient(theta: Array, draws: dict[str, Array], c: Array) -> np.ndarray:
        def f(z: Array) -> Array:
            return ops.xp.sin(ops.xp.sum(c * z * z, axis=-1))

        result = evaluate(
            candidate.estimator, ops, theta, draws, f, k=k, params=candidate.params, state=candidate.state(theta)
        )
        return np.asarray(result[2])

    def f(z: Array) -> Array:
        return ops.xp.sin(ops.xp.sum(weights * z * z, axis=-1))

    draws = resolve_draws(candidate.declared(), ops, theta, raw, f, k=k, params=candidate.params)
    before = gradient(theta, draws, weights)
    permuted = {name: ops.asarray(np.asarray(value)[..., order]) for name, value in draws.items()}
    after = gradient(ops.asarray(np.asarray(theta)[:, order]), permuted, ops.asarray(np.asarray(weights)[order]))
    gap = np.abs(after - before[:, order]).max() / max(1.0, np.abs(before).max())
    assert gap < rounding(candidate), f"permuting the items changes the gradient by {gap:.2g}"


def shift_changes_nothing_if_claimed(candidate: Candidate) -> None:
    """`shift_invariant`: a constant added to a row changes no gradient."""
    if not candidate.estimator.shift_invariant:
        raise NotApplicableError("the record does not claim shift invariance")
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS)
    _, _, before, _ = candidate.estimate(theta, raw)
    _, _, after, _ = candidate.estimate(theta + 3.0, raw)
    gap = np.abs(after - before).max() / max(1.0, np.abs(before).max())
    assert gap < 1e3 * rounding(candidate), f"claims shift_invariant, but θ + 3 changes the gradient by {gap:.2g}"


def outer_weights_multiply_the_estimate(candidate: Candidate) -> None:
    """The gradient of Σ c_b loss_b is c_b times the finished estimate; f's parameters get Σ w ∂f."""
    ops, xp, k = candidate.ops, candidate.ops.xp, candidate.k
    theta = ops.asarray(candidate.theta(2))
    raw = {name: ops.asarray(value) for name, value in candidate.raw(2).items()}
    outer = ops.asarray(np.array([0.25, -3.0]))
    scale = ops.asarray(np.array(1.5))

    def f(z: Array, s: Any = 1.5) -> Array:
        return s * xp.sum(z * z * ops.asarray(np.arange(1.0, N + 1)), axis=-1)

    draws = resolve_draws(candidate.declared(), ops, theta, raw, f, k=k, params=candidate.params)
    state = candidate.state(theta)
    keywords = {"k": k, "params": candidate.params, "state": state}
    points, weights, gradient, _ = evaluate(candidate.estimator, ops, theta, draws, f, **keywords)

    def total(t: Array) -> Array:
        return xp.sum(outer * expectation(candidate.estimator, ops, t, f, draws, **keywords)[0])

    found = np.asarray(ops.value_and_grad(total)(theta)[1])
    expected = np.asarray(outer)[:, None] * np.asarray(gradient)
    gap = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
    assert gap < rounding(candidate), f"an outer weight does not multiply the finished estimate: off by {gap:.2g}"

    def of_parameter(s: Array) -> Array:
        loss, _ = expectation(candidate.estimator, ops, theta, lambda z: f(z, s), draws, **keywords)
        return xp.sum(loss)

    slope = float(ops.value_and_grad(of_parameter)(scale)[1])
    plain = float(xp.sum(weights * f(points, 1.0)))
    assert abs(slope - plain) < 1e-4 * max(1.0, abs(plain)), f"f's own parameter gets {slope:.6g}, not {plain:.6g}"


def compiled_equals_eager(candidate: Candidate) -> None:
    """A compiled call gives what an eager one gives, and a second compiled call traces nothing."""
    ops, k = candidate.ops, candidate.k
    traces = 0
    objective = candidate.objective("smooth")

    def gradient(theta: Array, raw: dict[str, Array]) -> Array:
        nonlocal traces
        traces += 1
        draws = resolve_draws(candidate.declared(), ops, theta, raw, objective, k=k, params=candidate.params)
        return evaluate(
            candidate.estimator,
            ops,
            theta,
            draws,
            objective,
            k=k,
            params=candidate.params,
            state=candidate.state(theta),
        )[2]

    theta = ops.asarray(candidate.theta(2))
    raw = {name: ops.asarray(value) for name, value in candidate.raw(2).items()}
    eager = np.asarray(gradient(theta, raw))
    function = ops.compile(gradient)
    first = np.asarray(function(theta, raw))
    before = traces
    function(theta + 0.1, raw)
    if function is not gradient:
        assert traces == before, "a second call with other values compiles again"
    gap = np.abs(first - eager).max() / max(1.0, np.abs(eager).max())
    assert gap < 10 * rounding(candidate), f"compiled differs from eager by {gap:.2g}"


CHECKS: tuple[Callable[[Candidate], None], ...] = (
    shapes_are_as_declared,
    points_follow_the_law,
    estimate_is_unbiased_as_claimed,
    mean_points_downhill,
    objective_is_used_as_declared,
    minus_infinity_is_never_chosen,
    invalid_rows_are_nan,
    rows_are_independent,
    samples_are_averaged,
    items_are_interchangeable,
    shift_changes_nothing_if_claimed,
    outer_weights_multiply_the_estimate,
    compiled_equals_eager,
)
