"""The computation from the weights of all subsets, against the product tree and enumeration, on extreme logits."""

from __future__ import annotations

import logits
import numpy as np
import oracles
import pytest

from subsetgrad import ops as ops_module
from subsetgrad import subsets
from subsetgrad.subsets import few
from subsetgrad.subsets.product_tree import grow, inclusions
from subsetgrad.subsets.tilting import tilt

SIZES = [(2, 1), (10, 5), (10, 7), (22, 2), (256, 1)]
ROWS = "ordinary steep two_groups equal far_apart farther_apart low high very_high some_missing just_k"
every_size = pytest.mark.parametrize(("n", "k"), SIZES)
every_backend = pytest.mark.parametrize("name", ["torch", "jax"])
every_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def sampled(ops, theta, k, uniforms):
    sampler = ops.compile(lambda theta, uniforms: subsets.sample(ops, theta, k, uniforms))
    return np.asarray(sampler(ops.asarray(theta), ops.asarray(uniforms)))


def test_subsets_are_few_up_to_the_limit():
    assert all(few.are_few(n, k) for n, k in SIZES)
    assert not any(few.are_few(n, k) for n, k in [(11, 5), (24, 2), (257, 1), (257, 256), (100_000, 50_000)])


@every_size
@every_backend
@every_dtype
def test_marginals_are_those_of_the_tree_and_of_the_definition(name, dtype, n, k):
    ops = ops_module.load(name, dtype)
    theta = logits.rows(n, k, ROWS, dtype)
    marginals = np.asarray(subsets.marginals(ops, ops.asarray(theta), k), "float64")
    expected = np.array([oracles.enumerated(row, k).marginals for row in theta])
    relative = 1e-12 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(marginals, expected, rtol=relative, atol=1e-300 if dtype == "float64" else 1e-37)
    tree = ops.compile(lambda rows: inclusions(ops, grow(ops, tilt(ops, rows, k), k))[0])(ops.asarray(theta))
    np.testing.assert_allclose(marginals, np.asarray(tree), rtol=100 * relative, atol=relative)


def products(name, dtype, theta, v, k, function=subsets.covariance_product):
    ops = ops_module.load(name, dtype)
    compiled = ops.compile(lambda theta, v: function(ops, theta, k, v))
    return np.asarray(compiled(ops.asarray(theta), ops.asarray(v)), "float64")


def error_of_products(name, dtype, n, k, function=subsets.covariance_product):
    """Returns the largest error of a covariance product, relative to the largest entry of its row.

    The rows are open and nearly decided laws.
    """
    scales = np.repeat([1.0, 3.0, 8.0], 20)[:, None]
    theta = (scales * np.random.default_rng(n).normal(size=(60, n))).astype(dtype).astype("float64")
    v = np.random.default_rng(k).normal(size=(60, n)).astype(dtype).astype("float64")
    expected = np.array([oracles.enumerated(row, k).covariance @ one for row, one in zip(theta, v, strict=True)])
    largest = np.abs(expected).max(axis=-1)
    assert np.sum(largest > 1e-6) >= 40
    error = np.abs(products(name, dtype, theta, v, k, function) - expected).max(axis=-1)
    return np.max((error / largest)[largest > 1e-6])


def centred_by_the_mean(ops, theta, k, v):
    weights, all_subsets = few._weights(ops, theta, k)[0], ops.asarray(subsets.enumerate(theta.shape[-1], k))
    total = ops.xp.sum(weights, axis=-1, keepdims=True)
    values = (v - ops.xp.mean(v, axis=-1, keepdims=True)) @ all_subsets.T
    mean = ops.xp.sum(weights * values, axis=-1, keepdims=True) / total
    return (weights * (values - mean)) @ all_subsets / total


@every_size
@every_backend
@pytest.mark.parametrize(("dtype", "least"), [("float64", 1e-12), ("float32", 1e-5)])
def test_covariance_products_are_accurate_relative_to_their_largest_entry_where_the_law_is_nearly_decided(
    name, dtype, least, n, k
):
    assert error_of_products(name, dtype, n, k) < least


def test_a_covariance_product_that_is_centred_by_the_mean_of_v_is_caught():
    assert error_of_products("torch", "float32", 10, 5, centred_by_the_mean) > 1e-4


@every_size
@every_backend
@every_dtype
def test_v_at_an_item_that_is_never_chosen_has_no_influence(name, dtype, n, k):
    theta, v = np.random.default_rng(n).normal(size=(2, 5, n))
    theta[:, 0] = -np.inf
    large, none = (np.where(np.arange(n) == 0, value, v) for value in (1e6, 0.0))
    of_large, of_none = (products(name, dtype, theta, one, k) for one in (large, none))
    np.testing.assert_allclose(of_large, of_none, rtol=0, atol=8 * np.finfo(dtype).eps)


