"""`Ops`: both backends provide all functions with the same meaning; `load` refuses what it cannot provide."""

from __future__ import annotations

import dataclasses
import math

import jax
import numpy as np
import oracles
import pytest
import torch
from interpreter import python

from subsetgrad import ops as ops_module

FIELDS = """name dtype xp asarray stop_gradient sigmoid matmul complex jvp value_and_grad custom_vjp scan
    while_loop constant top_k_mask draw compile block is_array is_concrete""".split()
RNG = np.random.default_rng(0)
THETA, CONSTANT, COTANGENT = RNG.normal(size=(3, 2, 5))


def key_of(ops, seed):
    return torch.Generator().manual_seed(seed) if ops.name.startswith("torch") else jax.random.key(seed)


def vmap_of(ops):
    return torch.func.vmap if ops.name.startswith("torch") else jax.vmap


def test_each_backend_provides_every_field(ops):
    assert [field.name for field in dataclasses.fields(ops_module.Ops)] == FIELDS
    assert ops.name in ops_module.BACKENDS and ops.dtype in ops_module.DTYPES
    assert all(callable(getattr(ops, name)) for name in FIELDS[3:])
    assert set(FIELDS) <= set("".join(c if c.isalpha() or c == "_" else " " for c in ops_module.Ops.__doc__).split())


class TestArrays:
    @pytest.mark.parametrize("dtype", ops_module.DTYPES)
    @pytest.mark.parametrize("name", ["torch", "jax"])
    def test_asarray_makes_the_dtype_of_the_ops(self, name, dtype):
        ops = ops_module.load(name, dtype)
        read_only = THETA.copy()
        read_only.flags.writeable = False
        for values in (THETA, THETA.tolist(), THETA.astype("float32"), read_only, ops.asarray(THETA)):
            array = ops.asarray(values)
            assert str(array.dtype).endswith(dtype)
            np.testing.assert_allclose(np.asarray(array), THETA, rtol=1e-6)
        assert ops.asarray(1).ndim == 0

    def test_asarray_keeps_the_gradient_of_a_native_array(self, ops):
        gradient = ops.value_and_grad(lambda x: ops.xp.sum(ops.asarray(x) * 3))(ops.asarray(THETA))[1]
        np.testing.assert_array_equal(np.asarray(gradient), np.full_like(THETA, 3))

    def test_values_are_concrete_except_under_transforms(self, ops):
        seen = []

        def look(x):
            seen.append(ops.is_concrete(x))
            return ops.xp.sum(x)

        theta = ops.asarray(THETA)
        look(theta)
        ops.value_and_grad(look)(theta)
        vmap_of(ops)(look)(theta)
        ops.jvp(look, (theta,), (theta,))
        jax.jit(lambda x: seen.append(ops_module.load("jax").is_concrete(x)))(THETA)
        assert seen == [True, False, False, False, False]

    def test_compile_and_block_return_what_was_computed(self, ops):
        twice = ops.block(ops.compile(lambda x: (x + x, {"same": x}))(ops.asarray(THETA)))
        np.testing.assert_array_equal(np.asarray(twice[0]), 2 * THETA)
        np.testing.assert_array_equal(np.asarray(twice[1]["same"]), THETA)


class TestDerivatives:
    def test_value_and_grad_differentiates_the_first_argument_and_nests(self, ops):
        def cube(x, y):
            return ops.xp.sum(x**3 * y)

        x, y = ops.asarray(THETA), ops.asarray(CONSTANT)
        value, gradient = ops.value_and_grad(cube)(x, y)
        assert float(value) == pytest.approx(np.sum(THETA**3 * CONSTANT))
        np.testing.assert_allclose(np.asarray(gradient), 3 * THETA**2 * CONSTANT)
        second = ops.value_and_grad(lambda x: ops.xp.sum(ops.value_and_grad(cube)(x, y)[1]))(x)[1]
        np.testing.assert_allclose(np.asarray(second), 6 * THETA * CONSTANT)

    def test_value_and_grad_returns_the_auxiliary_value(self, ops):
        (value, aux), gradient = ops.value_and_grad(lambda x: (ops.xp.sum(x**2), x + 1), has_aux=True)(
            ops.asarray(THETA)
        )
        assert float(value) == pytest.approx(np.sum(THETA**2))
        np.testing.assert_allclose(np.asarray(aux), THETA + 1)
        np.testing.assert_allclose(np.asarray(gradient), 2 * THETA)

    def test_stop_gradient_is_constant_in_both_modes(self, ops):
        theta = ops.asarray(THETA)
        value, tangent = ops.jvp(lambda x: x * ops.stop_gradient(x), (theta,), (ops.asarray(COTANGENT),))
        np.testing.assert_allclose(np.asarray(value), THETA**2)
        np.testing.assert_allclose(np.asarray(tangent), THETA * COTANGENT)
        gradient = ops.value_and_grad(lambda x: ops.xp.sum(x * ops.stop_gradient(x)))(theta)[1]
        np.testing.assert_allclose(np.asarray(gradient), THETA)

    def test_sigmoid_has_derivatives_zero_at_infinity(self, ops):
        def derivative(function):
            return lambda x: ops.value_and_grad(lambda y: ops.xp.sum(function(y)))(x)[1]

        x = ops.asarray([-np.inf, np.inf, 0.0, -800.0])
        function = ops.sigmoid
        for expected in ([0, 1, 0.5, 0], [0, 0, 0.25, 0], [0, 0, 0, 0], [0, 0, -0.125, 0]):
            np.testing.assert_allclose(np.asarray(ops.compile(function)(x)), expected, atol=1e-300)
            function = derivative(function)


