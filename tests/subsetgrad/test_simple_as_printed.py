"""SIMPLE by the algorithms of the paper: the records hold, and the gradient is that of `simple`."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

import subsetgrad
from benchmarks.conformance.candidate import Candidate, NotApplicableError
from benchmarks.conformance.checks import CHECKS
from benchmarks.conformance.parity import TOLERANCE, parity
from subsetgrad import ops as ops_module
from subsetgrad import subsets
from subsetgrad import torch as torch_layer
from subsetgrad.families import simple_as_printed

PLUGINS = (simple_as_printed.SIMPLE_SEQUENTIAL, simple_as_printed.SIMPLE_DIVIDED)
THETA = np.random.default_rng(0).normal(size=(3, 7))
THETA[2, :3] = -np.inf


@pytest.mark.parametrize("record", PLUGINS, ids=lambda record: record.name)
class TestPlugins:
    def test_are_found_by_their_full_name_only(self, record):
        assert subsetgrad.get(f"subsetgrad.families.simple_as_printed:{record.name.upper()}") is record
        assert all(estimator.name != record.name for estimator in subsetgrad.ESTIMATORS)

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_record_holds(self, check, record):
        # Only on torch; `test_conformance.py --estimator` with the full name runs both backends.
        try:
            check(Candidate(record, ops_module.load("torch:cpu")))
        except NotApplicableError as reason:
            pytest.skip(f"nothing to test: {reason}")  # the check is of a claim that the record does not make

    def test_torch_and_jax_agree_on_identical_noise(self, record):
        agreement = parity(record, {}, *(ops_module.load(name) for name in ("torch:cpu", "jax:cpu")), n=10, k=5)
        assert agreement.worst <= TOLERANCE["float64"] and agreement.undecided == 0

    def test_gradient_is_that_of_simple(self, record):
        ops = ops_module.load("torch:cpu")
        theta = ops.asarray(THETA)
        z = ops.asarray(oracles.top_k_mask(np.random.default_rng(1).random((2, 3, 7)), 3))
        g = ops.asarray(np.random.default_rng(2).normal(size=(2, 3, 7)))
        simple = subsetgrad.get("simple")
        gradient, expected = (e.estimate.rule(ops, theta, z, g, {}, k=3, state=None)[0] for e in (record, simple))
        np.testing.assert_allclose(np.asarray(gradient), np.asarray(expected), rtol=0, atol=1e-11)

    def test_the_layer_samples_with_it_and_its_gradient(self, record):
        theta = torch.tensor(THETA[:2], requires_grad=True)
        g = torch.tensor(np.random.default_rng(2).normal(size=(2, 7)))
        z = torch_layer.SubsetLayer(record, k=3)(theta)
        z.backward(g)
        ops = ops_module.load("torch:cpu")
        expected = subsets.covariance_product(ops, theta.detach(), 3, g)
        assert torch.all(z.sum(dim=-1) == 3)
        torch.testing.assert_close(theta.grad, expected, rtol=0, atol=1e-12)