@every_size
@every_backend
@every_dtype
@pytest.mark.parametrize("mask", [-1e9, -1e30, None])
def test_a_large_negative_mask_is_the_same_as_minus_infinity_to_the_last_digit(name, dtype, mask, n, k):
    ops, rng = ops_module.load(name, dtype), np.random.default_rng(n)
    mask = float(np.finfo(dtype).min) if mask is None else mask
    theta, masked = rng.normal(size=(3, n)), np.arange(n) % 4 == 1
    if n - masked.sum() < k:
        masked[:] = np.arange(n) < n - k
    v, uniforms = rng.normal(size=(3, n)), rng.random((20, 3, n)).astype(dtype)

    def all_values(rows):
        rows = ops.asarray(rows)
        slope = ops.value_and_grad(lambda x: ops.xp.sum(ops.asarray(v) * subsets.marginals(ops, x, k)))(rows)[1]
        product = subsets.covariance_product(ops, rows, k, ops.asarray(v))
        return subsets.marginals(ops, rows, k), product, slope, subsets.sample(ops, rows, k, ops.asarray(uniforms))

    finite, never = (all_values(np.where(masked, value, theta)) for value in (mask, -np.inf))
    for one, other in zip(finite, never, strict=True):
        assert np.all(np.isfinite(np.asarray(one)))
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert not np.any(np.asarray(finite[0])[:, masked]) and not np.any(np.asarray(finite[3])[..., masked])


@every_backend
@pytest.mark.parametrize(("dtype", "big"), [("float32", 2e7), ("float32", 3e38), ("float64", 1e17), ("float64", 1e308)])
def test_groups_of_large_logits_are_chosen_in_their_order(name, dtype, big):
    ops, k = ops_module.load(name, dtype), 5
    theta = np.array([1, 1, 0, 0, 0, 0, 0, 0, -1, -1]) * big  # their distance, 2 · big, may overflow
    squares = ops.value_and_grad(lambda x: ops.xp.sum(subsets.marginals(ops, x, k) ** 2))
    total, slope = squares(ops.asarray(theta))
    marginals = np.asarray(subsets.marginals(ops, ops.asarray(theta), k))
    np.testing.assert_allclose(marginals, [1, 1, *[0.5] * 6, 0, 0], rtol=4 * np.finfo(dtype).eps)
    assert float(total) == pytest.approx(3.5) and np.all(np.abs(np.asarray(slope)) < 1e-6)


@every_size
@every_backend
@every_dtype
def test_samples_are_those_of_a_cumulative_table(name, dtype, n, k):
    ops = ops_module.load(name, dtype)
    theta = logits.rows(n, k, ROWS, dtype)
    uniforms = np.random.default_rng(0).random((100, len(theta), n)).astype(dtype)
    uniforms[uniforms == 1] = 0  # rounding to float32 can give 1
    z = sampled(ops, theta, k, uniforms)
    assert set(np.unique(z)) == {0.0, 1.0} and np.all(z.sum(axis=-1) == k)
    compared = 0
    for row, values in enumerate(theta):
        expected, gaps = oracles.listed_samples(values, k, uniforms[:, row, 0].astype("float64"))
        unambiguous = gaps > 1e2 * np.finfo(dtype).eps
        np.testing.assert_array_equal(z[unambiguous, row], expected[unambiguous])
        compared += unambiguous.sum()
    assert compared > 0.95 * z[..., 0].size  # nearly all samples are compared


@every_size
@every_backend
@every_dtype
def test_a_subset_of_weight_zero_is_never_chosen_at_the_ends_of_the_unit_interval(name, dtype, n, k):
    theta = logits.rows(n, k, "farther_apart some_missing just_k", dtype)
    theta = np.concatenate([theta, theta[:, ::-1]])  # subsets of weight 0 come first, and last
    ends = np.array([0.0, np.nextafter(np.ones((), dtype), 0, dtype=dtype)], dtype)
    uniforms = np.broadcast_to(ends[:, None, None], (2, *theta.shape))
    z = sampled(ops_module.load(name, dtype), theta, k, uniforms)
    impossible = np.array([oracles.enumerated(row, k).marginals for row in theta]) == 0
    assert impossible.sum() >= n // 2 and not np.any(z[:, impossible]) and np.all(z.sum(axis=-1) == k)
