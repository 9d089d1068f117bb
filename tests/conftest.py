"""Fixtures shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from subsetgrad import ESTIMATORS, get
from subsetgrad import ops as ops_module
from subsetgrad.subsets import few

jax.config.update("jax_enable_x64", True)

RECORDS = pytest.StashKey[list]()
BACKENDS = ("torch:cpu", "jax:cpu")


@pytest.fixture(scope="module", autouse=True)
def _programs_of_a_module() -> Iterator[None]:
    """Clears what jax compiled for a module: each program takes some 200 memory maps, and Linux limits their number."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="module", params=["enumerated", "tree"])
def form(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both forms of the exact law: the table of all subsets, which small sizes use, and the product tree."""

    def clear_caches() -> None:
        few.are_few.cache_clear()
        ops_module._compiled.cache_clear()
        jax.clear_caches()

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "tree":
            patch.setattr(few, "LIMIT", 0)
            clear_caches()
        yield
    clear_caches()


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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks as `fast` every test that neither is `slow` nor runs on jax, where compiling takes most of the time."""
    for item in items:
        if "jax" not in item.name and item.get_closest_marker("slow") is None:
            item.add_marker("fast")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "estimator" in metafunc.fixturenames:
        records = metafunc.config.stash[RECORDS]
        metafunc.parametrize("estimator", records, ids=[record.name for record in records])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Returns a path for a new store."""
    return tmp_path / "results.sqlite"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Any]:
    """Yields an open store, without cells and with one run."""
    from benchmarks.results.store import Store

    with Store(tmp_path / "new" / "folder" / "results.sqlite") as new:
        new.begin_run("run-1", "2026-01-02T03:04:05+00:00", {"command": "a test"})
        yield new


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Returns a list to which each measured cell is added; the measurement is replaced, and gives 0.25."""
    from benchmarks.quality import measure
    from benchmarks.results.outcome import Measurement

    cells = []

    def pretend(cell: Any) -> list[Measurement]:
        cells.append(cell)
        return [Measurement("conditional_poisson", "bias", 0.25, 0.0, True)]

    monkeypatch.setattr(measure, "quality_of", pretend)
    return cells


@pytest.fixture
def quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives timings a budget of some milliseconds and a separate lock, for tests that do not check the times."""
    from benchmarks import machine
    from benchmarks.cost import clock

    monkeypatch.setattr(machine, "LOCK", tmp_path / "lock")
    real = clock.measure

    def measure(contestants: Any, **more: Any) -> Any:
        return real(contestants, **(more | {"budget_seconds": 0.02, "relative_target": 0.2}))

    monkeypatch.setattr(clock, "measure", measure)


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the path of a store with the cells of `reports_store.plain`, which tests only read."""
    import reports_store

    return reports_store.write(tmp_path_factory.mktemp("store") / "small.sqlite", reports_store.plain)


@pytest.fixture(scope="session")
def small_results(small_store: Path) -> Any:
    """Returns the content of `small_store` as `reports` reads it, not to be changed."""
    from reports import data

    return data.read(small_store)
