"""Perturbed optimisers against a loop over the published formula, and against the derivative that they estimate."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from families import Curved, estimated

from subsetgrad import get

N, K, S, M = 5, 2, 3, 4
RNG = np.random.default_rng(8)
THETA = RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C)
NOISE = RNG.gumbel(size=(S, 2, M, N))


def estimate(ops, noise, theta=THETA, f=None, **params):
    params = {"samples": noise.shape[-2]} | params
    points, _, gradient, _ = estimated(ops, "perturbed_opt", theta, {"noise": noise}, f or F.on(ops), k=K, **params)
    return points, gradient


def log_density(e):
    """Returns the log-density of Gumbel noise; ν is minus its derivative."""
    return -e - np.exp(-e)


@pytest.mark.parametrize("control_variate", [False, True])
@pytest.mark.parametrize("sigma", [0.1, 1.0])
def test_gradient_is_the_published_sum(ops, sigma, control_variate):
    points, gradient = estimate(ops, NOISE, sigma=sigma, control_variate=control_variate)
    expected = np.zeros((2, N))
    for s, b in np.ndindex(S, 2):
        maps = [oracles.top_k_mask(THETA[b] + sigma * NOISE[s, b, m], K) for m in range(M)]
        np.testing.assert_allclose(points[s, b], np.mean(maps, axis=0), atol=1e-12)
        g = F.slope(points[s, b])
        origin = oracles.top_k_mask(THETA[b], K) if control_variate else np.zeros(N)
        for m in range(M):
            noise = NOISE[s, b, m]
            nu = -(log_density(noise + 1e-6) - log_density(noise - 1e-6)) / 2e-6
            expected[b] += ((maps[m] - origin) @ g) * nu / (M * sigma * S)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)
    assert np.any(gradient)


def derivative_of_f_of_mean(sigma, c):
    """Returns ∇ c·μ of the perturbed law of the first row, by finite differences of exact marginals."""

    def value(row):
        return float(c @ (oracles.plackett_luce_probabilities(row / sigma, K) @ oracles.subsets_of(N, K)))

    return oracles.finite_difference(value, THETA[0])


@pytest.mark.parametrize("control_variate", [False, True])
def test_mean_is_the_derivative_on_an_affine_objective(ops, control_variate):
    """Unbiased for every M: the z-scores of 5 coordinates stay below 5 at a fixed seed."""
    sigma, draws = 0.7, 60_000
    noise = np.random.default_rng(0).gumbel(size=(1, draws, 1, N))
    c = ops.asarray(C)
    theta = np.broadcast_to(THETA[0], (draws, N)).copy()
    _, gradient = estimate(
        ops, noise, theta, lambda z: ops.xp.sum(c * z, axis=-1), sigma=sigma, control_variate=control_variate
    )
    error = gradient.std(axis=0) / np.sqrt(draws)
    exact = derivative_of_f_of_mean(sigma, C)
    assert np.max(np.abs(gradient.mean(axis=0) - exact) / error) < 5
    # Wrong twin: the gradient without the division by σ.
    assert np.max(np.abs(sigma * gradient.mean(axis=0) - exact) / error) > 15


def test_control_variate_removes_the_slope_that_all_maps_share(ops):
    """A slope common to all items adds variance; the difference from the unperturbed map does not contain it."""
    c = ops.asarray(C + 10)
    noise = np.random.default_rng(1).gumbel(size=(1, 2000, 1, N))
    theta = np.broadcast_to(THETA[0], (2000, N)).copy()
    plain, better = (
        estimate(ops, noise, theta, lambda z: ops.xp.sum(c * z, axis=-1), control_variate=v)[1].var(axis=0).sum()
        for v in (False, True)
    )
    assert better < plain / 10


def test_defaults_are_those_of_the_published_package():
    record = get("perturbed_opt")
    assert record.resolve_params({}) == {"samples": 1000, "sigma": 0.1, "control_variate": False}
    assert record.draws_for(K, record.resolve_params({}))["noise"].shape(2, 3, 5) == (2, 3, 1000, 5)