class TestCustomVjp:
    """The rule differs from the derivative of the function, so the result shows which of the two was used."""

    @staticmethod
    def rule(ops):
        return ops.custom_vjp(
            lambda theta, constant: theta * constant, lambda theta, constant, out, out_bar: out_bar * constant + out
        )

    expected = COTANGENT * CONSTANT + THETA * CONSTANT

    @pytest.mark.parametrize("compiled", [False, True])
    def test_the_rule_is_applied_to_the_cotangent_that_arrives(self, ops, compiled):
        rule, cotangent, constant = self.rule(ops), ops.asarray(COTANGENT), ops.asarray(CONSTANT)
        call = ops.value_and_grad(lambda theta, constant: ops.xp.sum(cotangent * rule(theta, constant)))
        value, gradient = (ops.compile(call) if compiled else call)(ops.asarray(THETA), constant)
        assert float(value) == pytest.approx(np.sum(COTANGENT * THETA * CONSTANT))
        np.testing.assert_allclose(np.asarray(gradient), self.expected)

    def test_constants_get_no_gradient(self, ops):
        rule, theta = self.rule(ops), ops.asarray(THETA)
        call = ops.value_and_grad(lambda constant: ops.xp.sum(rule(theta, constant) + constant))
        np.testing.assert_array_equal(np.asarray(call(ops.asarray(CONSTANT))[1]), np.ones_like(CONSTANT))

    def test_it_works_with_vmap(self, ops):
        rule = self.rule(ops)
        call = ops.value_and_grad(lambda theta, constant, cotangent: ops.xp.sum(cotangent * rule(theta, constant)))
        gradient = vmap_of(ops)(call)(*(ops.asarray(array) for array in (THETA, CONSTANT, COTANGENT)))[1]
        np.testing.assert_allclose(np.asarray(gradient), self.expected)

    def test_it_works_with_torch_backward(self):
        ops = ops_module.load("torch")
        theta = ops.asarray(THETA.copy()).requires_grad_()
        self.rule(ops)(theta, ops.asarray(CONSTANT)).backward(ops.asarray(COTANGENT))
        np.testing.assert_allclose(theta.grad.numpy(), self.expected)

    def test_the_function_may_be_the_identity(self, ops):
        rule = ops.custom_vjp(lambda theta: theta, lambda theta, out, out_bar: 2 * out_bar)
        gradient = ops.value_and_grad(lambda theta: ops.xp.sum(rule(theta)))(ops.asarray(THETA))[1]
        np.testing.assert_array_equal(np.asarray(gradient), np.full_like(THETA, 2))


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_carries_over_the_leading_axis_either_way(ops, reverse):
    def body(carry, item):
        total, count = carry
        x, y = item
        total = 2 * total + x
        return (total, count + 1), (total * y, total)

    x, y = RNG.normal(size=(2, 6, 3))
    start = (ops.asarray(np.zeros(3)), ops.asarray(0.0))
    (total, count), (products, totals) = ops.scan(body, start, (ops.asarray(x), ops.asarray(y)), reverse=reverse)
    expected, running = np.zeros((6, 3)), np.zeros(3)
    for i in reversed(range(6)) if reverse else range(6):
        running = expected[i] = 2 * running + x[i]
    assert float(count) == 6
    for actual, exact in ((total, running), (totals, expected), (products, expected * y)):
        np.testing.assert_allclose(np.asarray(actual), exact, rtol=1e-14)


class TestTopK:
    @pytest.mark.parametrize("k", [0, 1, 4, 9])
    def test_it_is_the_double_argsort(self, ops, k):
        scores = np.random.default_rng(1).normal(size=(3, 4, 9))
        scores[0, 0, 1:] = -np.inf
        mask = np.asarray(ops.top_k_mask(ops.asarray(scores), k))
        assert mask.dtype == np.float64 and np.all(mask.sum(axis=-1) == k)
        np.testing.assert_array_equal(mask.reshape(-1, 9)[1:], oracles.top_k_mask(scores, k).reshape(-1, 9)[1:])

    def test_of_ties_exactly_k_are_chosen_and_none_before_a_larger_one(self, ops):
        scores = np.random.default_rng(2).integers(0, 3, size=(50, 9)).astype(float)
        mask = np.asarray(ops.top_k_mask(ops.asarray(scores), 4))
        assert np.all(mask.sum(axis=-1) == 4)
        chosen, left = np.where(mask == 1, scores, np.inf), np.where(mask == 0, scores, -np.inf)
        assert np.all(chosen.min(axis=-1) >= left.max(axis=-1))


