"""Score-function estimators against explicit scores and explicit leave-one-out means."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from families import Curved, estimated

from subsetgrad import get
from subsetgrad.base import evaluate

N, K = 5, 2
RNG = np.random.default_rng(1)
THETA = 1.5 * RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C, constant=2.0)
LAWS = [oracles.enumerated(row, K) for row in THETA]


def estimate(ops, name, z, theta=THETA):
    """Returns the gradient `[B, n]` at samples z `[S, B, n]`."""
    points, weights, gradient, _ = estimated(ops, name, theta, {"z": z}, F.on(ops), k=K)
    assert np.array_equal(points, z)
    assert np.allclose(weights, 1 / len(z))
    return gradient


def samples(count, seed=0):
    chosen = np.random.default_rng(seed).integers(len(LAWS[0].states), size=(count, 2))
    return LAWS[0].states[chosen]


def score(b, z):
    """Returns ∇ log p(z) of row b, by finite differences of the listed law."""

    def log_probability(theta):
        law = oracles.enumerated(theta, K)
        return law.log_probabilities[np.all(law.states == z, axis=1)][0]

    return oracles.finite_difference(log_probability, THETA[b])


@pytest.mark.parametrize("count", [1, 3])
def test_sfe_is_the_mean_of_value_times_score(ops, count):
    z = samples(count)
    expected = [np.mean([F(z[s, b]) * score(b, z[s, b]) for s in range(count)], axis=0) for b in range(2)]
    np.testing.assert_allclose(estimate(ops, "sfe", z), expected, atol=1e-8)


def leave_one_out(z, b, mean_of):
    """Returns (1/S) Σ (f_i − baseline_i) score_i, with `mean_of(others, all)` the baseline of sample i."""
    values = [F(z[s, b]) for s in range(len(z))]
    terms = []
    for i in range(len(z)):
        others = [values[j] for j in range(len(z)) if j != i]
        terms.append((values[i] - mean_of(others, values)) * score(b, z[i, b]))
    return np.mean(terms, axis=0)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_rloo_is_the_mean_with_explicit_leave_one_out_baselines(ops, count):
    z = samples(count, seed=count)
    gradient = estimate(ops, "rloo", z)
    expected = [leave_one_out(z, b, lambda others, _: np.mean(others)) for b in range(2)]
    np.testing.assert_allclose(gradient, expected, atol=1e-8)
    # Wrong twin: the mean of all samples as the baseline, as in a published code; it shrinks the gradient by 1 − 1/S.
    shrunk = np.array([leave_one_out(z, b, lambda _, values: np.mean(values)) for b in range(2)])
    np.testing.assert_allclose(shrunk, gradient * (1 - 1 / count), atol=1e-8)
    assert np.max(np.abs(shrunk - gradient)) > 0.01


def exact_gradient(b):
    law = LAWS[b]
    values = F(law.states)
    return (law.probabilities * values) @ (law.states - law.marginals)


def test_mean_of_sfe_over_the_law_is_the_exact_gradient(ops):
    law = LAWS[0]
    gradients = estimate(ops, "sfe", law.states[None], np.repeat(THETA[:1], len(law.states), axis=0))
    np.testing.assert_allclose(law.probabilities @ gradients, exact_gradient(0), atol=1e-12)


def test_mean_of_rloo_over_pairs_is_the_exact_gradient(ops):
    law = LAWS[0]
    first, second = np.indices((len(law.states),) * 2).reshape(2, -1)
    gradients = estimate(ops, "rloo", law.states[np.stack([first, second])], np.repeat(THETA[:1], len(first), axis=0))
    weights = law.probabilities[first] * law.probabilities[second]
    np.testing.assert_allclose(weights @ gradients, exact_gradient(0), atol=1e-12)


def test_rloo_does_not_see_a_constant_in_the_objective(ops):
    z = ops.asarray(samples(3))
    f = F.on(ops)
    theta = ops.asarray(THETA)
    plain = evaluate(get("rloo"), ops, theta, {"z": z}, f, k=K, params={})[2]
    raised = evaluate(get("rloo"), ops, theta, {"z": z}, lambda z: f(z) + 1e3, k=K, params={})[2]
    np.testing.assert_allclose(np.asarray(raised), np.asarray(plain), atol=1e-11)


def test_rloo_is_zero_where_all_samples_are_the_same(ops):
    z = np.broadcast_to(LAWS[0].states[4], (3, 2, N)).copy()
    assert np.max(np.abs(estimate(ops, "rloo", z))) < 1e-15


def test_rloo_uses_at_least_two_samples():
    assert [get("rloo").samples(wanted) for wanted in (1, 2, 5)] == [2, 2, 5]
    assert [get("sfe").samples(wanted) for wanted in (1, 2, 5)] == [1, 2, 5]
