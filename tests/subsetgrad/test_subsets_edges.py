"""The exact k-subset distribution: invalid input, compilation, transforms, and extreme logits."""

from __future__ import annotations

import logging
import math
import re

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import torch
from hypothesis import given, settings

from subsetgrad import ops as ops_module
from subsetgrad import subsets

pytestmark = pytest.mark.usefixtures("form")

N = 5
ROWS = 7
RNG = np.random.default_rng(0)
VECTOR, UNIFORMS, GOOD = RNG.normal(size=N), RNG.random((ROWS, N)), RNG.normal(size=(ROWS, N))
FIRST = {k: 1.0 * (np.arange(N) < k) for k in range(N + 1)}  # k -> the subset of the first k items
FUNCTIONS = {
    "log_partition": subsets.log_partition,
    "marginals": subsets.marginals,
    "entropy": subsets.entropy,
    "kl_to_uniform": subsets.kl_to_uniform,
    "covariance_product": lambda ops, theta, k: subsets.covariance_product(ops, theta, k, ops.asarray(VECTOR)),
    "second_order_inclusions": subsets.second_order_inclusions,
    "log_prob": lambda ops, theta, k: subsets.log_prob(ops, theta, k, ops.asarray(FIRST.get(k, VECTOR))),
    "sample": lambda ops, theta, k: subsets.sample(ops, theta, k, ops.asarray(UNIFORMS)),
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


def with_bad_rows():
    """Returns `GOOD` with three invalid rows: one with NaN, one with +inf, and one with a single finite logit."""
    theta = GOOD.copy()
    theta[1, 2], theta[3, 0] = np.nan, np.inf
    theta[5, 1:] = -np.inf
    return theta


class TestRows:
    @every_function
    @pytest.mark.parametrize("k", [0, 2, N])
    def test_an_invalid_row_is_nan_and_does_not_affect_the_others_with_and_without_jit(self, ops, function, k):
        theta = with_bad_rows()
        invalid = [
            any(math.isnan(x) or x == math.inf for x in row) or sum(map(math.isfinite, row)) < k for row in theta
        ]
        assert sum(invalid) == (2 if k == 0 else 3)
        good, bad = (np.asarray(function(ops, ops.asarray(array), k)) for array in (GOOD, theta))
        assert not np.any(np.isnan(good))
        assert np.all(np.isnan(bad[invalid]))
        np.testing.assert_array_equal(bad[::2], good[::2])
        compiled = ops.compile(lambda array: function(ops, array, k))
        np.testing.assert_allclose(np.asarray(compiled(ops.asarray(theta))), bad, rtol=1e-13, atol=1e-15)

    @every_function
    def test_changing_a_row_changes_no_bit_of_the_others(self, ops, function):
        theta = GOOD.copy()
        theta[1::2] = 1e3 * theta[1::2] - 7
        good, other = (np.asarray(function(ops, ops.asarray(array), 2)) for array in (GOOD, theta))
        np.testing.assert_array_equal(other[::2], good[::2])


@every_function
def test_a_second_call_compiles_nothing_even_outside_jit(function, caplog):
    ops = ops_module.load("jax:cpu")
    theta = ops.asarray(GOOD)

    def compilations(call):
        caplog.clear()
        with jax.log_compiles(), caplog.at_level(logging.DEBUG):
            call(theta)
        return sum("Finished XLA compilation" in record.getMessage() for record in caplog.records)

    function(ops, theta, 3)
    assert compilations(lambda array: function(ops, array, 3)) == 0
    assert compilations(jax.jit(lambda array: array + 1)) == 1  # the log does show compilations


@pytest.mark.parametrize("n", [5, 40])
def test_on_jax_matrix_products_have_full_precision_on_every_device(n):
    ops = ops_module.load("jax:cpu", "float32")
    theta = ops.asarray(np.random.default_rng(1).normal(size=(2, n)))

    def precisions(function):
        return set(re.findall(r"dot_general.*precision = \[(\w+), (\w+)\]", jax.jit(function).lower(theta).as_text()))

    functions = (
        lambda array: subsets.covariance_product(ops, array, 2, theta),
        lambda array: jax.grad(lambda logits: jnp.sum(subsets.marginals(ops, logits, 2) ** 2))(array),
        lambda array: subsets.sample(ops, array, 2, ops.asarray(np.full((3, 2, n), 0.5))),
    )
    assert [precisions(function) for function in functions] == [{("HIGHEST", "HIGHEST")}] * 3
    assert precisions(lambda array: array @ array.T) == {("DEFAULT", "DEFAULT")}  # wrong twin


class TestBadInput:
    @every_function
    @pytest.mark.parametrize(
        ("k", "error", "message"),
        [
            (-1, ValueError, r"k=-1 is outside \[0, 5\] for n=5 items"),
            (6, ValueError, r"k=6 is outside \[0, 5\] for n=5 items"),
            (2.0, TypeError, "k=2.0 is a float"),
            (True, TypeError, "k=True is a bool"),
            ("2", TypeError, "k='2' is a str"),
        ],
    )
    def test_k(self, ops, function, k, error, message):
        with pytest.raises(error, match=message):
            function(ops, ops.asarray(GOOD), k)

    @every_function
    def test_theta(self, ops, function):
        for bad, error, message in (
            ([0.0] * N, TypeError, "theta is a list, not an array"),
            (1.0, TypeError, "theta is a float, not an array"),
            (ops.asarray(1.0), ValueError, r"theta has shape \(\)"),
            (ops.asarray(np.zeros((2, 0))), ValueError, r"theta has shape \(2, 0\)"),
            (ops.xp.astype(ops.asarray(GOOD), ops.xp.float32), TypeError, "theta has dtype .*float32, .* in float64"),
            (ops.xp.astype(ops.asarray(GOOD), ops.xp.int32), TypeError, "theta has dtype .*int32"),
        ):
            with pytest.raises(error, match=message):
                function(ops, bad, 2)

    def test_check_names_the_row_and_what_is_wrong_with_it(self, ops):
        theta = with_bad_rows()
        for row, message in ((1, "NaN logit"), (3, r"\+inf logit"), (5, "1 finite logits, fewer than k=2")):
            batch = GOOD.copy()
            batch[row] = theta[row]
            with pytest.raises(ValueError, match=rf"theta\[{row}\] has an? {message}|theta\[{row}\] has {message}"):
                subsets.check(ops, ops.asarray(batch), 2)
            with pytest.raises(ValueError, match=f"theta has .*{message}"):
                subsets.check(ops, ops.asarray(theta[row]), 2)
        with pytest.raises(ValueError, match=r"theta\[1, 2\] has a NaN"):
            subsets.check(ops, ops.asarray(np.stack([GOOD[:3], [GOOD[0], GOOD[1], theta[1]]])), 2)
        with pytest.raises(ValueError, match="k=6 is outside"):
            subsets.check(ops, ops.asarray(GOOD), 6)

    def test_check_passes_valid_rows_and_reads_no_values_under_a_transform(self, ops):
        subsets.check(ops, ops.asarray(GOOD), 2)
        subsets.check(ops, ops.asarray(np.full((1, N), -np.inf)), 0)

        def checked(theta):
            subsets.check(ops, theta, 2)
            return ops.xp.sum(theta)

        ops.value_and_grad(checked)(ops.asarray(with_bad_rows()))
        jax.jit(lambda theta: subsets.check(ops_module.load("jax"), theta, 2))(with_bad_rows())

    def test_log_prob_of_a_vector_that_is_not_a_k_subset_is_minus_infinity(self, ops):
        z = ops.asarray([[1.0, 1, 0, 0, 0], [1, 1, 1, 0, 0], [2, 0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5, 0]])
        log_prob = np.asarray(subsets.log_prob(ops, ops.asarray(GOOD[0]), 2, z))
        np.testing.assert_array_equal(np.isneginf(log_prob), [False, True, True, True])
        with pytest.raises(ValueError, match=r"z has shape .*its last axis holds the n=5 items"):
            subsets.log_prob(ops, ops.asarray(GOOD), 2, z[:, :4])

    def test_enumeration_is_complete_read_only_and_bounded(self):
        for n, k in ((1, 0), (1, 1), (6, 3), (6, 6)):
            np.testing.assert_array_equal(subsets.enumerate(n, k), oracles.subsets_of(n, k))
        with pytest.raises(ValueError, match="read-only"):
            subsets.enumerate(6, 3)[0, 0] = 2
        with pytest.raises(ValueError, match=r"C\(40, 20\) = 137,846,528,820 subsets; the limit is 200,000"):
            subsets.enumerate(40, 20)
        with pytest.raises(ValueError, match="n=0 is not a number of items"):
            subsets.enumerate(0, 0)
        with pytest.raises(ValueError, match=r"k=7 is outside \[0, 6\]"):
            subsets.enumerate(6, 7)


class TestTransforms:
    @pytest.mark.parametrize("name", ["log_partition", "marginals", "covariance_product", "entropy", "log_prob"])
    def test_vmap_is_batching(self, ops, name):
        vmap = torch.func.vmap if ops.name.startswith("torch") else jax.vmap
        theta = ops.asarray(with_bad_rows())
        mapped = vmap(lambda row: FUNCTIONS[name](ops, row, 2))(theta)
        np.testing.assert_allclose(np.asarray(mapped), np.asarray(FUNCTIONS[name](ops, theta, 2)), rtol=1e-13)

    def test_vmap_of_samples_is_batching(self, ops):
        vmap = torch.func.vmap if ops.name.startswith("torch") else jax.vmap
        theta, uniforms = ops.asarray(GOOD), ops.asarray(UNIFORMS)
        mapped = vmap(lambda row, uniform: subsets.sample(ops, row, 2, uniform))(theta, uniforms)
        np.testing.assert_array_equal(np.asarray(mapped), np.asarray(subsets.sample(ops, theta, 2, uniforms)))

    @pytest.mark.parametrize("name", ["log_partition", "marginals"])
    def test_torch_checks_first_and_second_derivatives_numerically(self, name):
        ops = ops_module.load("torch:cpu")
        theta = ops.asarray(GOOD[:2]).requires_grad_()

        def function(array):  # gradcheck needs a function of one tensor
            return FUNCTIONS[name](ops, array, 2)

        assert torch.autograd.gradcheck(function, theta, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(function, theta)


logit = st.one_of(st.floats(-50, 50), st.sampled_from([0.0, 50.0, -50.0, -math.inf]))
modest = settings(derandomize=True, deadline=None, max_examples=60)


def agree(ops, function, theta, k):
    """Asserts that `(log_partition, marginals, entropy, covariance product)` agree with enumeration."""
    law = oracles.enumerated(theta, k)
    log_partition, marginals, entropy, product = (np.asarray(value) for value in function(ops.asarray(theta)))
    assert log_partition == pytest.approx(law.log_partition, rel=1e-14, abs=1e-12)
    np.testing.assert_allclose(marginals, law.marginals, rtol=1e-12, atol=1e-300)
    assert entropy == pytest.approx(law.entropy, rel=1e-12, abs=1e-13)
    np.testing.assert_allclose(product, law.covariance @ np.arange(len(theta)), rtol=0, atol=1e-12)


def four(ops, theta, k):
    v = ops.asarray(np.arange(theta.shape[-1]))
    functions = (subsets.log_partition, subsets.marginals, subsets.entropy)
    return (*(function(ops, theta, k) for function in functions), subsets.covariance_product(ops, theta, k, v))


@modest
@given(data=st.data(), theta=st.lists(logit, min_size=1, max_size=8))
def test_any_logits_on_torch(data, theta):
    ops = ops_module.load("torch:cpu")
    k = data.draw(st.integers(0, sum(map(math.isfinite, theta))))
    agree(ops, lambda array: four(ops, array, k), np.array(theta), k)


JAX_FOUR = jax.jit(lambda theta: four(ops_module.load("jax:cpu"), theta, 3))


@modest
@given(theta=st.lists(logit, min_size=6, max_size=6).filter(lambda row: sum(map(math.isfinite, row)) >= 3))
def test_any_logits_on_jax(theta):
    agree(ops_module.load("jax:cpu"), JAX_FOUR, np.array(theta), 3)


@pytest.mark.parametrize("form", ["tree"], indirect=True, scope="module")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["torch", "jax"])
@pytest.mark.parametrize("mask", [-1e9, -1e30, None])
def test_a_large_negative_mask_is_the_same_as_minus_infinity(name, dtype, mask):
    ops = ops_module.load(name, dtype)
    mask = float(np.finfo(dtype).min) if mask is None else mask  # usual masks in either framework
    theta = np.random.default_rng(1).normal(size=(4, 20))
    never = np.arange(20) % 4 == 1  # at least two items, so that the sum of their masks overflows
    uniforms = np.random.default_rng(2).random((30, 4, 20)).astype(dtype)
    for k in (1, 7, 14):
        results = [
            (*four(ops, ops.asarray(rows), k), subsets.sample(ops, ops.asarray(rows), k, ops.asarray(uniforms)))
            for rows in (np.where(never, mask, theta), np.where(never, -np.inf, theta))
        ]
        for masked, absent in zip(*results, strict=True):
            assert np.all(np.isfinite(np.asarray(masked)))
            # About ten rounding errors of the largest values, which are near 12.
            np.testing.assert_allclose(np.asarray(masked), np.asarray(absent), rtol=0, atol=170 * np.finfo(dtype).eps)