LAWS = [  # primitive, parameter, mean, variance, fourth central moment
    ("uniform", None, 1 / 2, 1 / 12, 1 / 80),
    ("exponential", None, 1, 1, 9),
    ("normal", None, 0, 1, 3),
    ("gamma", 0.1, 0.1, 0.1, 0.63),
    ("gamma", 5.0, 5, 5, 105),
]


class TestDraw:
    @pytest.mark.parametrize("law", LAWS, ids=[f"{name}-{parameter}" for name, parameter, *_ in LAWS])
    @pytest.mark.parametrize("dtype", ops_module.DTYPES)
    @pytest.mark.parametrize("backend", ["torch", "jax"])
    def test_mean_and_variance_are_those_of_the_law(self, backend, dtype, law):
        name, parameter, mean, variance, fourth = law
        ops, size = ops_module.load(backend, dtype), 100_000
        array = np.asarray(ops.draw(key_of(ops, 3))(name, (size // 10, 10), parameter))
        assert array.shape == (size // 10, 10) and array.dtype == dtype
        array = array.astype("float64")
        if name != "normal":
            assert array.min() >= 0
        if name == "uniform":
            assert array.max() < 1
        assert abs(array.mean() - mean) < 5 * math.sqrt(variance / size)
        assert abs(array.var() - variance) < 5 * math.sqrt((fourth - variance**2) / size)

    def test_draws_from_one_key_differ_and_a_key_repeats_them(self, ops):
        draw, again, other = (ops.draw(key_of(ops, seed)) for seed in (4, 4, 5))
        first, second = (np.asarray(draw("normal", (10_000,))) for _ in range(2))
        assert abs(np.mean(first * second)) < 5 / 100
        for expected in (first, second):
            np.testing.assert_array_equal(np.asarray(again("normal", (10_000,))), expected)
        assert abs(np.mean(first * np.asarray(other("normal", (10_000,))))) < 5 / 100


class TestLoad:
    def test_a_bare_name_means_the_cpu_and_loading_twice_gives_the_same(self, ops):
        assert ops_module.load(ops.name.split(":")[0], "float64") is ops_module.load(ops.name, "float64") is ops

    def test_an_unknown_name_or_dtype_is_refused_with_the_choices(self):
        with pytest.raises(ValueError, match="name='numpy' is not a backend; choose one of torch:cpu, torch:cuda, jax"):
            ops_module.load("numpy")
        with pytest.raises(ValueError, match="dtype='float16' is not supported; choose one of float32, float64"):
            ops_module.load("torch:cpu", "float16")

    @pytest.mark.parametrize("framework", ["torch", "jax"])
    def test_an_absent_device_is_refused_with_the_way_out(self, framework):
        if torch.cuda.is_available() if framework == "torch" else jax.default_backend() == "gpu":
            pytest.skip(f"{framework} has the device here")  # an absent one is what the test is about
        with pytest.raises(ValueError, match=f"backend '{framework}:cuda' needs .* device.*; use '{framework}:cpu'"):
            ops_module.load(f"{framework}:cuda")

    def test_jax_in_float64_asks_for_its_64_bit_mode(self):
        message = python("""
from subsetgrad import ops
try:
    ops.load("jax:cpu", "float64")
except ValueError as error:
    print(error)
print(ops.load("jax:cpu", "float32").asarray([1.0]).dtype)
""")
        assert "dtype='float64' needs jax's 64-bit mode: call jax.config.update('jax_enable_x64', True)" in message
        assert message.endswith("float32\n")

    @pytest.mark.parametrize(
        ("blocked", "backend"), [("torch", "torch"), ("array_api_compat", "torch"), ("jax", "jax")]
    )
    def test_a_missing_framework_is_named_with_the_extra_that_brings_it(self, blocked, backend):
        message = python(f"""
import sys
from subsetgrad import ops
sys.modules["{blocked}"] = None  # as if it were not installed
try:
    ops.load("{backend}:cpu")
except ImportError as error:
    print(error)
""")
        assert message == f"backend '{backend}:cpu' needs {blocked}: pip install 'subsetgrad[{backend}]'\n"

    def test_importing_the_package_imports_no_framework(self):
        loaded = python("""
import sys
import subsetgrad, subsetgrad.subsets, subsetgrad.ops
print({"torch", "jax", "jaxlib", "array_api_compat"} & set(sys.modules))
""")
        assert loaded == "set()\n"
