"""The cases that asv tracks, under pytest-benchmark: `nox -s timing` times them, the tests run each once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import machine
from benchmarks.tracked import asv_common, cases


@pytest.fixture
def say(capsys: pytest.CaptureFixture) -> Callable[[str], None]:
    """Returns a function that prints while pytest captures the output, so that a waiting user sees the reason."""

    def uncaptured(text: str) -> None:
        with capsys.disabled():
            print(text)

    return uncaptured


def run(benchmark: BenchmarkFixture, name: str, build: Callable[[cases.Case], Callable[[], object]], say) -> None:
    """Times a call, and stores the fields of its case with the seconds."""
    case = cases.BY_ID[name]
    # A timed call runs alone on one core. An untimed one need not wait for other measurements.
    alone = machine.alone("pytest-benchmark", say) if benchmark.enabled else nullcontext()
    with alone, machine.pinned(1, case.backend) if benchmark.enabled else nullcontext():
        call = build(case)  # raises LackingError if a tracked name is gone
        benchmark.group = f"n={case.n} k={case.k} batch={case.batch}"
        benchmark.extra_info.update(asdict(case) | {"threads": 1})
        benchmark(call)


@pytest.mark.parametrize("case", [case.id for case in cases.ESTIMATORS])
def test_total(benchmark: BenchmarkFixture, case: str, say) -> None:
    run(benchmark, case, lambda case: asv_common.estimator_step(case, "total"), say)


@pytest.mark.parametrize("case", [case.id for case in cases.FUNCTIONS])
def test_core(benchmark: BenchmarkFixture, case: str, say) -> None:
    run(benchmark, case, asv_common.function_step, say)
