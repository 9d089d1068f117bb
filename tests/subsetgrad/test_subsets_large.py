"""The exact distribution for many items, up to 100,000, where the product tree works at roots of unity."""

from __future__ import annotations

from functools import cache

import logits
import numpy as np
import oracles
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from subsetgrad import ops as ops_module
from subsetgrad import subsets
from subsetgrad.subsets import (
    product_tree,
    roots,
    sampling,
    shapes,
)

pytestmark = [
    pytest.mark.usefixtures("form"),
    pytest.mark.parametrize("form", ["tree"], indirect=True, scope="module"),
]

ROWS = "ordinary steep two_groups equal very_high"


@cache
def compiled(function, ops, k):
    return ops.compile(lambda theta, *v: getattr(subsets, function)(ops, theta, k, *v))


def call(function, ops, k, theta, *v):
    return np.asarray(compiled(function, ops, k)(ops.asarray(theta), *map(ops.asarray, v)), np.float64)


@pytest.mark.parametrize(("n", "k"), [(17, 1), (33, 16), (200, 199), (300, 30), (700, 300)])
def test_float64_agrees_with_the_recursion_in_log_space(ops, n, k):
    theta = logits.rows(n, k, ROWS)
    marginals = call("marginals", ops, k, theta)
    log_partition, entropy = (call(name, ops, k, theta) for name in ("log_partition", "entropy"))
    for index, row in enumerate(theta):
        expected_log_partition, expected, _ = oracles.log_space(row, k)
        np.testing.assert_allclose(marginals[index], expected, rtol=1e-9, atol=1e-12)
        assert log_partition[index] == pytest.approx(expected_log_partition, rel=1e-12, abs=1e-11)
        # The oracle subtracts θ·μ, so its logits are shifted to near 0, which does not change the entropy.
        assert entropy[index] == pytest.approx(oracles.log_space(row - row.mean(), k)[2], abs=1e-9)


@pytest.mark.parametrize(("n", "k"), [(33, 16), (300, 30)])
def test_covariance_product_is_the_slope_of_the_oracles_marginals(ops, n, k):
    theta, v = logits.rows(n, k, ROWS)[:4], np.random.default_rng(5).normal(size=n)
    product = call("covariance_product", ops, k, theta, v)
    for index, row in enumerate(theta):
        above, below = (oracles.log_space(row + step * v, k)[1] for step in (1e-5, -1e-5))
        np.testing.assert_allclose(product[index], (above - below) / 2e-5, atol=3e-9)


@pytest.mark.parametrize(("n", "k"), [(17, 8), (300, 30), (1000, 999), (2000, 900)])
def test_float32_marginals_have_the_stated_accuracy(ops32, n, k):
    theta = logits.rows(n, k, ROWS).astype(np.float32)
    marginals = call("marginals", ops32, k, theta)
    np.testing.assert_allclose(marginals.sum(axis=-1), k, rtol=1e-6)
    for index, row in enumerate(theta.astype(np.float64)):
        assert_accurate(marginals[index], oracles.log_space(row, k)[1])


def assert_accurate(marginals, expected):
    """Asserts absolute errors up to 1e-5, and relative errors up to 1e-4 where a marginal is above 1e-6."""
    np.testing.assert_allclose(marginals, expected, rtol=0, atol=1e-5)
    likely = expected > 1e-6
    np.testing.assert_allclose(marginals[likely], expected[likely], rtol=1e-4)


def test_a_batch_without_rows_gives_none(ops32):
    theta = ops32.asarray(np.zeros((0, 40)))
    assert tuple(subsets.marginals(ops32, theta, 3).shape) == (0, 40)
    assert tuple(subsets.covariance_product(ops32, theta, 3, theta).shape) == (0, 40)
    assert tuple(subsets.log_partition(ops32, theta, 3).shape) == (0,)
    assert tuple(subsets.sample(ops32, theta, 3, ops32.asarray(np.zeros((2, 0, 40)))).shape) == (2, 0, 40)


def spread_evenly(rows, n):
    """Returns evenly spread logits, 0.2 to 60 apart, so that all but a few items are certain."""
    rng = np.random.default_rng(14)
    return rng.uniform(-1, 1, (rows, n)) * 10 ** rng.uniform(2, 4.5, (rows, 1))


@pytest.mark.parametrize("k", [100, 512, 900])
def test_certain_items_do_not_make_the_others_inaccurate(ops32, k):
    theta = spread_evenly(150, 1024).astype("float32")
    marginals = np.asarray(subsets.marginals(ops32, ops32.asarray(theta), k), "float64")
    ops64 = ops_module.load("torch:cpu", "float64")
    assert_accurate(marginals, np.asarray(subsets.marginals(ops64, ops64.asarray(theta), k)))


def test_certain_items_do_make_the_others_inaccurate_if_they_stay_in_the_products(monkeypatch):
    monkeypatch.setitem(product_tree._CERTAIN, "float32", -1.0)
    with pytest.raises(AssertionError):
        test_certain_items_do_not_make_the_others_inaccurate(ops_module.load("torch:cpu", "float32"), 512)


def test_too_few_roots_are_caught(monkeypatch):
    n, k = 300, 30
    ops32 = ops_module.load("torch:cpu", "float32")
    shapes.shapes.cache_clear()
    monkeypatch.setattr(roots, "enough", lambda dtype, n, k: 21)
    theta = logits.rows(n, k, ROWS)[0]
    marginals = np.asarray(subsets.marginals(ops32, ops32.asarray(theta[None]), k), np.float64)
    shapes.shapes.cache_clear()
    with pytest.raises(AssertionError):
        assert_accurate(marginals[0], oracles.log_space(theta, k)[1])


