"""I-MLE against loops over sorted items, and its adaptive step against a scalar loop over several calls."""

from __future__ import annotations

import math

import numpy as np
import pytest
from families import Curved, estimated

from subsetgrad import get

N, K, S = 6, 3, 3
RNG = np.random.default_rng(3)
THETA = 1.5 * RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C)
NOISE = RNG.gumbel(size=(8, S, 2, N))


def top(scores):
    """Returns the K largest of one row, by sorting."""
    z = np.zeros(len(scores))
    z[sorted(range(len(scores)), key=lambda i: -scores[i])[:K]] = 1.0
    return z


def estimate(ops, name, noise, state=None, theta=THETA, scale=1.0, **params):
    f = F.on(ops)
    points, _, gradient, state = estimated(
        ops, name, theta, {"noise": noise}, lambda z: scale * f(z), k=K, state=state, **params
    )
    return points, gradient, state


def difference_of_maps(step_size, backward_noise=None):
    """Returns mean_s (z − z′) by a loop; another noise in the second map makes a wrong twin."""
    gradient = np.zeros((2, N))
    for s, b in np.ndindex(S, 2):
        z = top(THETA[b] + NOISE[0, s, b])
        second = (NOISE[0] if backward_noise is None else backward_noise)[s, b]
        gradient[b] += (z - top(THETA[b] + second - step_size * F.slope(z))) / S
    return gradient


@pytest.mark.parametrize("name", ["imle_sog", "imle_gumbel"])
@pytest.mark.parametrize("step_size", [0.5, 1.0])
def test_gradient_is_the_difference_of_maps_at_the_same_noise(ops, name, step_size):
    points, gradient, _ = estimate(ops, name, NOISE[0], step_size=step_size)
    assert np.array_equal(points, [[top(THETA[b] + NOISE[0, s, b]) for b in range(2)] for s in range(S)])
    np.testing.assert_allclose(gradient, difference_of_maps(step_size), atol=1e-12)
    assert np.any(gradient)
    # Wrong twin: new noise in the second map.
    assert np.max(np.abs(gradient - difference_of_maps(step_size, NOISE[1]))) > 0.3


def test_default_step_is_1(ops):
    _, gradient, _ = estimate(ops, "imle_gumbel", NOISE[0])
    assert np.array_equal(gradient, estimate(ops, "imle_gumbel", NOISE[0], step_size=1.0)[1])


@pytest.mark.parametrize("name", ["imle_sog", "imle_gumbel"])
def test_a_vanishing_step_gives_a_zero_gradient(ops, name):
    assert np.all(estimate(ops, name, NOISE[0], step_size=1e-9)[1] == 0)


def test_a_huge_step_chooses_the_items_of_smallest_slope(ops):
    points, gradient, _ = estimate(ops, "imle_gumbel", NOISE[0, :1], step_size=1e9)
    for b in range(2):
        np.testing.assert_allclose(gradient[b], points[0, b] - top(-F.slope(points[0, b])), atol=1e-12)


def reference_controller(calls, *, central, target_norm, update, decay, alpha, row):
    """Yields (gradient, α, norm) of AIMLE after each call, for one row, by loops over scalars."""
    norm = 1.0
    for noise in NOISE[:calls, :, row]:
        gradient, nonzero = np.zeros(N), 0
        for eps in noise:
            x = THETA[row] + eps
            z = top(x)
            g = F.slope(z)
            step = alpha * math.sqrt(sum(v * v for v in THETA[row])) / math.sqrt(sum(v * v for v in g))
            raw = (top(x + step * g) if central else z) - top(x - step * g)
            gradient += raw / ((2 if central else 1) * step if step > 0 else 1.0) / len(noise)
            nonzero += sum(v != 0 for v in raw) / len(noise)
        norm = decay * norm + (1 - decay) * nonzero
        alpha = max(0.0, alpha + (update if norm < target_norm else -update))
        yield gradient, alpha, norm


@pytest.mark.parametrize(
    ("params", "alpha"),
    [({}, 0.4), ({"central": True}, 0.4), ({"target_norm": 2.5, "update": 0.3, "decay": 0.5, "central": True}, 0.0)],
    ids=["default", "central", "fast"],
)
def test_adaptive_step_is_that_of_a_scalar_loop(ops, params, alpha):
    settings = {"central": False, "target_norm": 1.0, "update": 1e-3, "decay": 0.9} | params
    expected = [list(reference_controller(6, **settings, alpha=alpha, row=b)) for b in range(2)]
    state = {"alpha": np.full(2, alpha), "norm": np.ones(2)}
    alphas = []
    for call in range(6):
        _, gradient, state = estimate(ops, "aimle", NOISE[call], state, **params)
        for b in range(2):
            expected_gradient, expected_alpha, expected_norm = expected[b][call]
            np.testing.assert_allclose(gradient[b], expected_gradient, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(float(state["alpha"][b]), expected_alpha, atol=1e-12)
            np.testing.assert_allclose(float(state["norm"][b]), expected_norm, atol=1e-12)
        alphas.append(float(state["alpha"][0]))
    assert len(set(alphas)) > 1 and np.any(gradient)


def test_first_state_is_a_step_of_0_and_a_norm_of_1(ops):
    state = get("aimle").initial_state(ops, ops.asarray(THETA))
    assert np.array_equal(np.asarray(state["alpha"]), np.zeros(2))
    assert np.array_equal(np.asarray(state["norm"]), np.ones(2))
    _, gradient, after = estimate(ops, "aimle", NOISE[0], state)
    assert np.all(gradient == 0)
    np.testing.assert_allclose(np.asarray(after["norm"]), 0.9)
    np.testing.assert_allclose(np.asarray(after["alpha"]), 1e-3)


def test_adaptive_gradient_scales_with_the_objective(ops):
    """Since λ ∝ 1/‖g‖, scaling f does not change the two maps, and dividing by λ scales the gradient."""
    state = {"alpha": np.full(2, 0.5), "norm": np.ones(2)}
    plain = estimate(ops, "aimle", NOISE[0], state)[1]
    scaled = estimate(ops, "aimle", NOISE[0], state, scale=100.0)[1]
    assert np.any(plain)
    np.testing.assert_allclose(scaled, 100 * plain, rtol=1e-9)
    # Wrong twin: in plain I-MLE, scaling f changes the maps.
    assert not np.array_equal(*(estimate(ops, "imle_gumbel", NOISE[0], scale=scale)[1] for scale in (1.0, 100.0)))


def test_adaptive_step_leaves_impossible_items_out_of_the_norm(ops):
    state = {"alpha": np.full(2, 0.5), "norm": np.ones(2)}
    impossible = THETA.copy()
    impossible[:, 2] = -np.inf
    far = THETA.copy()
    far[:, 2] = 0.0
    gradient = estimate(ops, "aimle", NOISE[0], state, theta=impossible)[1]
    noise = NOISE[0].copy()
    noise[..., 2] = -1e9  # never chosen; its logit of 0 adds nothing to ‖θ‖
    np.testing.assert_allclose(gradient, estimate(ops, "aimle", noise, state, theta=far)[1] * (np.arange(N) != 2))
