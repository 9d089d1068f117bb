"""The names that authors of estimators import, records found by name, and estimates that are plain tuples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from interpreter import python

import subsetgrad
from subsetgrad import get
from subsetgrad.base import Estimate, evaluate, expectation
from subsetgrad.lookup import find_record


def test_every_exported_name_exists_and_builders_noises_and_declarations_are_among_them():
    assert all(hasattr(subsetgrad, name) for name in subsetgrad.__all__)
    assert len(set(subsetgrad.__all__)) == len(subsetgrad.__all__)
    needed = "ESTIMATORS get Estimator Estimate SUBSET Subset pathwise relaxed score_function sample_z perturbed_top_k"
    assert set(needed.split()) | {"GUMBEL", "EXPONENTIAL", "NORMAL", "sum_of_gamma"} <= set(subsetgrad.__all__)


def test_importing_all_of_them_imports_no_framework():
    loaded = python("""
import sys
from subsetgrad import *
print(pathwise.__name__, {"torch", "jax", "jaxlib", "array_api_compat"} & set(sys.modules))
""")
    assert loaded == "pathwise set()\n"


@dataclass(frozen=True)
class Colour:
    """A record with a name, of a kind that the package does not have."""

    name: str


COLOURS = (Colour("red"), Colour("green"))


def test_a_record_is_found_by_its_name():
    assert find_record("colour", "green", COLOURS) is COLOURS[1]


def test_an_unknown_name_is_refused_with_the_kind_the_names_that_exist_and_the_remedy():
    with pytest.raises(ValueError, match=r"^unknown colour 'blue'; known: red, green; or mix your own$"):
        find_record("colour", "blue", COLOURS, "; or mix your own")
    with pytest.raises(ValueError, match=r"^unknown colour ''; known: red, green$"):
        find_record("colour", "", iter(COLOURS))


def plain_tuple(estimator):
    """Returns the estimator with an `estimate` that returns a plain tuple."""

    def estimate(*args, **keywords):
        return tuple(estimator.estimate(*args, **keywords))

    return replace(estimator, name=f"{estimator.name}_plain", estimate=estimate)


@pytest.mark.parametrize("name", ["sfe", "simple"])
def test_an_estimate_may_be_a_plain_tuple(ops, name):
    named = get(name)
    plain = plain_tuple(named)
    theta = ops.asarray(np.random.default_rng(0).normal(size=(2, 5)))
    draws = {"z": ops.top_k_mask(ops.asarray(np.random.default_rng(1).normal(size=(3, 2, 5))), 2)}
    c = ops.asarray(np.arange(5.0))

    def f(z):
        return ops.xp.sum(c * z * z, axis=-1)

    assert type(plain.estimate(ops, theta, draws, f, k=2, state=None)) is tuple
    actual, expected = (evaluate(record, ops, theta, draws, f, k=2, params={}) for record in (plain, named))
    assert isinstance(actual, Estimate) and actual.state is None
    for array, other in zip(actual[:3], expected[:3], strict=True):
        np.testing.assert_array_equal(np.asarray(array), np.asarray(other))
    losses = [np.asarray(expectation(record, ops, theta, f, draws, k=2, params={})[0]) for record in (plain, named)]
    np.testing.assert_array_equal(*losses)
