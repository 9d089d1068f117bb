"""Arrays that do not belong to the backend are refused by name, before anything is compiled for them."""

from __future__ import annotations

import numpy as np
import pytest
from interpreter import python

from subsetgrad import ops as ops_module
from subsetgrad import subsets
from subsetgrad.subsets import paper

THETA = np.random.default_rng(0).normal(size=(3, 5))
ARRAYS = [  # the array arguments other than theta
    ("v", subsets.covariance_product),
    ("z", subsets.log_prob),
    ("uniforms", subsets.sample),
    ("uniforms", paper.sequential_sample),
    ("uniforms", paper.divided_sample),
]


@pytest.mark.parametrize(("name", "function"), ARRAYS)
@pytest.mark.parametrize("array", [THETA.tolist(), THETA], ids=["list", "numpy"])
def test_an_array_argument_must_belong_to_the_backend_and_have_the_items_of_theta(ops, name, function, array):
    with pytest.raises(TypeError, match=rf"{name} is a .*, not an array of {ops.name}: pass ops.asarray\({name}\)"):
        function(ops, ops.asarray(THETA), 2, array)
    with pytest.raises(ValueError, match=rf"{name} has shape \(3, 4\); its last axis holds the n=5 items of theta"):
        function(ops, ops.asarray(THETA), 2, ops.asarray(THETA[:, :4]))


@pytest.mark.parametrize(("name", "function"), ARRAYS)
def test_an_array_argument_must_have_the_dtype_of_the_ops(ops, name, function):
    wrong = ops_module.load(ops.name, "float32").asarray(THETA)
    with pytest.raises(TypeError, match=rf"{name} has dtype .*float32, .* in float64: pass ops.asarray\({name}\)"):
        function(ops, ops.asarray(THETA), 2, wrong)


@pytest.mark.parametrize("function", [subsets.marginals, subsets.check])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_theta_must_not_be_a_numpy_array_of_any_dtype(ops, function, dtype):
    with pytest.raises(TypeError, match=rf"theta is a ndarray, not an array of {ops.name}: pass ops.asarray\(theta\)"):
        function(ops, THETA.astype(dtype), 2)


def test_theta_must_not_be_an_array_of_the_other_backend(ops):
    other = ops_module.load("jax:cpu" if ops.name == "torch:cpu" else "torch:cpu")
    with pytest.raises(TypeError, match=f"theta is a .*, not an array of {ops.name}"):
        subsets.marginals(ops, other.asarray(THETA), 2)


def test_jax_in_32_bit_mode_does_not_silently_round_float64_of_numpy():
    code = """
import numpy as np
from subsetgrad import ops, subsets
try:
    subsets.marginals(ops.load("jax:cpu", "float32"), np.zeros(4), 2)
except TypeError as error:
    print(error)
"""
    assert python(code) == "theta is a ndarray, not an array of jax:cpu: pass ops.asarray(theta)\n"
