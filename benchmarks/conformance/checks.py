"""The conformance suite: all checks that hold an estimator to its record, on one backend.

The checks run on any `Estimator`, also on a plug-in:
`pytest tests/benchmarks/test_conformance.py --estimator package.module:NAME`.
A check raises AssertionError with the fact that does not hold, and NotApplicableError if the record makes no claim that
it could test.
"""

from __future__ import annotations

from collections.abc import Callable

from . import claims, invariances
from .candidate import Candidate

CHECKS: tuple[Callable[[Candidate], None], ...] = (
    claims.shapes_are_as_declared,
    claims.points_follow_the_law,
    claims.estimate_is_unbiased_as_claimed,
    claims.mean_points_downhill,
    claims.objective_is_used_as_declared,
    claims.minus_infinity_is_never_chosen,
    claims.invalid_rows_are_nan,
    invariances.rows_are_independent,
    invariances.samples_are_averaged,
    invariances.items_are_interchangeable,
    invariances.shift_changes_nothing_if_claimed,
    invariances.outer_weights_multiply_the_estimate,
    invariances.compiled_equals_eager,
)
