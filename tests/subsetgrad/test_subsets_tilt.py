"""The tilt, and the functions that depend on it, on logits of every scale: far-apart groups, and wide groups."""

from __future__ import annotations

import functools
import math

import hypothesis.strategies as st
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings

from subsetgrad import ops as ops_module
from subsetgrad import subsets
from subsetgrad.subsets.product_tree import count_probability, grow
from subsetgrad.subsets.tilting import tilt
from subsetgrad.torch import SubsetLayer

pytestmark = [
    pytest.mark.usefixtures("form"),
    pytest.mark.parametrize("form", ["tree"], indirect=True, scope="module"),
]

BIG = [
    *(("float32", big) for big in (1e3, 2e7, 3e7, 1e8, 1e15, 1e30, 1e37)),
    *(("float64", big) for big in (1e3, 1e8, 1e16, 1e17, 1e30, 1e300)),
]


def shares(groups, k):
    """Returns the marginals of items in groups so far apart that a higher group is always chosen first."""
    above = (groups[:, None] < groups).sum(axis=1)
    size = (groups[:, None] == groups).sum(axis=1)
    return np.clip((k - above) / size, 0, 1)


@pytest.mark.parametrize("backend", ["torch:cpu", "jax:cpu"])
@pytest.mark.parametrize(("dtype", "big"), BIG)
def test_groups_at_multiples_of_a_large_number_are_chosen_in_their_order(backend, dtype, big):
    ops, rng = ops_module.load(backend, dtype), np.random.default_rng(0)
    n, k, rows, samples = 40, 13, 200, 3
    # Two to eight groups of several sizes. Some rows have no group at 0, where a shift is not lost to rounding.
    groups = rng.integers(-4, rng.integers(-2, 5, size=(rows, 1)), size=(rows, n))
    theta = ops.asarray((groups * big).astype(dtype))
    marginals = np.asarray(subsets.marginals(ops, theta, k), "float64")
    expected = np.array([shares(row, k) for row in groups])
    np.testing.assert_allclose(marginals, expected, rtol=0, atol=4 * np.finfo(dtype).eps)
    uniforms = ops.asarray(rng.random((samples, rows, n)).astype(dtype))
    z = np.asarray(subsets.sample(ops, theta, k, uniforms), "float64")
    assert set(np.unique(z)) == {0.0, 1.0} and np.all(z.sum(axis=-1) == k)
    assert np.all(z[:, expected == 1] == 1) and np.all(z[:, expected == 0] == 0)


@pytest.mark.parametrize(("size", "k"), [(5, 2), (400, 10), (400, 200), (400, 399)])
def test_a_group_of_equal_large_logits_is_sampled_uniformly(size, k):
    theta = torch.tensor([[1e8] * size + [0.0] * 5], requires_grad=True)
    ops = ops_module.load("torch:cpu", "float32")
    z = SubsetLayer("simple", k=k)(theta)
    assert set(z.unique().tolist()) <= {0.0, 1.0} and z.sum() == k
    z.square().sum().backward()
    assert torch.all(torch.isfinite(theta.grad))
    count = math.lgamma(size + 1) - math.lgamma(k + 1) - math.lgamma(size - k + 1)  # log C(size, k)
    assert subsets.entropy(ops, theta, k).item() == pytest.approx(count, rel=1e-5)
    assert subsets.log_prob(ops, theta, k, z).item() == pytest.approx(-count, rel=1e-5)


def extreme_rows(n, k):
    """Returns rows with an open choice, nearly decided ones of both kinds, a decided one, and masked ones."""
    rng = np.random.default_rng(n + k)
    ordinary, item = rng.normal(size=n), np.arange(n)
    return np.array(
        [
            ordinary,
            np.where(item < k - 1, 50.0, ordinary),
            np.where(item < k + 1, 50.0 + ordinary, -np.inf),
            np.where(item < k, ordinary, -1e300),
            np.where(item < n - 2, ordinary, -1e300),
            np.where(item < n - 2, ordinary, -1e9),
        ]
    )


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("k", [3, 14])
def test_where_items_are_certain_derivatives_are_the_moments(k, mapped):
    n, ops = 17, ops_module.load("torch:cpu")
    rows = extreme_rows(n, k)
    z = np.array([1.0] * k + [0.0] * (n - k))
    each = torch.func.vmap if mapped else lambda f: lambda theta: torch.stack([f(row) for row in theta])
    value = {
        "log_partition": lambda theta: subsets.log_partition(ops, theta, k),
        "entropy": lambda theta: subsets.entropy(ops, theta, k),
        "log_prob": lambda theta: subsets.log_prob(ops, theta, k, ops.asarray(z)),
    }
    theta = ops.asarray(rows)
    values = {name: each(f)(theta).numpy() for name, f in value.items()}
    slope = {name: each(torch.func.grad(f))(theta).numpy() for name, f in value.items()}
    curvature = each(torch.func.hessian(value["log_partition"]))(theta).numpy()
    for i, row in enumerate(rows):
        law = oracles.enumerated(row, k)
        close = functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10)
        close(values["log_partition"][i], law.log_partition)
        close(values["entropy"][i], law.entropy)
        close(values["log_prob"][i], law.log_probabilities[0])  # the subset of the first k items is listed first
        close(slope["log_partition"][i], law.marginals)
        close(curvature[i], law.covariance)
        close(slope["log_prob"][i], z - law.marginals)
        assert np.all(np.isfinite(slope["entropy"][i]))
        close(slope["entropy"][i], -law.covariance @ np.where(law.marginals > 0, row, 0.0))


