"""The law of samples by Algorithms 2 and 6 of the paper, and the midpoint of Algorithms 5 and 6."""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import logits
import numpy as np
import oracles
import pytest
from paper_calls import FORMS, SAMPLERS, call

from subsetgrad import ops as ops_module
from subsetgrad.subsets import paper


@pytest.mark.parametrize("form", FORMS)
def test_uniforms_at_the_ends_of_the_unit_interval_give_valid_samples_in_float32(ops32, form):
    n, k = 19, 8
    theta = logits.rows(n, k).astype("float32")
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
    # A correct sampler exceeds this bound with probability 1e-6, over all frequencies of a test together.
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
        # Wrong twin: Algorithm 6 with p_m at θ = 0, which depend only on the number of subsets.
        ops = ops_module.load("torch:cpu")
        z = call(
            ops, paper.divided_sample, 0 * self.theta, self.k, np.random.default_rng(4).random((self.size, self.n))
        )
        assert self.largest_z_score(z) > 3 * self.bound


@pytest.mark.parametrize("form", FORMS)
def test_samples_have_no_gradient_and_each_may_have_its_own_logits(form):
    ops = ops_module.load("torch:cpu")
    theta, uniforms = logits.rows(7, 3), np.random.default_rng(9).random((2, 6, 7))
    arrays = ops.asarray(theta), ops.asarray(uniforms[0])
    gradient = ops.value_and_grad(lambda x: ops.xp.sum(SAMPLERS[form](ops, x, 3, arrays[1])))(arrays[0])[1]
    assert not np.any(np.asarray(gradient))
    each = call(ops, SAMPLERS[form], np.stack([theta, theta[::-1]]), 3, uniforms)
    np.testing.assert_array_equal(each[0], call(ops, SAMPLERS[form], theta, 3, uniforms[0]))
    np.testing.assert_array_equal(each[1], call(ops, SAMPLERS[form], theta[::-1].copy(), 3, uniforms[1]))


class TestMidpoint:
    """Algorithm 5 exactly as printed, with the midpoint as an argument."""

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


def test_depth_of_the_divided_form_is_logarithmic():
    ops = ops_module.load("torch:cpu")
    for n, levels in ((1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (64, 7), (65, 8)):
        assert len(paper.divided._levels(ops, ops.asarray(np.zeros(n)), 1)) == levels == math.ceil(math.log2(n)) + 1


@pytest.mark.parametrize("n", range(1, 34))
def test_ranges_divide_at_the_mean_of_their_ends(n):
    layout = paper.divided._layout(n)
    assert [item for item in layout.item if item < n] == list(range(n))
    borders = sorted(int(border) for border in itertools.chain.from_iterable(layout.borders) if border)
    assert borders == list(range(1, n)), "each of the n − 1 borders between items is split exactly once"
    if n > 1:
        assert layout.borders[0] == [(0 + n - 1) // 2 + 1]
