"""Exact samples are k-hot, equal those of a slow sampler on the same uniforms, and have the right law."""

from __future__ import annotations

from functools import cache, partial
from statistics import NormalDist

import logits
import numpy as np
import oracles
import pytest

from subsetgrad import ops as ops_module
from subsetgrad import subsets
from subsetgrad.subsets.shapes import shapes

pytestmark = pytest.mark.usefixtures("form")
by_the_tree = pytest.mark.parametrize("form", ["tree"], indirect=True, scope="module")

ROWS = "ordinary equal high farther_apart some_missing just_k"


@cache
def sampler(ops, k):
    return ops.compile(partial(subsets.sample, ops, k=k))


def sampled(ops, theta, k, uniforms):
    """Returns samples as a numpy array, compiled once for each shape."""
    return np.asarray(sampler(ops, k)(ops.asarray(theta), uniforms=ops.asarray(uniforms)))


def differing(z, theta, k, uniforms, allowed_gap):
    """Returns how many samples differ from the oracle's, and how many of these cannot be due to rounding."""
    rows = unexplained = 0
    n = theta.shape[-1]
    complement = k < n < 2 * k  # the library then counts the items that are not chosen
    counted = n - k if complement else k
    # Items that are never chosen are then always counted; the oracle counts them up to a probability of e^-300.
    signed = -np.where(np.isneginf(theta), np.min(theta[np.isfinite(theta)]) - 300, theta) if complement else theta
    pairs = [level.nodes // 2 for level in shapes(z.dtype.name, n, counted)] if 0 < k < n else []
    for index in np.ndindex(z.shape[:-1]):
        expected, gap = oracles.splitting_sample(signed[index[-1]], counted, uniforms[index], pairs)
        if not np.array_equal(z[index], 1 - expected if complement else expected):
            rows += 1
            unexplained += gap >= allowed_gap
    return rows, unexplained


def largest_z_score(z, states, probabilities):
    """Returns the largest |z-score| of the frequencies of the listed subsets, all of which must be listed."""
    code = 2 ** np.arange(states.shape[1])
    counts = np.array([np.sum(z @ code == state @ code) for state in states])
    assert counts.sum() == len(z)
    expected = len(z) * probabilities
    return np.max(np.abs(counts - expected) / np.sqrt(expected * (1 - probabilities)))


def bound(comparisons):
    """Returns the |z-score| that a correct sampler exceeds with probability 1e-6 in any of the comparisons."""
    return NormalDist().inv_cdf(1 - 1e-6 / 2 / comparisons)


@by_the_tree
@pytest.mark.parametrize(("n", "k"), [(1, 0), (1, 1), (5, 1), (8, 3), (6, 5), (5, 5), (40, 11)])
def test_samples_are_k_hot_and_those_of_the_splitting_sampler(ops, n, k):
    theta = logits.rows(n, k, ROWS)
    uniforms = np.random.default_rng(0).random((30, len(theta), n))
    z = sampled(ops, theta, k, uniforms)
    assert set(np.unique(z)) <= {0.0, 1.0} and np.all(z.sum(axis=-1) == k)
    assert not np.any(z[:, np.isneginf(theta)])
    rows, unexplained = differing(z, theta, k, uniforms, allowed_gap=1e-12)
    assert unexplained == 0, f"{rows} of {z[..., 0].size} samples differ, {unexplained} of them not by rounding"


@by_the_tree
def test_float32_samples_are_those_of_the_splitting_sampler(ops32):
    n, k = 40, 11
    theta = logits.rows(n, k, ROWS, "float32")
    uniforms = np.random.default_rng(1).random((30, len(theta), n), dtype=np.float32)
    z = sampled(ops32, theta, k, uniforms)
    assert z.dtype == np.float32 and np.all(z.sum(axis=-1) == k)
    rows, unexplained = differing(z, theta, k, uniforms.astype("float64"), allowed_gap=1e-5)
    assert unexplained == 0, f"{rows} of {z[..., 0].size} samples differ, {unexplained} of them not by rounding"


@pytest.mark.parametrize(("n", "k"), [(40, 11), (10, 5)])
@pytest.mark.parametrize(("dtype", "allowed"), [("float64", 0), ("float32", 3)])
def test_both_backends_choose_the_same_items(dtype, allowed, n, k):
    theta = logits.rows(n, k, ROWS, dtype)
    uniforms = np.random.default_rng(2).random((1000, len(theta), n)).astype(dtype)
    uniforms[uniforms == 1] = 0  # rounding to float32 can give 1
    of_torch, of_jax = (sampled(ops_module.load(name, dtype), theta, k, uniforms) for name in ("torch", "jax"))
    rows = int(np.any(of_torch != of_jax, axis=-1).sum())
    assert rows <= allowed, f"{rows} of {of_torch[..., 0].size} samples differ"


@by_the_tree
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["torch", "jax"])
def test_uniforms_at_the_ends_of_the_unit_interval_give_valid_samples(name, dtype):
    n, k = 40, 11
    theta = logits.rows(n, k, ROWS, dtype)
    below_one = np.nextafter(np.ones((), dtype), 0, dtype=dtype)
    ends = np.random.default_rng(3).integers(0, 2, size=(30, len(theta), n)).astype(bool)
    ends[0], ends[1] = False, True
    z = sampled(ops_module.load(name, dtype), theta, k, np.where(ends, below_one, np.zeros((), dtype)))
    assert np.all(z.sum(axis=-1) == k)
    assert not np.any(z[:, np.isneginf(theta)])


