"""Relaxations against naive loops in float64 and their finite differences; SoftSub in float32."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from families import Curved, estimated

from subsetgrad import get

N, K, S = 6, 3, 3
RNG = np.random.default_rng(5)
THETA = 1.5 * RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C)
NOISE = RNG.gumbel(size=(S, 2, N))
NOISES = RNG.gumbel(size=(S, 2, K, N))


def estimate(ops, name, noise, theta=THETA, k=K, f=None, **params):
    points, _, gradient, _ = estimated(ops, name, theta, {"noise": noise}, f or F.on(ops), k=k, **params)
    return points, gradient


def naive_softmax(x):
    weights = np.exp(x - max(x))
    return weights / sum(weights)


def naive_softsub(x, k, temperature, epsilon=1e-30):
    """Returns the result of the published algorithm as printed, in float64."""
    total = np.zeros(len(x))
    for _ in range(k):
        a = naive_softmax(x / temperature)
        x = x + np.log(np.maximum(1 - a, epsilon))
        total += a
    return total


def naive_l2x(theta, noises, temperature):
    rows = [naive_softmax((theta + noise) / temperature) for noise in noises]
    return np.array([max(row[i] for row in rows) for i in range(len(theta))])


def assert_follows(points, gradient, naive):
    """Asserts that the points are `naive(theta row, s, b)`, and the gradient its finite differences."""
    for s, b in np.ndindex(S, 2):
        np.testing.assert_allclose(points[s, b], naive(THETA[b], s, b), atol=1e-9)
    for b in range(2):
        expected = oracles.finite_difference(
            lambda row, b=b: np.mean([F(naive(row, s, b)) for s in range(S)]), THETA[b], 1e-6
        )
        np.testing.assert_allclose(gradient[b], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_softsub_on_theta_is_the_naive_loop(ops, temperature):
    points, gradient = estimate(ops, "softsub", NOISE, temperature=temperature)
    assert_follows(points, gradient, lambda row, s, b: naive_softsub(row + NOISE[s, b], K, temperature))
    np.testing.assert_allclose(points.sum(axis=-1), K, atol=1e-12)


def test_softsub_on_log_sigmoid_is_the_naive_loop(ops):
    points, gradient = estimate(ops, "softsub", NOISE, temperature=2.0, epsilon=1e-7, logits="logsigmoid")
    assert_follows(
        points, gradient, lambda row, s, b: naive_softsub(NOISE[s, b] - np.log1p(np.exp(-row)), K, 2.0, 1e-7)
    )


def test_softsub_refuses_other_logits():
    record = get("softsub")
    with pytest.raises(
        ValueError, match=r"softsub\[logits='odds'\] is out of range: it must be one of theta, logsigmoid"
    ):
        record.draws_for(K, record.resolve_params({"logits": "odds"}))


def test_log_sigmoid_is_accurate_at_extremes_and_keeps_impossible_items(ops):
    from subsetgrad.families.relaxed import _log_sigmoid

    theta = ops.asarray(np.array([-800.0, -30.0, -1.0, 0.0, 1.0, 30.0, 800.0, -np.inf]))
    (_, values), slopes = ops.value_and_grad(
        lambda x: (ops.xp.sum(_log_sigmoid(ops, x)[:-1]) + 0.0, _log_sigmoid(ops, x)), has_aux=True
    )(theta)
    x = np.asarray(theta)[:-1]
    np.testing.assert_allclose(np.asarray(values)[:-1], -np.logaddexp(0, -x), rtol=1e-12, atol=1e-15)
    assert np.asarray(values)[-1] == -np.inf
    np.testing.assert_allclose(np.asarray(slopes)[:-1], np.exp(-np.logaddexp(0, x)), rtol=1e-9, atol=1e-14)
    assert np.asarray(slopes)[-1] == 0
    assert np.isnan(np.asarray(_log_sigmoid(ops, ops.asarray([np.nan]))))


def test_softsub_tends_to_top_k_as_it_cools(ops):
    scores = np.random.default_rng(0).permuted(np.tile(0.5 * np.arange(N), (1, 2, 1)), axis=-1)
    expected = oracles.top_k_mask(scores, K)
    gaps = []
    for temperature in (1.0, 0.1, 0.01):
        points, _ = estimate(ops, "softsub", scores, theta=0 * THETA, temperature=temperature)
        gaps.append(np.max(np.abs(points - expected)))
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 1e-12


def test_softsub_at_k_1_is_gumbel_softmax(ops):
    first = estimate(ops, "softsub", NOISE, k=1, temperature=0.7)
    second = estimate(ops, "gs", NOISE, k=1, temperature=0.7)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_gumbel_softmax_is_the_softmax_of_perturbed_logits(ops, temperature):
    points, gradient = estimate(ops, "gs", NOISE, k=1, temperature=temperature)
    assert_follows(points, gradient, lambda row, s, b: naive_softmax((row + NOISE[s, b]) / temperature))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_l2x_is_the_largest_of_k_independent_softmaxes(ops, temperature):
    points, gradient = estimate(ops, "l2x", NOISES, temperature=temperature)
    assert_follows(points, gradient, lambda row, s, b: naive_l2x(row, NOISES[s, b], temperature))
    sums = points.sum(axis=-1)
    assert np.all(sums <= K + 1e-12) and np.any(sums < K - 0.1)
    one_draw = np.array([[naive_l2x(THETA[b], NOISES[s, b, :1], temperature) for b in range(2)] for s in range(S)])
    assert np.max(np.abs(points - one_draw)) > 0.1  # wrong twin: one draw, as in a published code


def test_l2x_draws_k_vectors_of_noise():
    record = get("l2x")
    assert record.draws_for(4, record.resolve_params({}))["noise"].shape(2, 3, 5) == (2, 3, 4, 5)


def hard_rows():
    """Returns perturbed logits of which one after another dominates at t = 0.1, exact in float32."""
    rng = np.random.default_rng(0)
    return (10 * rng.normal(size=(200, 10)) + rng.gumbel(size=(200, 10))).astype(np.float32).astype(float)


def naive_float32(x, k, temperature):
    x, total = x.astype(np.float32), np.float32(0)
    for _ in range(k):
        weights = np.exp((x - x.max(axis=-1, keepdims=True)) / np.float32(temperature))
        a = weights / weights.sum(axis=-1, keepdims=True)
        x = x + np.log(np.maximum(1 - a, np.float32(1.1754944e-38)))
        total = total + a
    return total


def exact_softsub(x, k, temperature):
    """Returns SoftSub in float64, with 1 − a computed from the other items, so that nothing cancels."""
    x, total = x.copy(), np.zeros(x.shape)
    for _ in range(k):
        others = np.empty_like(x)
        for i in range(x.shape[-1]):
            others[..., i] = np.logaddexp.reduce(np.delete(x, i, axis=-1) / temperature, axis=-1)
        log_total = np.logaddexp.reduce(x / temperature, axis=-1)[..., None]
        total += np.exp(x / temperature - log_total)
        x = x + np.maximum(others - log_total, np.log(1.1754943508222875e-38))
    return total


def test_float32_softsub_at_a_low_temperature_is_that_of_float64(ops32):
    rows = hard_rows()
    exact = exact_softsub(rows, 7, 0.1)
    points, gradient = estimate(ops32, "softsub", rows[None], theta=0 * rows, k=7, f=lambda z: ops32.xp.sum(z, axis=-1))
    gap = np.max(np.abs(points[0] - exact))
    assert points.dtype == np.float32 and np.all(np.isfinite(gradient))
    assert gap < 5e-3, f"float32 SoftSub is off by {gap:.2g}"
    # Wrong twin: log(1 − a) by subtraction, as printed.
    assert np.max(np.abs(naive_float32(rows, 7, 0.1) - exact)) > 0.5
