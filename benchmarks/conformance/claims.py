"""Checks of the claims about one call: shapes, law, mean, use of f, and logits that are infinite or NaN."""

from __future__ import annotations

import numpy as np

from subsetgrad import plackett_luce, subsets
from subsetgrad.ops import Array

from .. import objectives
from ..quality.true_gradients import target_label
from .candidate import ROWS, Candidate, N, NotApplicableError
from .means import SIGMAS, assert_mean_is_exact, assert_means_agree, expected_estimate, target_gradient


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
    """Points have the inclusion probabilities of the declared law, of items and of pairs of items."""
    estimator, k = candidate.estimator, candidate.k
    rows = candidate.replicates
    theta = np.repeat(candidate.theta(1), rows, axis=0)
    points, weights, _, _ = candidate.estimate(theta, candidate.raw(rows, 1))
    assert (points >= 0).all(), f"points fall below 0, to {points.min()}"
    assert (points.sum(axis=-1) < k + 1e-4).all(), f"points sum to more than k={k}: {points.sum(axis=-1).max()}"
    if estimator.law == "relaxed":
        return
    if estimator.functional == "mean_of_f":
        of_two_samples = candidate.estimate(candidate.theta(ROWS), candidate.raw(ROWS, 2))[0]
        for samples, discrete in ((estimator.samples(1), points), (estimator.samples(2), of_two_samples)):
            hot = ((discrete == 0) | (discrete == 1)).all() and (discrete.sum(axis=-1) == k).all()
            assert hot, f"law={estimator.law} is discrete, but some points are not {k}-hot (S={samples})"
    if estimator.law not in ("conditional_poisson", "plackett_luce"):
        return
    states, probabilities = subsets.enumerate(N, k), _probabilities(candidate)
    observed, expected = points, probabilities @ states
    if estimator.functional == "mean_of_f":  # else points are means of samples, and only their mean is known
        first, second = np.triu_indices(N, 1)
        observed = np.concatenate([points, points[..., first] * points[..., second]], axis=-1)
        expected = np.concatenate([expected, probabilities @ (states[:, first] * states[:, second])])
    per_row = np.sum(weights[..., None] * observed, axis=0)
    assert_means_agree(per_row, expected, f"law={estimator.law}: inclusion frequencies (items, then pairs)")


def _probabilities(candidate: Candidate) -> np.ndarray:
    """Returns the exact probability of each subset under the declared law, at the first row of theta."""
    estimator, ops, k = candidate.estimator, candidate.ops, candidate.k
    logits = ops.asarray(candidate.theta(1)[0])
    if estimator.law_logits is not None:
        logits = estimator.law_logits(ops, logits, **candidate.params)
    if estimator.law == "conditional_poisson":
        states = ops.asarray(subsets.enumerate(N, k))
        return np.exp(np.asarray(subsets.log_prob(ops, logits, k, states), np.float64))
    return np.asarray(plackett_luce.probabilities(ops, logits, k), np.float64)


def estimate_is_unbiased_as_claimed(candidate: Candidate) -> None:
    """E ĝ is the exact gradient, coordinate by coordinate, on objectives of the claimed degree."""
    claimed = candidate.estimator.unbiased_for
    degrees = {"any": ("affine", "quadratic", "any"), "quadratic": ("affine", "quadratic"), "affine": ("affine",)}
    if claimed == "nothing":
        raise NotApplicableError("the record claims no unbiasedness")
    for objective in ("affine", "distance", "pairwise", "smooth"):
        if objectives.get(objective).degree not in degrees[claimed]:
            continue
        least = candidate.estimator.samples_min
        # One objective with a second number of samples is enough to show a wrong factor such as 1 − 1/S.
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
    """The estimate takes f's gradient, and evaluates f at points that are not k-hot, only if `needs` says so."""
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

    theta, raw = candidate.device_inputs(2)
    candidate.evaluate(theta, candidate.draws(theta, raw, guarded), guarded)


def minus_infinity_is_never_chosen(candidate: Candidate) -> None:
    """An item with logit -inf has points 0 and gradient 0, and nothing is NaN; also with exactly k finite logits."""
    theta = candidate.theta(ROWS)
    theta[0, 1] = theta[1, : N - candidate.k] = -np.inf
    points, weights, gradient, _ = candidate.estimate(theta, candidate.raw(ROWS))
    never = theta == -np.inf
    assert np.isfinite(points).all() and np.isfinite(gradient).all(), "a -inf logit makes points or gradient NaN or inf"
    assert ((points * weights[..., None])[:, never] == 0).all(), "an item of logit -inf was chosen"
    assert (gradient[never] == 0).all(), "an item of logit -inf has a gradient"


def invalid_rows_are_nan(candidate: Candidate) -> None:
    """A row with NaN, +inf or too few finite logits gives NaN, and the other rows do not change."""
    theta, raw = candidate.theta(ROWS), candidate.raw(ROWS)
    _, _, before, _ = candidate.estimate(theta, raw)
    theta[1, 2], theta[2, 0], theta[3, : N - candidate.k + 1] = np.nan, np.inf, -np.inf
    points, _, gradient, _ = candidate.estimate(theta, raw)
    assert np.isnan(points[:, 1:]).all(), "points of an invalid row are not NaN"
    assert np.isnan(gradient[1:]).all(), "the gradient of an invalid row is not NaN"
    assert np.array_equal(gradient[0], before[0]), "an invalid row changes its neighbour"