def banded_probability(p, k, width):
    """Returns P(Σ = k) of independent Bernoulli(p), item by item, for counts up to `width` from their mean."""
    law = np.zeros(2 * width + 2)
    law[width] = 1.0
    start, mean = -width, 0.0  # law[j] is the probability of start + j
    for chance in p:
        law[1:] = (1 - chance) * law[1:] + chance * law[:-1]
        law[0] *= 1 - chance
        mean += chance
        if mean - start > width + 1:
            law[:-1], law[-1] = law[1:].copy(), 0.0
            start += 1
    return law[k - start]


def test_a_hundred_thousand_items_in_float32(ops32):
    n, k = 100_000, 10_000
    rng = np.random.default_rng(5)
    theta = rng.normal(size=n).astype(np.float32)
    marginals = call("marginals", ops32, k, theta[None])[0]
    assert marginals.sum() == pytest.approx(k, rel=1e-6)
    shift = scipy.optimize.brentq(lambda t: scipy.special.expit(theta.astype(float) + t).sum() - k, -20, 20)
    p = scipy.special.expit(theta.astype(float) + shift)
    total = banded_probability(p, k, 800)  # 8.7 standard deviations
    items = np.argsort(theta)[[0, n // 2, -1]]
    expected = [p[i] * banded_probability(np.delete(p, i), k - 1, 800) / total for i in items]
    assert_accurate(marginals[items], np.array(expected))
    v = rng.normal(size=n)
    product = call("covariance_product", ops32, k, theta[None], v[None])[0]
    assert np.all(np.isfinite(product)) and abs(product.sum()) < 1e-4 * np.abs(product).sum()
    # For many items, Cov(z) v ≈ p q (v − mean of v weighted by p q), up to O(1/σ²).
    variance = p * (1 - p)
    np.testing.assert_allclose(product, variance * (v - variance @ v / variance.sum()), atol=3e-4)


UNIFORM_N, UNIFORM_K, SAMPLES = 2500, 1100, 2000


def test_counts_in_a_group_are_hypergeometric_where_counts_are_folded():
    # With so few roots, the top levels know counts only modulo the number of roots.
    assert roots.enough("float32", UNIFORM_N, UNIFORM_K) < UNIFORM_N // 8
    assert_hypergeometric(uniform_samples())


def test_a_wrong_unfolding_is_caught(monkeypatch):
    expected = sampling._expected
    monkeypatch.setattr(sampling, "_expected", lambda *args: expected(*args) + 100)
    with pytest.raises(AssertionError):
        assert_hypergeometric(uniform_samples())


def uniform_samples():
    """Returns samples of the uniform law over k-subsets, `[SAMPLES, n]`."""
    ops = ops_module.load("torch:cpu", "float32")  # jax is compared with torch below
    uniforms = np.random.default_rng(8).random((SAMPLES, UNIFORM_N), dtype=np.float32)
    z = np.asarray(subsets.sample(ops, ops.asarray(np.zeros(UNIFORM_N)), UNIFORM_K, ops.asarray(uniforms)))
    assert np.all(z.sum(axis=-1) == UNIFORM_K)
    return z


def first_child():
    """Returns the items below the first child of the root."""
    below = [[item] for item in range(UNIFORM_N)]
    for shape in shapes.shapes("float32", UNIFORM_N, UNIFORM_K)[:-1]:
        below += [[] for _ in range(shape.nodes - len(below))]
        below = [below[i] + below[i + shape.nodes // 2] for i in range(shape.nodes // 2)]
    return below[0]


def assert_hypergeometric(z):
    """Asserts that counts in groups of items have their hypergeometric law, with p-values above 1e-6."""
    for group in (first_child(), np.arange(UNIFORM_N // 2), np.arange(0, UNIFORM_N, 3)):
        law = scipy.stats.hypergeom(UNIFORM_N, UNIFORM_K, len(group))
        edges = law.ppf(np.linspace(0, 1, 21)[1:-1])
        expected = SAMPLES * np.diff([0.0, *law.cdf(edges), 1.0])
        observed = np.bincount(np.searchsorted(edges, z[:, group].sum(axis=-1)), minlength=20)
        assert scipy.stats.chisquare(observed, expected).pvalue > 1e-6


def test_samples_have_the_means_and_covariances_of_the_law():
    n, k, samples = 700, 300, 4000
    ops = ops_module.load("torch:cpu")
    theta = 1.5 * np.random.default_rng(9).normal(size=n)
    uniforms = np.random.default_rng(10).random((samples, n))
    z = np.asarray(subsets.sample(ops, ops.asarray(theta), k, ops.asarray(uniforms)))
    marginals = call("marginals", ops, k, theta[None])[0]
    z_scores = (z.mean(axis=0) - marginals) / np.sqrt(marginals * (1 - marginals) / samples)
    assert np.abs(z_scores[marginals * samples > 20]).max() < 6
    weights = np.random.default_rng(11).normal(size=(50, n))
    exact = np.array([v @ call("covariance_product", ops, k, theta[None], v[None])[0] for v in weights])
    # The sums are nearly normal, so the ratio has the standard deviation √(2/S).
    ratio = np.var(z @ weights.T, axis=0, ddof=1) / exact
    assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / samples)


def test_both_backends_choose_alike_where_counts_are_folded():
    theta = np.random.default_rng(12).normal(size=(3, UNIFORM_N))
    uniforms = np.random.default_rng(13).random((20, 3, UNIFORM_N))
    samples = []
    for name in ("torch", "jax"):
        ops = ops_module.load(name)
        sampler = ops.compile(lambda theta, uniforms, ops=ops: subsets.sample(ops, theta, UNIFORM_K, uniforms))
        samples.append(np.asarray(sampler(ops.asarray(theta), ops.asarray(uniforms))))
    assert np.array_equal(*samples)