class TestLaw:
    n, k, size = 6, 3, 100_000
    theta = np.array([1.5, -1.0, 0.0, 0.5, -2.0, 1.0])

    def test_frequencies_of_all_subsets_are_their_probabilities(self, ops):
        law = oracles.enumerated(self.theta, self.k)
        z = sampled(ops, self.theta, self.k, np.random.default_rng(4).random((self.size, self.n)))
        assert largest_z_score(z, law.states, law.probabilities) < bound(len(law.states))

    def test_gumbel_top_k_at_the_same_logits_is_caught(self):
        law = oracles.enumerated(self.theta, self.k)
        gumbel = np.random.default_rng(4).gumbel(size=(self.size, self.n))
        z = oracles.top_k_mask(self.theta + gumbel, self.k)
        assert largest_z_score(z, law.states, law.probabilities) > 3 * bound(len(law.states))
        plackett_luce = oracles.plackett_luce_probabilities(self.theta, self.k)
        assert largest_z_score(z, law.states, plackett_luce) < bound(len(law.states))

    @by_the_tree
    def test_frequencies_of_pairs_among_many_items_are_the_second_order_inclusions(self, ops):
        n, k, size = 40, 11, 20_000
        theta = 2 * np.random.default_rng(5).normal(size=n)
        z = sampled(ops, theta, k, np.random.default_rng(6).random((size, n)))
        exact = ops_module.load("torch:cpu")
        second = np.asarray(subsets.second_order_inclusions(exact, exact.asarray(theta), k))
        common = second * size > 30
        spread = np.sqrt(second * (1 - second) / size)
        scores = np.abs((z.T @ z / size - second)[common] / spread[common])
        assert scores.max() < bound(common.sum())


def test_each_sample_may_have_its_own_logits(ops):
    n, k = 8, 3
    theta = np.stack([logits.rows(n, k, ROWS)[:3], logits.rows(n, k, ROWS)[[2, 4, 5]]])
    uniforms = np.random.default_rng(7).random((2, 3, n))
    z = sampled(ops, theta, k, uniforms)
    one_by_one = [[sampled(ops, theta[s, b], k, uniforms[s, b]) for b in range(3)] for s in range(2)]
    np.testing.assert_array_equal(z, one_by_one)
    with_samples = sampled(ops, theta, k, uniforms[None])
    np.testing.assert_array_equal(with_samples, z[None])


@pytest.mark.parametrize("k", [0, 3, 8])
def test_an_invalid_row_is_nan_and_does_not_affect_the_others(ops, k):
    theta = logits.rows(8, 3, ROWS)[:3]
    uniforms = np.random.default_rng(8).random((5, 3, 8))
    good = sampled(ops, theta, k, uniforms)
    theta[1, 2] = np.nan
    bad = sampled(ops, theta, k, uniforms)
    assert np.all(np.isnan(bad[:, 1]))
    np.testing.assert_array_equal(bad[:, [0, 2]], good[:, [0, 2]])


def test_samples_have_no_gradient(ops):
    theta, uniforms = ops.asarray(logits.rows(8, 3, ROWS)[:3]), ops.asarray(np.random.default_rng(9).random((3, 8)))
    gradient = ops.value_and_grad(lambda x: ops.xp.sum(x + subsets.sample(ops, x, 3, uniforms)))(theta)[1]
    np.testing.assert_array_equal(np.asarray(gradient), np.ones((3, 8)))


def test_uniforms_of_another_number_of_items_are_refused(ops):
    theta = ops.asarray(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"uniforms has shape .*its last axis holds the n=5 items"):
        subsets.sample(ops, theta, 2, ops.asarray(np.zeros((3, 2, 1))))
