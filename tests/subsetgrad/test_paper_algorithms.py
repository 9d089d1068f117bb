"""Algorithms 1, 2, 5 and 6 of the paper, against enumeration, the library, and slow samplers."""

from __future__ import annotations

import itertools
from functools import cache

import logits
import numpy as np
import oracles
import pytest
import torch
from paper_calls import FORMS, LOG_PARTITIONS, MARGINALS, SAMPLERS, call

from subsetgrad import ops as ops_module
from subsetgrad import subsets

SIZES = ((1, 1), (5, 0), (5, 5), (7, 3))
REFERENCES = {"sequential": oracles.sequential_sample, "divided": oracles.divided_sample}


def all_values(ops, theta, k, v, uniforms):
    """Returns all values of each form, so that each size is compiled once."""
    values = {}
    for form in FORMS:
        marginals = MARGINALS[form]
        values[form] = {
            "log_partition": LOG_PARTITIONS[form](ops, theta, k),
            "marginals": marginals(ops, theta, k),
            "forward": ops.jvp(lambda x, mu=marginals: mu(ops, x, k), (theta,), (v,))[1],
            "backward": ops.value_and_grad(lambda x, mu=marginals: ops.xp.sum(v * mu(ops, x, k)))(theta)[1],
            "sample": SAMPLERS[form](ops, theta, k, uniforms),
        }
    return values


@cache
def all_compiled(ops, k):
    return ops.compile(lambda *arrays: all_values(ops, arrays[0], k, *arrays[1:]))


def computed(ops, theta, k):
    """Returns `(v [R, n], uniforms [S, R, n], form -> name -> values)`."""
    rng = np.random.default_rng(1)
    v, uniforms = rng.normal(size=theta.shape), rng.random((12, *theta.shape))
    values = all_compiled(ops, k)(*map(ops.asarray, (theta, v, uniforms)))
    return v, uniforms, {form: {name: np.asarray(x) for name, x in of.items()} for form, of in values.items()}


@cache
def at_size(ops, n, k):
    """Returns `computed` for the logits of one size."""
    return computed(ops, logits.rows(n, k), k)


@cache
def laws(n, k):
    return [oracles.enumerated(row, k) for row in logits.rows(n, k)]


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
        theta, (_, uniforms, values) = logits.rows(n, k), at_size(ops, n, k)
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
        theta = logits.rows(n, k)
        for function, library in ((LOG_PARTITIONS, subsets.log_partition), (MARGINALS, subsets.marginals)):
            actual, exact = call(ops, function[form], theta, k), call(ops, library, theta, k)
            np.testing.assert_allclose(actual, exact, rtol=1e-13, atol=1e-12, err_msg=f"n={n}, k={k}")
        z = call(ops, SAMPLERS[form], theta, k, np.random.default_rng(n).random((20, *theta.shape)))
        assert np.all(z.sum(axis=-1) == k) and not np.any(z[:, np.isneginf(theta)]), f"n={n}, k={k}"


@pytest.mark.parametrize(("n", "k"), [(5, 0), (7, 3), (5, 5)])
def test_an_invalid_row_is_nan_and_does_not_affect_the_others(ops, n, k):
    theta = logits.rows(n, k)
    theta[1, n // 2], theta[2, 0], theta[3, : n - k + 1] = np.nan, np.inf, -np.inf
    bad = [1, 2, 3] if k else [1, 2]  # for k = 0, a row of -inf is valid
    with_invalid, valid = computed(ops, theta, k)[2], at_size(ops, n, k)[2]
    for form, name in itertools.product(FORMS, ("log_partition", "marginals", "sample")):
        # Samples have a leading axis; the rows are moved to the front.
        (actual, expected) = (
            x[form][name].swapaxes(0, 1) if name == "sample" else x[form][name] for x in (with_invalid, valid)
        )
        assert np.all(np.isnan(actual[bad])), (form, name)
        np.testing.assert_array_equal(np.delete(actual, bad, axis=0), np.delete(expected, bad, axis=0))


@pytest.mark.parametrize("form", FORMS)
def test_third_derivatives_are_the_third_moments(form):
    n, k, ops = 7, 3, ops_module.load("torch:cpu")
    v = np.random.default_rng(4).normal(size=n)
    exact = [np.einsum("ijl,j,l->i", law.third_moment, v, v) for law in laws(n, k)]
    theta, direction = ops.asarray(logits.rows(n, k)), ops.asarray(np.tile(v, (6, 1)))

    def curvature(x):
        return ops.xp.sum(direction * ops.jvp(lambda y: MARGINALS[form](ops, y, k), (x,), (direction,))[1])

    third = np.asarray(ops.value_and_grad(curvature)(theta)[1])
    np.testing.assert_allclose(third, exact, rtol=0, atol=1e-11)


@pytest.mark.parametrize("form", FORMS)
def test_many_items_agree_with_the_library_and_the_recursion_in_long_double(ops, form):
    n, k = 40, 11
    theta = 2 * np.random.default_rng(n).normal(size=n)
    log_partition, marginals, _ = oracles.log_space(theta, k)
    assert call(ops, LOG_PARTITIONS[form], theta, k) == pytest.approx(log_partition, rel=1e-13)
    actual = call(ops, MARGINALS[form], theta, k)
    np.testing.assert_allclose(actual, marginals, rtol=1e-11, atol=1e-300)
    library = ops_module.load("torch:cpu")
    np.testing.assert_allclose(actual, call(library, subsets.marginals, theta, k), rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("form", FORMS)
def test_torch_maps_over_rows(form):
    ops = ops_module.load("torch:cpu")
    theta, uniforms = ops.asarray(logits.rows(7, 3)), ops.asarray(np.random.default_rng(9).random((6, 7)))
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
