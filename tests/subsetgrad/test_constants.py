"""Constants that torch caches can be used later in other transforms and other modes, and on other GPUs."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

from subsetgrad import subsets
from subsetgrad.ops import torch as ops_torch

THETA = torch.tensor(np.random.default_rng(0).normal(size=9))
K = 4
LAW = oracles.enumerated(THETA.numpy(), K)


def gradient(log_partition):
    return torch.func.grad(log_partition)(THETA), LAW.marginals


def tangent(log_partition):
    return torch.func.jvp(log_partition, (THETA,), (THETA,))[1], LAW.marginals @ THETA.numpy()


def hessian(log_partition):
    return torch.func.hessian(log_partition)(THETA), LAW.covariance


def rows(log_partition):
    return torch.func.vmap(torch.func.grad(log_partition))(THETA[None])[0], LAW.marginals


def inference(log_partition):
    with torch.inference_mode():
        return log_partition(THETA), LAW.log_partition


@pytest.mark.parametrize("first", [gradient, tangent, hessian, rows, inference])
def test_a_constant_may_be_made_first_inside_any_transform(first):
    ops = ops_torch.make("cpu", "float64")  # a new one, with an empty cache
    for transform in (first, gradient, tangent, hessian, rows, first):
        actual, expected = transform(lambda theta: subsets.log_partition(ops, theta, K))
        np.testing.assert_allclose(actual.numpy(), expected, atol=1e-12)


def test_each_gpu_has_its_own_copy(monkeypatch):
    gpu, made = 0, []

    def as_tensor(array, *, dtype, device):
        made.append((gpu, device))
        return torch.tensor(array, dtype=dtype)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: gpu)
    monkeypatch.setattr(torch, "as_tensor", as_tensor)
    constant = ops_torch.make("cuda", "float32").constant
    first = constant(np.eye, 3)
    gpu = 1
    second = constant(np.eye, 3)
    assert made == [(0, "cuda"), (1, "cuda")] and second is not first
    assert constant(np.eye, 3) is second
    gpu = 0
    assert constant(np.eye, 3) is first and len(made) == 2
