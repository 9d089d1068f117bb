"""Fixtures shared by all tests."""

from __future__ import annotations

import jax
import pytest

from estimators import ops as ops_module

jax.config.update("jax_enable_x64", True)

BACKENDS = ("torch:cpu", "jax:cpu")


@pytest.fixture(params=BACKENDS, ids=["torch", "jax"])
def ops(request: pytest.FixtureRequest) -> ops_module.Ops:
    """Each backend in float64."""
    return ops_module.load(request.param, "float64")


@pytest.fixture(params=BACKENDS, ids=["torch", "jax"])
def ops32(request: pytest.FixtureRequest) -> ops_module.Ops:
    """Each backend in float32."""
    return ops_module.load(request.param, "float32")
