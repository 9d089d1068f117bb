"""The cases that asv follows, under pytest-benchmark: once each in the tests, timed by `nox -s timing`."""

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
    """Returns a function that tells a user who waits, whom a captured print would not reach."""

    def uncaptured(text: str) -> None:
        with capsys.disabled():
            print(text)

    return uncaptured


def run(benchmark: BenchmarkFixture, name: str, build: Callable[[cases.Case], Callable[[], object]], say) -> None:
    """Times a call; what it is of is kept beside its seconds, in plain numbers and words."""
    case = cases.BY_ID[name]
    # Timed, it has one core and the machine to itself; untimed, it need not wait for others.
    alone = machine.alone("pytest-benchmark", say) if benchmark.enabled else nullcontext()
    with alone, machine.pinned(1, case.backend) if benchmark.enabled else nullcontext():
        call = build(case)  # raises if something is lacking: this is the commit that has all that it follows
        benchmark.group = f"n={case.n} k={case.k} batch={case.batch}"
        benchmark.extra_info.update(asdict(case) | {"threads": 1})
        benchmark(call)


@pytest.mark.parametrize("case", [case.id for case in cases.ESTIMATORS])
def test_total(benchmark: BenchmarkFixture, case: str, say) -> None:
    run(benchmark, case, lambda case: asv_common.estimator_step(case, "total"), say)


@pytest.mark.parametrize("case", [case.id for case in cases.FUNCTIONS])
def test_core(benchmark: BenchmarkFixture, case: str, say) -> None:
    run(benchmark, case, asv_common.function_step, say)
