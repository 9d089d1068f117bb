"""Every estimator on every backend, held to its record; or the plug-ins named by --estimator."""

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


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch_and_jax_agree_on_identical_noise(
    estimator: Estimator, dtype: str, record_property: Callable, capsys: pytest.CaptureFixture
) -> None:
    if set(estimator.backends) != {"torch", "jax"}:
        pytest.skip(f"{estimator.name} runs on {', '.join(estimator.backends)} alone")  # nothing to compare it with
    first, second = (ops_module.load(name, dtype) for name in ("torch:cpu", "jax:cpu"))
    k = 1 if estimator.k == 1 else 5
    found = parity(estimator, estimator.resolve_params({}), first, second, n=10, k=k)
    record_property("undecided_rows", found.undecided)
    record_property("differing_rows", found.differing)
    with capsys.disabled():
        if found.differing:
            print(f"\n{estimator.name} {dtype}: {found.differing} of {found.rows} rows differ within the deciding gap")
    assert found.worst <= TOLERANCE[dtype], (
        f"{estimator.name} in {dtype}: torch and jax differ by {found.worst:.3g} in row {found.worst_row} "
        f"({found.undecided} undecided rows left out)"
    )
    assert found.undecided <= found.rows // 10, "too many rows have no clear choice for the comparison to mean much"
