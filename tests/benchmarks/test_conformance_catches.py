"""Each check of the conformance suite fails for an estimator with a fault, and passes for its correct twin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import broken
import pytest

from benchmarks.conformance import claims, invariances
from benchmarks.conformance.candidate import Candidate, NotApplicableError
from benchmarks.conformance.checks import CHECKS
from benchmarks.conformance.parity import TOLERANCE, parity
from subsetgrad import get
from subsetgrad import ops as ops_module

ROOT = Path(__file__).parents[2]
FAULTS = [  # the check, the broken record, its correct twin, a pattern of the message
    (claims.mean_points_downhill, broken.WRONG_SIGN, broken.SIMPLE, r"does not point along.*wrong sign"),
    (
        claims.estimate_is_unbiased_as_claimed,
        broken.WRONG_SIGN,
        broken.SIMPLE,
        r"claims unbiased_for=affine; objective affine, S=1: E ĝ.*= -1\.0000\)",
    ),
    (
        claims.estimate_is_unbiased_as_claimed,
        broken.FULL_MEAN_BASELINE,
        broken.RLOO,
        r"claims unbiased_for=any; objective affine, S=2: .*= 0\.5000\)",
    ),
    (
        claims.estimate_is_unbiased_as_claimed,
        broken.RIGHT_AT_TWO_ONLY,
        broken.RLOO,
        r"objective pairwise, S=3: .*= 1\.33\d\d\)",
    ),
    (claims.points_follow_the_law, broken.WRONG_LAW, broken.GUMBEL_TOP_K, "law=conditional_poisson: inclusion freq"),
    (claims.points_follow_the_law, broken.NOT_K_HOT, broken.SFE, "is discrete, but some points are not 3-hot"),
    (claims.shapes_are_as_declared, broken.WEIGHTS_NOT_ONE, broken.SFE, r"weights sum to \[2\. 2\. 2\. 2\.\], not 1"),
    (claims.shapes_are_as_declared, broken.NO_SAMPLE_AXIS, broken.SFE, r"points have shape \(4, 6\), not \[M, 4, 6\]"),
    (claims.shapes_are_as_declared, broken.STATE_OF_THE_BATCH, broken.AIMLE, r"state 'alpha' has shape \(\)"),
    (
        claims.objective_is_used_as_declared,
        broken.USES_GRADIENT,
        broken.SFE,
        r"needs=\['values'\], but the gradient of f was asked for",
    ),
    (
        claims.objective_is_used_as_declared,
        broken.RELAXED_UNDECLARED,
        broken.RELAXED,
        r"needs=\['gradient'\], but f was evaluated at a point that is not k-hot",
    ),
    (
        invariances.samples_are_averaged,
        broken.AVERAGED_FIRST,
        broken.IMLE,
        "estimate at S=2 is not the mean of those at S=1",
    ),
    (
        invariances.samples_are_averaged,
        broken.MEAN_FIRST,
        broken.IMLE,
        "estimate at S=2 is not the mean of those at S=1",
    ),
    (invariances.rows_are_independent, broken.NORM_OVER_BATCH, broken.NORM_PER_ROW, r"row 0 alone differs from row 0"),
    (claims.invalid_rows_are_nan, broken.CENTRED_BY_BATCH, broken.CENTRED_BY_ROW, "changes its neighbour"),
    (claims.minus_infinity_is_never_chosen, broken.NAN_BESIDE_MINUS_INFINITY, broken.CENTRED_BY_ROW, "-inf logit.*NaN"),
    (claims.minus_infinity_is_never_chosen, broken.CHOOSES_MINUS_INFINITY, broken.GUMBEL_TOP_K, "-inf was chosen"),
    (
        invariances.shift_changes_nothing_if_claimed,
        broken.NOT_SHIFT_INVARIANT,
        broken.STE,
        r"claims shift_invariant, but θ \+ 3 changes",
    ),
    (invariances.items_are_interchangeable, broken.PREFERS_LAST_ITEMS, broken.STE, "permuting the items changes"),
    (invariances.outer_weights_multiply_the_estimate, broken.UNDECLARED_NOISE, broken.STE, "an outer weight does not"),
    (invariances.compiled_equals_eager, broken.UNDECLARED_NOISE, broken.STE, "compiled differs from eager"),
]


@pytest.fixture(scope="module")
def torch64():
    return ops_module.load("torch:cpu", "float64")


@pytest.mark.parametrize(
    ("check", "record", "twin", "message"), FAULTS, ids=[f"{f[0].__name__}-{f[1].name}" for f in FAULTS]
)
def test_a_fault_is_caught_and_the_correct_twin_passes(check, record, twin, message, torch64):
    check(Candidate(twin, torch64))
    with pytest.raises(AssertionError, match=message):
        check(Candidate(record, torch64))


def test_every_check_catches_something():
    assert {check for check, *_ in FAULTS} == set(CHECKS)


def test_a_wider_dtype_is_caught_in_float32(torch64):
    claims.shapes_are_as_declared(Candidate(broken.WIDER_DTYPE, torch64))
    narrow = ops_module.load("torch:cpu", "float32")
    claims.shapes_are_as_declared(Candidate(broken.STE, narrow))
    with pytest.raises(AssertionError, match=r"gradient are .*float64, not float32"):
        claims.shapes_are_as_declared(Candidate(broken.WIDER_DTYPE, narrow))


def test_a_shift_that_the_record_admits_is_not_tested(torch64):
    with pytest.raises(NotApplicableError, match="does not claim shift invariance"):
        invariances.shift_changes_nothing_if_claimed(Candidate(broken.SHIFT_ADMITTED, torch64))


def test_an_estimate_that_depends_on_being_compiled_is_caught():
    ops = ops_module.load("jax:cpu", "float64")
    invariances.compiled_equals_eager(Candidate(broken.STE, ops))
    with pytest.raises(AssertionError, match="compiled differs from eager"):
        invariances.compiled_equals_eager(Candidate(broken.OTHER_WHEN_COMPILED, ops))


@pytest.mark.parametrize("record", [broken.OTHER_ON_JAX, broken.OTHER_POINTS_ON_JAX], ids=lambda record: record.name)
def test_a_difference_between_backends_is_caught_by_parity(record):
    first, second = (ops_module.load(name, "float64") for name in ("torch:cpu", "jax:cpu"))
    agreement = parity(record, {}, first, second, n=6, k=3, rows=50)
    assert agreement.undecided == 0
    assert agreement.worst > TOLERANCE["float64"]


def test_a_correct_estimator_passes_parity():
    first, second = (ops_module.load(name, "float64") for name in ("torch:cpu", "jax:cpu"))
    agreement = parity(broken.STE, {}, first, second, n=6, k=3, rows=50)
    assert agreement.worst <= TOLERANCE["float64"]
    assert agreement.differing <= agreement.undecided < 5


def run_pytest(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "tests/benchmarks/test_conformance.py", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )


class TestOnTheCommandLine:
    def test_a_broken_plug_in_fails_and_the_claim_is_named(self):
        done = run_pytest("-q", "-x", "-k", "torch", "--estimator", "broken:WRONG_SIGN")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "claims unbiased_for=affine; objective affine" in done.stdout
        assert "wrong_sign" in done.stdout and "1 failed" in done.stdout

    def test_an_unknown_plug_in_stops_the_run_with_its_reason(self):
        done = run_pytest("-q", "--collect-only", "--estimator", "broken:NO_SUCH")
        assert done.returncode in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR), done.stdout + done.stderr
        assert "--estimator: estimator 'broken:NO_SUCH': module 'broken' has no 'NO_SUCH'" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken:NO_SUCH", "estimator 'broken:NO_SUCH': module 'broken' has no 'NO_SUCH'"),
        ("no_such_module:NAME", "estimator 'no_such_module:NAME': no module 'no_such_module' on the import path"),
        ("broken.no_such:NAME", "estimator 'broken.no_such:NAME': no module 'broken.no_such' on the import path"),
        (".broken:NAME", "estimator '.broken:NAME': "),
        (":NAME", "estimator ':NAME': "),
        ("broken:", "estimator 'broken:': module 'broken' has no ''"),
        ("broken:NOT_A_RECORD", "estimator 'broken:NOT_A_RECORD' is a NotARecord, not a subsetgrad.Estimator"),
        ("no_such", "unknown estimator 'no_such'; known: exact_enum"),
    ],
)
def test_a_name_without_an_estimator_is_refused_with_its_reason(name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        get(name)


def test_a_fault_inside_a_plug_in_module_is_not_taken_for_an_unknown_name(tmp_path, monkeypatch):
    (tmp_path / "faulty_plug_in.py").write_text("import subsetgrad\nsubsetgrad.no_such_attribute\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AttributeError, match="no_such_attribute"):
        get("faulty_plug_in:NAME")
