"""The SIMPLE family against covariance matrices of the listed law."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from families import Curved, estimated

from subsetgrad import get
from subsetgrad.draws import resolve_draws

N, K, S = 6, 3, 3
RNG = np.random.default_rng(0)
THETA = 1.5 * RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C)
LAWS = [oracles.enumerated(row, K) for row in THETA]
NOISE = RNG.gumbel(size=(S, 2, N))
UNIFORMS = RNG.random((2, S, 2, N))
Z = np.stack([oracles.listed_samples(THETA[b], K, UNIFORMS[0, :, b, 0])[0] for b in range(2)], axis=1)


def estimate(ops, name, draws, theta=THETA, f=None, k=K, **params):
    points, weights, gradient, _ = estimated(ops, name, theta, draws, f or F.on(ops), k=k, **params)
    assert np.allclose(weights, 1 / len(points))
    return points, gradient


def test_simple_is_the_covariance_matrix_times_the_mean_gradient(ops):
    points, gradient = estimate(ops, "simple", {"z": Z})
    expected = [LAWS[b].covariance @ np.mean([F.slope(Z[s, b]) for s in range(S)], axis=0) for b in range(2)]
    assert np.array_equal(points, Z)
    np.testing.assert_allclose(gradient, expected, atol=1e-9)
    # Wrong twin: only the diagonal of the covariance matrix, as for independent items.
    diagonal = [np.diag(LAWS[b].covariance) * np.mean([F.slope(Z[s, b]) for s in range(S)], axis=0) for b in range(2)]
    assert np.max(np.abs(gradient - diagonal)) > 0.01


def test_simple_at_k_1_is_the_softmax_closed_form(ops):
    z = np.eye(N)[[[1, 2], [4, 4], [0, 5]]]
    _, gradient = estimate(ops, "simple", {"z": z}, k=1)
    for b in range(2):
        mu = np.exp(THETA[b]) / np.sum(np.exp(THETA[b]))
        g = np.mean([F.slope(z[s, b]) for s in range(S)], axis=0)
        np.testing.assert_allclose(gradient[b], mu * g - mu * (mu @ g), atol=1e-9)


def test_simple_is_exact_without_variance_on_an_affine_objective(ops):
    c = ops.asarray(C)
    _, gradient = estimate(ops, "simple", {"z": Z[:1]}, f=lambda z: ops.xp.sum(c * z, axis=-1) + 5.0)
    for b, law in enumerate(LAWS):
        exact = (law.probabilities * (law.states @ C)) @ (law.states - law.marginals)
        np.testing.assert_allclose(gradient[b], exact, atol=1e-12)


def test_simple_on_the_distance_has_its_closed_form_moments(ops):
    b, law = np.abs(C), LAWS[0]
    target = ops.asarray(b)
    rows = np.repeat(THETA[:1], len(law.states), axis=0)  # one row for each value of the estimate
    _, values = estimate(ops, "simple", {"z": law.states[None]}, rows, lambda z: ops.xp.sum((z - target) ** 2, axis=-1))
    mean = law.probabilities @ values
    covariance = (values - mean).T * law.probabilities @ (values - mean)
    sigma = law.covariance
    np.testing.assert_allclose(mean, 2 * sigma @ (law.marginals - b), atol=1e-12)
    np.testing.assert_allclose(covariance, 4 * sigma @ sigma @ sigma, atol=1e-12)


def test_marginal_pass_on_the_distance_is_the_mean_of_simple(ops):
    b = np.abs(C)
    target = ops.asarray(b)
    points, gradient = estimate(ops, "marginal_pass", {}, f=lambda z: ops.xp.sum((z - target) ** 2, axis=-1))
    for row, law in enumerate(LAWS):
        np.testing.assert_allclose(points[0, row], law.marginals, atol=1e-12)
        np.testing.assert_allclose(gradient[row], 2 * law.covariance @ (law.marginals - b), atol=1e-12)


def test_marginal_pass_is_the_derivative_of_f_at_the_marginals(ops):
    _, gradient = estimate(ops, "marginal_pass", {})
    for b in range(2):
        expected = oracles.finite_difference(lambda row: F(oracles.enumerated(row, K).marginals), THETA[b])
        np.testing.assert_allclose(gradient[b], expected, atol=1e-8)


@pytest.mark.parametrize("step_size", [2.5, 0.5])
def test_simple_f_is_the_difference_of_samples_of_two_laws(ops, step_size):
    record = get("simple_f")
    params = record.resolve_params({"step_size": step_size})
    raw = {"z": ops.asarray(UNIFORMS[0]), "second": ops.asarray(UNIFORMS[1])}
    f = F.on(ops)
    draws = resolve_draws(record.draws_for(K, params), ops, ops.asarray(THETA), raw, f, k=K, params=params)
    assert np.array_equal(np.asarray(draws["z"]), Z)
    points, gradient = estimate(ops, "simple_f", draws, step_size=step_size)
    second = np.zeros((S, 2, N))
    for s, b in np.ndindex(S, 2):
        stepped = THETA[b] - step_size * F.slope(Z[s, b])
        (second[s, b],), (gap,) = oracles.listed_samples(stepped, K, UNIFORMS[1, s, b, :1])
        assert gap > 1e-6  # far enough for the errors of finite differences
    assert np.array_equal(points, Z)
    np.testing.assert_allclose(gradient, np.mean(Z - second, axis=0), atol=1e-12)


@pytest.mark.parametrize("step_size", [2.5, 0.5])
def test_simple_b_is_the_difference_of_two_marginals(ops, step_size):
    points, gradient = estimate(ops, "simple_b", {"noise": NOISE}, step_size=step_size)
    assert np.array_equal(points, oracles.top_k_mask(THETA + NOISE, K))
    for b in range(2):
        stepped = [oracles.enumerated(THETA[b] - step_size * F.slope(points[s, b]), K).marginals for s in range(S)]
        np.testing.assert_allclose(gradient[b], LAWS[b].marginals - np.mean(stepped, axis=0), atol=1e-8)


def test_simple_b_over_a_small_step_is_simple_at_the_same_points(ops):
    step = 1e-5
    points, gradient = estimate(ops, "simple_b", {"noise": NOISE}, step_size=step)
    _, limit = estimate(ops, "simple", {"z": points})
    np.testing.assert_allclose(gradient / step, limit, atol=1e-4)


@pytest.mark.parametrize(("kappa", "expected"), [(0.0, "kappa=3"), (5.0, "kappa=5"), (0.5, "kappa=0.5")])
def test_kappa_of_the_noise_is_k_unless_it_is_given(kappa, expected):
    for name in ("simple_b", "imle_sog"):
        record = get(name)
        noise = record.draws_for(K, record.resolve_params({"kappa": kappa, "tau": 2.0, "terms": 4}))["noise"]
        value = kappa or float(K)
        assert expected in noise.name
        assert noise.variance == pytest.approx(4.0 / value * (1 + 1 / 4 + 1 / 9 + 1 / 16))
        assert noise.mean == pytest.approx(2.0 / value * (1 + 1 / 2 + 1 / 3 + 1 / 4 - np.log(4)))


@pytest.mark.parametrize("name", ["simple", "marginal_pass", "simple_b"])
def test_gradient_is_zero_when_k_equals_n(ops, name):
    draws = {"z": np.ones((1, 2, N))} if name == "simple" else {"noise": NOISE[:1]} if name == "simple_b" else {}
    points, gradient = estimate(ops, name, draws, k=N)
    assert np.all(points == 1) and np.all(gradient == 0)
