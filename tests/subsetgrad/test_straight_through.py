"""Straight-through estimators against explicit gradients and softmax Jacobian matrices."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from families import Curved, estimated

from subsetgrad import get

N, S = 6, 3
RNG = np.random.default_rng(4)
THETA = 1.5 * RNG.normal(size=(2, N))
A, C = RNG.normal(size=(2, N))
F = Curved(A, C)
NOISE = RNG.gumbel(size=(S, 2, N))
Z = oracles.top_k_mask(THETA + NOISE, 3)


def estimate(ops, name, draws, k, theta=THETA, f=None, **params):
    points, _, gradient, _ = estimated(ops, name, theta, draws, f or F.on(ops), k=k, **params)
    return points, gradient


def softmax_jacobian(x, temperature):
    """Returns ∂y_i/∂x_j of y = softmax(x/τ), entry by entry, by the quotient rule."""
    weights = [np.exp(value / temperature) for value in x]
    total = sum(weights)
    return np.array(
        [
            [(weights[i] * (i == j) * total - weights[i] * weights[j]) / total**2 / temperature for j in range(len(x))]
            for i in range(len(x))
        ]
    )


@pytest.mark.parametrize(("name", "draws"), [("ste", {"z": Z}), ("ste_gumbel", {"noise": NOISE})])
def test_ste_is_the_mean_gradient_at_the_samples_and_ste_gumbel_at_the_perturbed_top_k(ops, name, draws):
    points, gradient = estimate(ops, name, draws, 3)
    assert np.array_equal(points, Z)
    expected = [np.mean([F.slope(Z[s, b]) for s in range(S)], axis=0) for b in range(2)]
    np.testing.assert_allclose(gradient, expected, atol=1e-9)


def test_ste_does_not_depend_on_the_logits(ops):
    first = estimate(ops, "ste", {"z": Z}, 3)[1]
    assert np.array_equal(first, estimate(ops, "ste", {"z": Z}, 3, theta=0 * THETA)[1])


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_stgs_is_the_softmax_jacobian_times_the_gradient_at_the_one_hot(ops, temperature):
    points, gradient = estimate(ops, "stgs", {"noise": NOISE}, 1, temperature=temperature)
    assert np.array_equal(points, oracles.top_k_mask(THETA + NOISE, 1))
    expected = np.zeros((2, N))
    relaxed = np.zeros((2, N))
    for s, b in np.ndindex(S, 2):
        x = THETA[b] + NOISE[s, b]
        jacobian = softmax_jacobian(x, temperature)
        expected[b] += jacobian @ F.slope(points[s, b]) / S
        relaxed[b] += jacobian @ F.slope(np.exp(x / temperature) / np.sum(np.exp(x / temperature))) / S
    np.testing.assert_allclose(gradient, expected, atol=1e-8)
    assert np.max(np.abs(gradient - relaxed)) > 0.01  # wrong twin: ∇f at the relaxed point, as in Gumbel-softmax


def test_stgs_has_the_temperature_1_by_default(ops):
    default = estimate(ops, "stgs", {"noise": NOISE}, 1)[1]
    assert np.array_equal(default, estimate(ops, "stgs", {"noise": NOISE}, 1, temperature=1.0)[1])


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_stgs_is_gumbel_softmax_where_the_gradient_is_the_same_everywhere(ops, temperature):
    c = ops.asarray(C)

    def affine(z):
        return ops.xp.sum(c * z, axis=-1)

    straight = estimate(ops, "stgs", {"noise": NOISE}, 1, f=affine, temperature=temperature)[1]
    soft = estimate(ops, "gs", {"noise": NOISE}, 1, f=affine, temperature=temperature)[1]
    np.testing.assert_allclose(straight, soft, atol=1e-12)


def test_stgs_and_gumbel_softmax_share_their_point_where_one_item_has_all_the_mass(ops):
    noise = NOISE.copy()
    noise[..., 2] += 60.0
    straight, soft = (estimate(ops, name, {"noise": noise}, 1) for name in ("stgs", "gs"))
    np.testing.assert_allclose(straight[0], soft[0], atol=1e-12)
    np.testing.assert_allclose(straight[1], soft[1], atol=1e-12)


def test_stgs_and_gumbel_softmax_are_defined_for_one_item_only():
    for name in ("stgs", "gs"):
        with pytest.raises(ValueError, match=f"k=2: {name} is defined for k=1 only"):
            get(name).check_k(2, 5)
