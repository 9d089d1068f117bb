"""The examples at the top of the modules that users and authors of estimators read run as they are printed."""

from __future__ import annotations

import importlib
import re
from typing import Any

import numpy as np
import pytest

from subsetgrad import get
from subsetgrad import ops as ops_module
from subsetgrad.base import evaluate
from subsetgrad.torch import SubsetLayer


def run_example(module: str) -> dict[str, Any]:
    """Runs the first code block of a module's docstring, and returns the names that it defines."""
    docstring = importlib.import_module(module).__doc__ or ""
    code = re.search(r"```python\n(.*?)```", docstring, re.DOTALL)
    assert code, f"the docstring of {module} has no example"
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code[1], f"docstring of {module}", "exec"), names)
    return names


@pytest.mark.parametrize("module", ["subsetgrad.torch", "subsetgrad.jax"])
def test_a_users_example_samples_and_finds_the_best_subset(module):
    names = run_example(module)
    z, chosen = np.asarray(names["z"].tolist()), np.asarray(names["chosen"].tolist())
    assert z.shape == (8, 1, 4) and np.all(z.sum(axis=-1) == 2) and set(np.unique(z)) == {0, 1}
    assert np.array_equal(chosen.reshape(1, 4), [[1, 1, 0, 0]])


def test_the_example_of_an_author_is_reinforce_with_the_baseline_taken_from_f(ops):
    record = run_example("subsetgrad.base")["SFE_BASELINE"]
    theta = ops.asarray(np.random.default_rng(0).normal(size=(3, 5)))
    z = ops.top_k_mask(ops.asarray(np.random.default_rng(1).normal(size=(4, 3, 5))), 2)
    c = ops.asarray(np.arange(5.0))

    def f(z):
        return ops.xp.sum(c * z, axis=-1)

    def gradient(estimator, objective, **params):
        estimate = evaluate(
            estimator, ops, theta, {"z": z}, objective, k=2, params=estimator.resolve_params(params), state=None
        )
        return np.asarray(estimate.gradient)

    expected = gradient(get("sfe"), lambda z: f(z) - 1.5)
    assert np.any(expected)
    np.testing.assert_allclose(gradient(record, f, baseline=1.5), expected, rtol=1e-12)
    np.testing.assert_allclose(gradient(record, f), gradient(get("sfe"), f), rtol=1e-12)


def test_the_example_of_an_author_works_in_a_layer():
    layer = SubsetLayer(run_example("subsetgrad.base")["SFE_BASELINE"], k=2, baseline=1.5)
    theta = ops_module.load("torch").asarray(np.zeros((3, 5))).requires_grad_()
    layer.expectation(theta, lambda z: (z * theta.new_tensor(range(5))).sum(-1)).sum().backward()
    assert theta.grad.any() and theta.grad.isfinite().all()
