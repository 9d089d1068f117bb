"""Fixtures shared by all tests."""

from __future__ import annotations

import jax
import pytest

from estimators import ESTIMATORS, get
from estimators import ops as ops_module

jax.config.update("jax_enable_x64", True)

RECORDS = pytest.StashKey[list]()
BACKENDS = ("torch:cpu", "jax:cpu")


@pytest.fixture(params=BACKENDS, ids=["torch", "jax"])
def ops(request: pytest.FixtureRequest) -> ops_module.Ops:
    """Each backend in float64."""
    return ops_module.load(request.param, "float64")


@pytest.fixture(params=BACKENDS, ids=["torch", "jax"])
def ops32(request: pytest.FixtureRequest) -> ops_module.Ops:
    """Each backend in float32."""
    return ops_module.load(request.param, "float32")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--estimator",
        action="append",
        default=[],
        metavar="package.module:NAME",
        help="run the conformance suite on these estimators only; may be repeated",
    )


def pytest_configure(config: pytest.Config) -> None:
    try:
        config.stash[RECORDS] = [get(name) for name in config.getoption("--estimator")] or list(ESTIMATORS)
    except ValueError as error:
        raise pytest.UsageError(f"--estimator: {error}") from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "estimator" in metafunc.fixturenames:
        records = metafunc.config.stash[RECORDS]
        metafunc.parametrize("estimator", records, ids=[record.name for record in records])
