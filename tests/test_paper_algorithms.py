"""The paper's Algorithms 1, 2, 5 and 6 as named forms, against enumeration and against themselves word for word."""

from __future__ import annotations

import itertools
import math
from functools import cache
from statistics import NormalDist

import numpy as np
import oracles
import pytest
import torch

from estimators import ops as ops_module
from estimators import subsets
from estimators.subsets import paper

FORMS = ("sequential", "divided")
SIZES = ((1, 1), (5, 0), (5, 5), (7, 3))
LOG_PARTITIONS = {"sequential": paper.sequential_log_partition, "divided": paper.divided_log_partition}
MARGINALS = {"sequential": paper.sequential_marginals, "divided": paper.divided_marginals}
SAMPLERS = {"sequential": paper.sequential_sample, "divided": paper.divided_sample}


def logits(n, k):
    """Returns `[R, n]`: ordinary, equal, far apart, far from 0, some never chosen, just k that can be."""
    rng = np.random.default_rng(10 * n + k)
    ordinary = rng.normal(size=n)
    just_k = np.full(n, -np.inf)
    just_k[rng.permutation(n)[:k]] = rng.normal(size=k)
    some_missing = np.where(np.arange(n) < (n - k + 1) // 2, -np.inf, ordinary)
    return np.array([ordinary, np.zeros(n), rng.uniform(-300, 300, n), ordinary - 40, some_missing, just_k])


def everything(ops, theta, k, v, uniforms):
    """Returns all that one form says, for each form: one compilation a size."""
    found = {}
    for form in FORMS:
        marginals = MARGINALS[form]
        found[form] = {
            "log_partition": LOG_PARTITIONS[form](ops, theta, k),
            "marginals": marginals(ops, theta, k),
            "forward": ops.jvp(lambda x, mu=marginals: mu(ops, x, k), (theta,), (v,))[1],
            "backward": ops.value_and_grad(lambda x, mu=marginals: ops.xp.sum(v * mu(ops, x, k)))(theta)[1],
            "sample": SAMPLERS[form](ops, theta, k, uniforms),
        }
    return found


@cache
def all_compiled(ops, k):
    return ops.compile(lambda *arrays: everything(ops, arrays[0], k, *arrays[1:]))


def computed(ops, theta, k):
    """Returns `(v [R, n], uniforms [S, R, n], what the forms say)`."""
    rng = np.random.default_rng(1)
    v, uniforms = rng.normal(size=theta.shape), rng.random((12, *theta.shape))
    values = all_compiled(ops, k)(*map(ops.asarray, (theta, v, uniforms)))
    return v, uniforms, {form: {name: np.asarray(x) for name, x in of.items()} for form, of in values.items()}


@cache
def at_size(ops, n, k):
    """Returns `computed` at the logits of a size."""
    return computed(ops, logits(n, k), k)


@cache
def laws(n, k):
    return [oracles.enumerated(row, k) for row in logits(n, k)]


@cache
def compiled(ops, function, k):
    return ops.compile(lambda *arrays: function(ops, arrays[0], k, *arrays[1:]))


def call(ops, function, theta, k, *more):
    """Returns what a form says, as numpy; compiled, so that a shape costs jax one compilation."""
    return np.asarray(compiled(ops, function, k)(ops.asarray(theta), *map(ops.asarray, more)))


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("form", FORMS)
class TestAgainstEnumeration:
    def test_log_partition(self, ops, form, n, k):
        exact = [law.log_partition for law in laws(n, k)]
        np.testing.assert_allclose(at_size(ops, n, k)[2][form]["log_partition"], exact, rtol=1e-13, atol=1e-13)

    def test_marginals(self, ops, form, n, k):
        exact = [law.marginals for law in laws(n, k)]
        np.testing.assert_allclose(at_size(ops, n, k)[2][form]["marginals"], exact, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("mode", ["forward", "backward"])
    def test_derivatives_of_marginals_are_the_covariance_and_finite_at_minus_infinity(self, ops, form, n, k, mode):
        v, _, values = at_size(ops, n, k)
        exact = [law.covariance @ row for law, row in zip(laws(n, k), v, strict=True)]
        np.testing.assert_allclose(values[form][mode], exact, rtol=0, atol=1e-11)

    def test_samples_are_k_hot_and_those_of_the_reference_on_the_same_uniforms(self, ops, form, n, k):
        theta, (_, uniforms, values) = logits(n, k), at_size(ops, n, k)
        z = values[form]["sample"]
        assert set(np.unique(z)) <= {0.0, 1.0} and np.all(z.sum(axis=-1) == k)
        assert not np.any(z[:, np.isneginf(theta)])
        for index in np.ndindex(z.shape[:-1]):
            expected, gap = REFERENCES[form](theta[index[-1]], k, uniforms[index])
            assert np.array_equal(z[index], expected) or gap < 1e-12


@pytest.mark.parametrize("form", FORMS)
def test_every_small_size_agrees_with_the_library(form):
    ops = ops_module.load("torch:cpu")
    for n, k in [(items, chosen) for items in range(1, 10) for chosen in range(items + 1)]:
        theta = logits(n, k)
        for function, library in ((LOG_PARTITIONS, subsets.log_partition), (MARGINALS, subsets.marginals)):
            found, exact = call(ops, function[form], theta, k), call(ops, library, theta, k)
            np.testing.assert_allclose(found, exact, rtol=1e-13, atol=1e-12, err_msg=f"n={n}, k={k}")
        z = call(ops, SAMPLERS[form], theta, k, np.random.default_rng(n).random((20, *theta.shape)))
        assert np.all(z.sum(axis=-1) == k) and not np.any(z[:, np.isneginf(theta)]), f"n={n}, k={k}"


@pytest.mark.parametrize(("n", "k"), [(5, 0), (7, 3), (5, 5)])
def test_an_invalid_row_is_nan_and_the_others_do_not_notice(ops, n, k):
    theta = logits(n, k)
    theta[1, n // 2], theta[2, 0], theta[3, : n - k + 1] = np.nan, np.inf, -np.inf
    bad = [1, 2, 3] if k else [1, 2]  # with nothing to choose, -inf everywhere is a law
    found, sound = computed(ops, theta, k)[2], at_size(ops, n, k)[2]
    for form, name in itertools.product(FORMS, ("log_partition", "marginals", "sample")):
        # Items lead the samples: rows are the axis before the items.
        (of_bad, of_sound) = (
            x[form][name].swapaxes(0, 1) if name == "sample" else x[form][name] for x in (found, sound)
        )
        assert np.all(np.isnan(of_bad[bad])), (form, name)
        np.testing.assert_array_equal(np.delete(of_bad, bad, axis=0), np.delete(of_sound, bad, axis=0))


@pytest.mark.parametrize("form", FORMS)
def test_third_derivatives_are_the_third_moments(form):
    n, k, ops = 7, 3, ops_module.load("torch:cpu")
    v = np.random.default_rng(4).normal(size=n)
    exact = [np.einsum("ijl,j,l->i", law.third_moment, v, v) for law in laws(n, k)]
    theta, direction = ops.asarray(logits(n, k)), ops.asarray(np.tile(v, (6, 1)))

    def curvature(x):
        return ops.xp.sum(direction * ops.jvp(lambda y: MARGINALS[form](ops, y, k), (x,), (direction,))[1])

    found = np.asarray(ops.value_and_grad(curvature)(theta)[1])
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
def test_many_items_agree_with_the_library_and_the_recursion_in_long_double(ops, form):
    n, k = 40, 11
    theta = 2 * np.random.default_rng(n).normal(size=n)
    log_partition, marginals, _ = oracles.log_space(theta, k)
    assert call(ops, LOG_PARTITIONS[form], theta, k) == pytest.approx(log_partition, rel=1e-13)
    found = call(ops, MARGINALS[form], theta, k)
    np.testing.assert_allclose(found, marginals, rtol=1e-11, atol=1e-300)
    library = ops_module.load("torch:cpu")
    np.testing.assert_allclose(found, call(library, subsets.marginals, theta, k), rtol=1e-11, atol=1e-300)


class TestMidpoint:
    """Algorithm 5 word for word, with the midpoint an argument."""

    weights = np.exp(np.random.default_rng(0).normal(size=7))

    def exactly(self, low, high, k, midpoint, depth=0):
        if depth > 20:
            raise RecursionError
        if low > high:
            return 0.0
        if low == high:
            return {0: 1.0, 1: self.weights[low - 1]}.get(k, 0.0)
        middle = midpoint(low, high)
        return sum(
            self.exactly(low, middle, m, midpoint, depth + 1)
            * self.exactly(middle + 1, high, k - m, midpoint, depth + 1)
            for m in range(k + 1)
        )

    @pytest.mark.parametrize("n", [3, 4, 7])
    def test_as_printed_never_ends_for_more_than_two_items(self, n):
        with pytest.raises(RecursionError):
            self.exactly(1, n, 1, lambda _, high: high // 2)

    @pytest.mark.parametrize("n", [2, 3, 4, 7])
    @pytest.mark.parametrize("k", [0, 1, 2])
    def test_as_corrected_ends_with_the_log_partition_of_the_divided_form(self, n, k):
        ops = ops_module.load("torch:cpu")
        exact = math.log(self.exactly(1, n, k, lambda low, high: (low + high) // 2))
        assert call(ops, paper.divided_log_partition, np.log(self.weights[:n]), k) == pytest.approx(exact, abs=1e-13)


def divided_reference(theta, k, uniforms, first=0):
    """Returns one sample by Algorithm 6 on the items `first`, …, and the smallest |u − P| of its decisions."""
    n = len(theta)
    if n == 1:
        return [float(k)], math.inf
    half = (n + 1) // 2
    left, right = oracles.log_table(theta[:half], half)[-1], oracles.log_table(theta[half:], n - half)[-1]
    splits = range(max(0, k - (n - half)), min(k, half) + 1)
    weights = np.array([left[m] + right[k - m] for m in splits])
    sums = np.cumsum(np.exp(weights - weights.max()))
    below = (sums / sums[-1]).astype(float)
    u = uniforms[first + half]
    m = splits[int(np.searchsorted(below, u, side="right"))]
    z_left, gap_left = divided_reference(theta[:half], m, uniforms, first)
    z_right, gap_right = divided_reference(theta[half:], k - m, uniforms, first + half)
    return z_left + z_right, min(float(np.abs(below[:-1] - u).min(initial=math.inf)), gap_left, gap_right)


REFERENCES = {"sequential": oracles.sequential_sample, "divided": divided_reference}


@pytest.mark.parametrize("form", FORMS)
def test_the_ends_of_the_unit_interval_do_no_harm_in_float32(ops32, form):
    n, k = 19, 8
    theta = logits(n, k).astype("float32")
    below_one = np.nextafter(np.float32(1), np.float32(0))
    ends = np.random.default_rng(3).integers(0, 2, size=(200, len(theta), n)).astype(bool)
    ends[0], ends[1] = False, True
    uniforms = np.where(ends, below_one, np.float32(0))
    z = call(ops32, SAMPLERS[form], theta, k, uniforms)
    assert z.dtype == np.float32 and np.all(z.sum(axis=-1) == k) and set(np.unique(z)) == {0.0, 1.0}
    assert not np.any(z[:, np.isneginf(theta)])


class TestLaw:
    n, k, size = 6, 3, 50_000
    theta = np.array([1.5, -1.0, 0.0, 0.5, -2.0, 1.0])
    law = oracles.enumerated(theta, k)
    # A right sampler stays within it with probability 1 − 1e-6, in all the frequencies of a test together.
    bound = NormalDist().inv_cdf(1 - 1e-6 / 2 / math.comb(n, k))

    def largest_z_score(self, z):
        code = 2 ** np.arange(self.n)
        counts = np.array([np.sum(z @ code == state @ code) for state in self.law.states])
        assert counts.sum() == len(z)
        p = self.law.probabilities
        return np.max(np.abs(counts - len(z) * p) / np.sqrt(len(z) * p * (1 - p)))

    @pytest.mark.parametrize("form", FORMS)
    def test_frequencies_of_all_subsets_are_their_probabilities(self, ops, form):
        z = call(ops, SAMPLERS[form], self.theta, self.k, np.random.default_rng(4).random((self.size, self.n)))
        assert self.largest_z_score(z) < self.bound

    def test_samples_in_the_order_that_algorithm_2_prints_are_caught(self):
        ops = ops_module.load("torch:cpu")
        uniforms = np.random.default_rng(4).random((self.size, self.n))
        z = call(ops, paper.sequential_sample, self.theta, self.k, uniforms)
        assert self.largest_z_score(z[:, ::-1]) > 3 * self.bound

    def test_splits_of_equal_chance_are_caught(self):
        # Algorithm 6 with p_m that do not know θ: all that is left of it is the count of subsets.
        ops = ops_module.load("torch:cpu")
        z = call(
            ops, paper.divided_sample, 0 * self.theta, self.k, np.random.default_rng(4).random((self.size, self.n))
        )
        assert self.largest_z_score(z) > 3 * self.bound


@pytest.mark.parametrize("form", FORMS)
def test_samples_carry_no_gradient_and_may_have_logits_each(form):
    ops = ops_module.load("torch:cpu")
    theta, uniforms = logits(7, 3), np.random.default_rng(9).random((2, 6, 7))
    arrays = ops.asarray(theta), ops.asarray(uniforms[0])
    gradient = ops.value_and_grad(lambda x: ops.xp.sum(SAMPLERS[form](ops, x, 3, arrays[1])))(arrays[0])[1]
    assert not np.any(np.asarray(gradient))
    each = call(ops, SAMPLERS[form], np.stack([theta, theta[::-1]]), 3, uniforms)
    np.testing.assert_array_equal(each[0], call(ops, SAMPLERS[form], theta, 3, uniforms[0]))
    np.testing.assert_array_equal(each[1], call(ops, SAMPLERS[form], theta[::-1].copy(), 3, uniforms[1]))


@pytest.mark.parametrize("form", FORMS)
def test_torch_maps_over_rows(form):
    ops = ops_module.load("torch:cpu")
    theta, uniforms = ops.asarray(logits(7, 3)), ops.asarray(np.random.default_rng(9).random((6, 7)))
    for function, more in ((MARGINALS[form], ()), (SAMPLERS[form], (uniforms,))):
        mapped = torch.func.vmap(lambda *row, function=function: function(ops, row[0], 3, *row[1:]))(theta, *more)
        np.testing.assert_allclose(np.asarray(mapped), np.asarray(function(ops, theta, 3, *more)), atol=1e-14)


@pytest.mark.parametrize("form", FORMS)
def test_wrong_arguments_are_named(form):
    ops = ops_module.load("torch:cpu")
    theta = ops.asarray(np.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"uniforms has shape .*its last axis holds the n=5 items"):
        SAMPLERS[form](ops, theta, 2, ops.asarray(np.zeros((3, 2, 1))))
    for function in (LOG_PARTITIONS[form], MARGINALS[form]):
        with pytest.raises(ValueError, match=r"k=6 is outside \[0, 5\]"):
            function(ops, theta, 6)


def test_depth_of_the_divided_form_is_logarithmic():
    ops = ops_module.load("torch:cpu")
    for n, levels in ((1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (64, 7), (65, 8)):
        assert len(paper.divided._levels(ops, ops.asarray(np.zeros(n)), 1)) == levels == math.ceil(math.log2(n)) + 1


@pytest.mark.parametrize("n", range(1, 34))
def test_ranges_divide_at_the_mean_of_their_ends(n):
    layout = paper.divided._layout(n)
    assert [item for item in layout.item if item < n] == list(range(n))
    found = sorted(int(border) for border in itertools.chain.from_iterable(layout.borders) if border)
    assert found == list(range(1, n)), "each of the n − 1 borders between items is a split once"
    if n > 1:
        assert layout.borders[0] == [(0 + n - 1) // 2 + 1]
