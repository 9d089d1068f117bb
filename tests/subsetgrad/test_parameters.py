"""Parameters of an estimator have the types of their defaults, and each may be given once."""

from __future__ import annotations

import fractions

import jax
import numpy as np
import pytest

from subsetgrad import jax as subset_jax
from subsetgrad.parameters import POSITIVE, resolve
from subsetgrad.torch import SubsetLayer

DEFAULTS = {"rate": 0.5, "terms": 10, "central": False, "logits": "theta", "sizes": (1, 2), "seed": None}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rate", 2),
        ("rate", np.float32(0.25)),
        ("rate", fractions.Fraction(1, 4)),
        ("terms", np.int64(3)),
        ("central", True),
        ("logits", "odds"),
        ("sizes", (3,)),
        ("seed", None),
    ],
)
def test_a_value_of_the_kind_of_its_default_is_converted_to_the_type_of_the_default(name, value):
    resolved = resolve("owner", DEFAULTS, {}, {name: value})
    assert resolved == {**DEFAULTS, name: value}
    assert type(resolved[name]) is type(DEFAULTS[name])


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("rate", 10**400, "finite float, as the default 0.5"),
        ("rate", float("nan"), "finite float, as the default 0.5"),
        ("rate", "0.5", "finite float, as the default 0.5"),
        ("rate", True, "finite float, as the default 0.5"),
        ("terms", 3.0, "int, as the default 10"),
        ("terms", True, "int, as the default 10"),
        ("central", 1, "bool, as the default False"),
        ("logits", 1, "str, as the default 'theta'"),
        ("sizes", [3], r"tuple, as the default \(1, 2\)"),
        ("seed", 1, "NoneType, as the default None"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_the_default(name, value, expected):
    with pytest.raises(ValueError, match=rf"owner\[{name}=.*\]: expected {expected}"):
        resolve("owner", DEFAULTS, {}, {name: value})


def test_an_integer_too_large_for_a_float_is_still_an_integer():
    assert resolve("owner", {"terms": 1}, {"terms": POSITIVE}, {"terms": 10**400}) == {"terms": 10**400}


def test_a_parameter_given_twice_is_refused_on_either_backend():
    message = "imle_sog: 'tau' is given twice, in params and by keyword"
    with pytest.raises(ValueError, match=message):
        SubsetLayer("imle_sog", k=3, params={"tau": 2.0, "terms": 5}, tau=3.0)
    key, theta = jax.random.key(0), jax.numpy.zeros(5)
    more = {"k": 3, "estimator": "imle_sog", "params": {"tau": 2.0}, "tau": 2.0}
    with pytest.raises(ValueError, match=message):
        subset_jax.sample(key, theta, **more)
    with pytest.raises(ValueError, match=message):
        subset_jax.expectation(key, theta, lambda z: z.sum(-1), **more)
    assert SubsetLayer("imle_sog", k=3, params={"tau": 2.0}, terms=5).params["tau"] == 2.0
