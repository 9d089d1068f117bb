"""Algorithm 4 of the paper: corrected, as printed, and as in the authors' DVAE code."""

from __future__ import annotations

import math
from functools import cache

import logits
import numpy as np
import oracles
import pytest

from subsetgrad import ops as ops_module
from subsetgrad import subsets
from subsetgrad.subsets import paper

SIZES = ((1, 1), (5, 0), (5, 1), (7, 5))
ENTROPIES = {"right": paper.sequential_entropy, "printed": paper.entropy_as_printed, "dvae": paper.entropy_as_in_dvae}


@cache
def all_compiled(ops, k):
    def all_of(theta):
        # Differentiate the sum over rows, so that one compilation gives values and gradients.
        def values(x, entropy):
            value = entropy(ops, x, k)
            return ops.xp.sum(value), value

        pairs = {name: ops.value_and_grad(values, has_aux=True)(theta, entropy) for name, entropy in ENTROPIES.items()}
        return {name: (value, gradient) for name, ((_, value), gradient) in pairs.items()}

    return ops.compile(all_of)


def computed(ops, theta, k):
    """Returns the entropies `[R]` and their gradients `[R, n]`, by name."""
    pairs = all_compiled(ops, k)(ops.asarray(theta))
    return {name: (np.asarray(value), np.asarray(gradient)) for name, (value, gradient) in pairs.items()}


def call(ops, entropy, theta, k):
    return np.asarray(entropy(ops, ops.asarray(theta), k))


def suffix_entropy(theta, k, first):
    """Returns the entropy of the items from number `first` on, counted from 1, by enumeration."""
    law = oracles.enumerated(theta, k)
    groups = {}
    for state, p in zip(law.states, law.probabilities, strict=True):
        key = tuple(state[max(first, 1) - 1 :])
        groups[key] = groups.get(key, 0.0) + p
    return -sum(p * math.log(p) for p in groups.values() if p > 0)


def printed_entropy(theta, k):
    """Returns h[n, k] of Algorithm 4 exactly as printed, with conditional probabilities by enumeration."""
    n, h = len(theta), {}
    for i in range(max(k, 1), n + 1):
        for j in range(min(k, i) + 1):
            p = oracles.enumerated(theta[:i], j).marginals[-1]
            binary = -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)
            h[i, j] = binary + p * h.get((i - 1, j), 0.0) + (1 - p) * h.get((i - 1, j + 1), 0.0)
    return h[n, k]


@pytest.mark.parametrize(("n", "k"), SIZES)
class TestAgainstEnumeration:
    def test_the_corrected_form_is_the_entropy(self, ops, n, k):
        exact = [oracles.enumerated(row, k).entropy for row in logits.rows(n, k)]
        np.testing.assert_allclose(computed(ops, logits.rows(n, k), k)["right"][0], exact, rtol=0, atol=1e-12)

    def test_in_the_dvae_code_is_the_entropy_of_the_items_from_k_on(self, ops, n, k):
        exact = [suffix_entropy(row, k, first=k) for row in logits.rows(n, k)]
        np.testing.assert_allclose(computed(ops, logits.rows(n, k), k)["dvae"][0], exact, rtol=0, atol=1e-12)

    def test_as_printed_is_the_printed_pseudo_code(self, ops, n, k):
        rows = slice(0, 3)  # the conditional probabilities of the others are not all defined
        exact = [printed_entropy(row, k) for row in logits.rows(n, k)[rows]]
        np.testing.assert_allclose(computed(ops, logits.rows(n, k), k)["printed"][0][rows], exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ENTROPIES)
def test_gradients_are_those_of_differences_and_finite_at_minus_infinity(ops, name):
    n, k = 7, 3
    theta = logits.rows(n, k)
    gradient = computed(ops, theta, k)[name][1]
    assert np.all(np.isfinite(gradient))
    assert not np.any(gradient[np.isneginf(theta)])
    eager = ops_module.load("torch:cpu")
    exact = oracles.finite_difference(lambda x: float(call(eager, ENTROPIES[name], x, k)), theta[0])
    np.testing.assert_allclose(gradient[0], exact, rtol=0, atol=1e-8)


def test_an_invalid_row_is_nan_and_does_not_affect_the_others(ops):
    n, k = 7, 3
    theta = logits.rows(n, k)
    theta[1, 2], theta[2, 0], theta[3, : n - k + 1] = np.nan, np.inf, -np.inf
    for name, (valid, _) in computed(ops, logits.rows(n, k), k).items():
        with_invalid = computed(ops, theta, k)[name][0]
        assert np.all(np.isnan(with_invalid[1:4])), name
        np.testing.assert_array_equal(with_invalid[[0, 4, 5]], valid[[0, 4, 5]])


def test_many_items_agree_with_the_library_and_the_recursion_in_long_double(ops):
    n, k = 130, 37
    theta = 2 * np.random.default_rng(n).normal(size=n)
    entropy = float(ops.compile(lambda x: paper.sequential_entropy(ops, x, k))(ops.asarray(theta)))
    assert entropy == pytest.approx(oracles.log_space(theta, k)[2], rel=1e-11)
    assert entropy == pytest.approx(float(call(ops_module.load("torch:cpu"), subsets.entropy, theta, k)), rel=1e-11)


@pytest.mark.parametrize("entropy", ENTROPIES.values())
def test_wrong_arguments_are_named(entropy):
    ops = ops_module.load("torch:cpu")
    with pytest.raises(ValueError, match=r"k=6 is outside \[0, 5\]"):
        entropy(ops, ops.asarray(np.zeros((2, 5))), 6)


def test_wrong_forms_are_wrong_exactly_where_claimed():
    ops = ops_module.load("torch:cpu")
    for n, k in [(items, chosen) for items in range(1, 8) for chosen in range(items + 1)]:
        theta = np.stack([np.zeros(n), np.random.default_rng(n).normal(size=n)])
        right, printed, dvae = (call(ops, entropy, theta, k) for entropy in ENTROPIES.values())
        assert np.all((np.abs(dvae - right) < 1e-12) == (k <= 2 or k == n)), (n, k)
        assert np.all(dvae < right + 1e-12), (n, k)
        assert np.all((np.abs(printed - right) < 1e-12) == (k in (0, n) or n == 2)), (n, k)


def test_as_printed_can_be_too_low_and_too_high():
    ops = ops_module.load("torch:cpu")
    theta = np.random.default_rng(0).normal(size=(200, 6)) * 3
    error = call(ops, paper.entropy_as_printed, theta, 2) - call(ops, paper.sequential_entropy, theta, 2)
    assert error.min() < -0.1 and error.max() > 0.1


# At uniform logits. The DVAE values are those of the recursion in its notebook, which has n=20 and k=10.
@pytest.mark.parametrize(("n", "k", "dvae"), [(10, 5, 4.016), (20, 10, 7.507)])
def test_golden_values_at_uniform_logits(n, k, dvae):
    ops = ops_module.load("torch:cpu")
    theta = np.zeros(n)
    assert call(ops, paper.entropy_as_in_dvae, theta, k) == pytest.approx(dvae, abs=5e-4)
    assert call(ops, paper.sequential_entropy, theta, k) == pytest.approx(math.log(math.comb(n, k)), abs=1e-12)


def test_golden_elbo_of_the_dvae_is_92_nats_off_at_uniform_logits():
    ops = ops_module.load("torch:cpu")
    right, dvae = (call(ops, ENTROPIES[name], np.zeros(20), 10) for name in ("right", "dvae"))
    # The ELBO contains the entropies of 20 groups with n=20 and k=10.
    assert round(float(20 * (right - dvae))) == 92