@pytest.mark.parametrize("n", [12, 1000])
@pytest.mark.parametrize("mask", [-1e4, -1e9, None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["torch:cpu", "jax:cpu"])
def test_where_masks_decide_the_choice_the_others_are_chosen(name, dtype, mask, n):
    ops, eps = ops_module.load(name, dtype), float(np.finfo(dtype).eps)
    theta = np.random.default_rng(n).normal(size=n).astype(dtype)
    theta[::3] = np.finfo(dtype).min if mask is None else mask
    others = np.arange(n) % 3 > 0
    k = int(others.sum())
    log_partition, slope = ops.value_and_grad(lambda row: subsets.log_partition(ops, row, k))(ops.asarray(theta))
    total = theta[others].astype("float64").sum()
    assert float(log_partition) == pytest.approx(total, abs=8 * eps * float(np.abs(theta[others]).sum()))
    np.testing.assert_allclose(np.asarray(slope), others, rtol=0, atol=40 * eps)
    for few in (k, k // 2):
        entropy, slope = ops.value_and_grad(lambda row, few=few: subsets.entropy(ops, row, few))(ops.asarray(theta))
        alone = subsets.entropy(ops, ops.asarray(theta[others]), few)
        assert float(entropy) == pytest.approx(float(alone), rel=8 * eps, abs=40 * eps)
        assert np.all(np.isfinite(np.asarray(slope))) and not np.any(np.asarray(slope)[~others])


def test_marginals_sum_to_k_with_masks_and_huge_logits():
    rng, ops = np.random.default_rng(3), ops_module.load("torch:cpu", "float32")
    theta = (4e37 * rng.normal(size=(200, 36))).astype("float32")
    theta[:, :19] = np.finfo("float32").min
    marginals = np.asarray(subsets.marginals(ops, ops.asarray(theta), 18), "float64")
    np.testing.assert_allclose(marginals.sum(axis=-1), 18, rtol=1e-6)


@pytest.mark.parametrize("name", ["torch:cpu", "jax:cpu"])
def test_a_row_does_not_depend_on_the_other_rows(name):
    ops, rng = ops_module.load(name, "float32"), np.random.default_rng(1)
    theta = rng.normal(size=(3, 20))
    theta[1] = np.where(theta[1] > 0, 1e8, 0)
    alone = [np.asarray(subsets.marginals(ops, ops.asarray(row[None].astype("float32")), 7))[0] for row in theta]
    together = np.asarray(subsets.marginals(ops, ops.asarray(theta.astype("float32")), 7))
    np.testing.assert_allclose(together, alone, rtol=0, atol=2 * np.finfo("float32").eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_largest_finite_logits_are_chosen(dtype):
    ops = ops_module.load("torch:cpu", dtype)
    theta = np.zeros((1, 20))
    theta[0, :2] = 0.9 * np.finfo(dtype).max
    uniforms = ops.asarray(np.random.default_rng(2).random((30, 1, 20)).astype(dtype))
    for k in (2, 3, 19):
        marginals = np.asarray(subsets.marginals(ops, ops.asarray(theta), k))[0]
        np.testing.assert_allclose(marginals, [1.0] * 2 + [(k - 2) / 18] * 18, atol=4 * np.finfo(dtype).eps)
        assert np.all(np.asarray(subsets.sample(ops, ops.asarray(theta), k, uniforms)).sum(axis=-1) == k)


cluster = st.tuples(
    st.one_of(st.floats(-1e4, 1e4), st.floats(-1e30, 1e30)),
    st.sampled_from([0.0, 1e-6, 0.1, 10.0]),
    st.integers(1, 200),
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(data=st.data(), clusters=st.lists(cluster, min_size=1, max_size=5), heavy=st.integers(0, 20))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_tilt_makes_k_a_likely_count_for_any_logits(dtype, data, clusters, heavy):
    rng = np.random.default_rng(len(clusters))
    parts = [centre + width * rng.normal(size=count) for centre, width, count in clusters]
    theta = np.concatenate([*parts, rng.standard_cauchy(1 + heavy)])
    k = data.draw(st.integers(1, len(theta) - 1))
    ops = ops_module.load("torch:cpu", dtype)
    tilted = tilt(ops, ops.asarray(theta), k)
    p, q = tilted.p.double(), tilted.q.double()
    variance = float((p * q).sum())
    # The mean count minus k, computed without rounding errors at p near 1.
    excess = float(torch.where(p > q, -q, p).sum() + (p > q).sum() - k)
    # The tilt leaves at most a quarter of the variance or of the standard deviation; 0.001 is for rounding.
    assert abs(excess) < 0.251 * min(variance, math.sqrt(variance)) + 1e-9
    total = count_probability(ops, grow(ops, tilted, k))
    assert float(total) * math.sqrt(1 + 2 * math.pi * variance) > 0.5


@pytest.mark.parametrize(("n", "k"), [(2, 1), (10_000, 1), (10_000, 9_999), (10_000, 5_000)])
def test_the_tilt_of_equal_logits_gives_each_item_its_share(n, k):
    ops = ops_module.load("torch:cpu")
    p = tilt(ops, ops.asarray(np.full(n, 3.0)), k).p
    np.testing.assert_allclose(np.asarray(p), k / n, atol=0.02 / n)
