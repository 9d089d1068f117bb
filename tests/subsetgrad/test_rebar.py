"""REBAR on the Plackett-Luce law: its formula by finite differences, its mean, and its learned temperature."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from families import Curved

from subsetgrad import get
from subsetgrad import ops as ops_module
from subsetgrad.base import evaluate

N, K, S = 5, 2, 3
RNG = np.random.default_rng(9)
THETA = RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C, constant=1.0)
GUMBEL = RNG.gumbel(size=(S, 2, N))
EXPONENTIAL = RNG.exponential(size=(S, 2, N))
LOG_TEMPERATURE = np.log([0.5, 1.3])


def estimate(
    ops, theta=THETA, gumbel=GUMBEL, exponential=EXPONENTIAL, log_temperature=LOG_TEMPERATURE, f=None, **params
):
    record = get("rebar_pl")
    f = f or F.on(ops)

    @ops.compile
    def run(theta, draws, state):
        return evaluate(record, ops, theta, draws, f, k=K, params=record.resolve_params(params), state=state)

    draws = {"gumbel": ops.asarray(gumbel), "exponential": ops.asarray(exponential)}
    points, _, gradient, state = run(ops.asarray(theta), draws, {"log_temperature": ops.asarray(log_temperature)})
    return np.asarray(points), np.asarray(gradient), np.asarray(state["log_temperature"])


def relaxed(x, temperature):
    """Returns SoftSub as printed, in float64."""
    total = np.zeros(N)
    for _ in range(K):
        a = np.exp(x / temperature) / np.exp(x / temperature).sum()
        x = x + np.log(1 - a)
        total += a
    return total


def resampled(theta, order, exponentials):
    """Returns −log of the arrival times, given the order of the first K items."""
    times, clock, gone = np.zeros(N), 0.0, []
    for item in order[:K]:
        clock += exponentials[item] / sum(np.exp(theta[i]) for i in range(N) if i not in gone)
        times[item] = clock
        gone.append(item)
    for item in order[K:]:
        times[item] = clock + exponentials[item] / np.exp(theta[item])
    return -np.log(times)


def log_probability(theta, order):
    rest, total = list(range(N)), 0.0
    for item in order[:K]:
        total += theta[item] - math.log(sum(math.exp(theta[i]) for i in rest))
        rest.remove(item)
    return total


def rebar(b, log_temperature, eta):
    """Returns the estimate of one row from its published terms, each by finite differences."""
    temperature = math.exp(log_temperature)
    gradient = np.zeros(N)
    for s in range(S):
        order = np.argsort(-(THETA[b] + GUMBEL[s, b]))
        z = np.zeros(N)
        z[order[:K]] = 1.0

        def c_of_x(theta, s=s):
            return eta * F(relaxed(theta + GUMBEL[s, b], temperature))

        def c_of_x_tilde(theta, s=s, order=order):
            return eta * F(relaxed(resampled(theta, order, EXPONENTIAL[s, b]), temperature))

        score = oracles.finite_difference(lambda theta, order=order: log_probability(theta, order), THETA[b])
        gradient += (F(z) - c_of_x_tilde(THETA[b])) * score
        gradient += oracles.finite_difference(c_of_x, THETA[b]) - oracles.finite_difference(c_of_x_tilde, THETA[b])
    return gradient / S


@pytest.mark.parametrize("eta", [1.0, 0.3])
def test_gradient_is_score_and_control_variate_by_finite_differences(ops, eta):
    points, gradient, _ = estimate(ops, eta=eta)
    assert np.array_equal(points, oracles.top_k_mask(THETA + GUMBEL, K))
    for b in range(2):
        np.testing.assert_allclose(gradient[b], rebar(b, LOG_TEMPERATURE[b], eta), atol=1e-6)


def test_without_a_control_variate_it_is_the_ordered_score_function(ops):
    points, gradient, state = estimate(ops, eta=0.0)
    for b in range(2):
        terms = []
        for s in range(S):
            order = np.argsort(-(THETA[b] + GUMBEL[s, b]))
            score = oracles.finite_difference(lambda theta, order=order: log_probability(theta, order), THETA[b])
            terms.append(F(points[s, b]) * score)
        np.testing.assert_allclose(gradient[b], np.mean(terms, axis=0), atol=1e-8)
    np.testing.assert_allclose(state, LOG_TEMPERATURE)


def test_temperature_moves_down_the_slope_of_the_squared_norm_by_a_bounded_step(ops):
    rate = 0.05
    _, gradient, state = estimate(ops)
    for b in range(2):

        def squared_norm(log_temperature, b=b):
            return float(np.sum(rebar(b, log_temperature[0], 1.0) ** 2))

        slope = oracles.finite_difference(squared_norm, LOG_TEMPERATURE[b : b + 1], 1e-3)[0]
        step = rate * slope / (abs(slope) + np.sum(gradient[b] ** 2))
        np.testing.assert_allclose(state[b], LOG_TEMPERATURE[b] - step, atol=1e-4)
        assert 1e-3 < abs(step) <= rate


@pytest.mark.parametrize(("start", "bound"), [(0.01, 0.01), (5.0, 5.0)])
def test_temperature_stays_inside_its_range(ops, start, bound):
    rates = {"learning_rate": 50.0}
    _, _, state = estimate(ops, log_temperature=np.log([start, start]), **rates)
    assert np.all((state >= math.log(0.01) - 1e-12) & (state <= math.log(5.0) + 1e-12))
    assert np.any(np.isclose(np.exp(state), 0.01) | np.isclose(np.exp(state), 5.0)), (state, bound)


def test_steps_do_not_depend_on_the_scale_of_the_objective(ops):
    f = F.on(ops)
    states = [estimate(ops, f=lambda z, scale=scale: scale * f(z))[2] for scale in (1e-3, 1.0, 1e3)]
    np.testing.assert_allclose(states[0], states[1], atol=1e-9)
    np.testing.assert_allclose(states[2], states[1], atol=1e-9)


def test_first_temperature_is_one_half(ops):
    state = get("rebar_pl").initial_state(ops, ops.asarray(THETA))
    np.testing.assert_allclose(np.exp(np.asarray(state["log_temperature"])), 0.5)


def test_mean_is_the_exact_gradient_of_the_plackett_luce_law():
    """The z-scores of 5 coordinates stay below 5 at a fixed seed; the gradient of another law is the wrong twin."""
    ops = ops_module.load("torch:cpu")  # one backend suffices, since the formula is tested on both above
    draws = 40_000
    rng = np.random.default_rng(0)
    theta = np.broadcast_to(THETA[0], (draws, N)).copy()
    gumbel, exponential = rng.gumbel(size=(1, draws, N)), rng.exponential(size=(1, draws, N))
    _, gradient, _ = estimate(ops, theta, gumbel, exponential, np.full(draws, math.log(0.5)))
    values = F(oracles.subsets_of(N, K))

    def z_score(law):
        exact = oracles.finite_difference(lambda row: float(law(row) @ values), THETA[0])
        return np.max(np.abs(gradient.mean(axis=0) - exact) / (gradient.std(axis=0) / np.sqrt(draws)))

    assert z_score(lambda row: oracles.plackett_luce_probabilities(row, K)) < 5
    assert z_score(lambda row: oracles.enumerated(row, K).probabilities) > 10
