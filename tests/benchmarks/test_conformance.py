"""The conformance suite on every estimator and backend, or on the plug-ins that --estimator names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.conformance.candidate import Candidate, NotApplicableError
from benchmarks.conformance.checks import CHECKS
from benchmarks.conformance.parity import TOLERANCE, parity
from subsetgrad import Estimator
from subsetgrad import ops as ops_module


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_record_holds(check: Callable[[Candidate], None], estimator: Estimator, ops: ops_module.Ops) -> None:
    if ops.name.split(":")[0] not in estimator.backends:
        pytest.skip(f"{estimator.name} runs on {', '.join(estimator.backends)}")  # a plug-in may be of one framework
    try:
        check(Candidate(estimator, ops))
    except NotApplicableError as reason:
        pytest.skip(f"nothing to test: {reason}")  # the check is of a claim that the record does not make


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_and_jax_agree_on_identical_noise(
    estimator: Estimator, dtype: str, record_property: Callable, capsys: pytest.CaptureFixture
) -> None:
    if set(estimator.backends) != {"torch", "jax"}:
        pytest.skip(f"{estimator.name} runs on {', '.join(estimator.backends)} alone")  # there is no second backend
    first, second = (ops_module.load(name, dtype) for name in ("torch:cpu", "jax:cpu"))
    k = 1 if estimator.k == 1 else 5
    result = parity(estimator, estimator.resolve_params({}), first, second, n=10, k=k)
    record_property("undecided_rows", result.undecided)
    record_property("differing_rows", result.differing)
    with capsys.disabled():
        if result.differing:
            print(
                f"\n{estimator.name} {dtype}: {result.differing} of {result.rows} rows differ within the deciding gap"
            )
    assert result.worst <= TOLERANCE[dtype], (
        f"{estimator.name} in {dtype}: torch and jax differ by {result.worst:.3g} in row {result.worst_row} "
        f"({result.undecided} undecided rows left out)"
    )
    assert result.undecided <= result.rows // 10, "too many undecided rows for a meaningful comparison"
