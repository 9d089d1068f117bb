"""The gradient by enumeration, against finite differences of the expectation over the listed law."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from families import Curved, estimated

from subsetgrad import get, subsets
from subsetgrad.base import evaluate, expectation

N = 5
RNG = np.random.default_rng(2)
THETA = 1.5 * RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C)


def expected_value(theta, k):
    law = oracles.enumerated(theta, k)
    return float(law.probabilities @ F(law.states))


def estimate(ops, theta, k):
    return estimated(ops, "exact_enum", theta, {}, F.on(ops), k=k)[:3]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_gradient_is_the_derivative_of_the_expectation(ops, k):
    points, weights, gradient = estimate(ops, THETA, k)
    for b in range(2):
        law = oracles.enumerated(THETA[b], k)
        np.testing.assert_allclose(weights[:, b], law.probabilities, rtol=1e-12)
        assert np.array_equal(points[:, b], law.states)
        expected = oracles.finite_difference(lambda row: expected_value(row, k), THETA[b])
        np.testing.assert_allclose(gradient[b], expected, atol=1e-9)


def test_finite_differences_catch_a_gradient_of_another_law():
    k = 2
    law = oracles.plackett_luce_probabilities(THETA[0], k)
    states = oracles.subsets_of(N, k)
    other = (law * F(states)) @ (states - law @ states)
    expected = oracles.finite_difference(lambda row: expected_value(row, k), THETA[0])
    assert np.max(np.abs(other - expected)) > 0.01


def test_loss_is_the_expectation_itself(ops):
    f = F.on(ops)
    loss, state = expectation(get("exact_enum"), ops, ops.asarray(THETA), f, {}, k=2, params={})
    np.testing.assert_allclose(np.asarray(loss), [expected_value(row, 2) for row in THETA], rtol=1e-12)
    assert state is None


def test_an_impossible_item_has_no_gradient_and_does_not_affect_the_others(ops):
    theta = np.array([[0.3, -np.inf, 1.0, -0.5, 0.7]])
    _, weights, gradient = estimate(ops, theta, 2)
    keep = [0, 2, 3, 4]

    def without(row):
        law = oracles.enumerated(row, 2)
        states = np.zeros((len(law.states), N))
        states[:, keep] = law.states
        return float(law.probabilities @ F(states))

    assert weights.sum() == pytest.approx(1.0) and gradient[0, 1] == 0
    np.testing.assert_allclose(gradient[0, keep], oracles.finite_difference(without, theta[0, keep]), atol=1e-9)


@pytest.mark.parametrize("k", [0, N])
def test_gradient_is_zero_where_there_is_one_subset(ops, k):
    points, _, gradient = estimate(ops, THETA, k)
    assert points.shape == (1, 2, N) and np.all(points == (k == N)) and np.all(gradient == 0)


def test_more_subsets_than_the_limit_are_refused(ops):
    theta = ops.asarray(np.zeros((1, 40)))
    with pytest.raises(ValueError, match=rf"limit is {subsets.enumeration.LIMIT:,}"):
        evaluate(get("exact_enum"), ops, theta, {}, lambda z: ops.xp.sum(z, axis=-1), k=20, params={})
