"""Estimators with one fault each, for `test_conformance_catches`.

Each has a correct twin, from which it differs only in its fault. They can be used as plug-ins: `--estimator
broken:WRONG_SIGN`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from subsetgrad import Estimator, get, subsets
from subsetgrad.builders import Pathwise, pathwise, relaxed, sample_z, score_function
from subsetgrad.draws import Draws
from subsetgrad.noise import GUMBEL
from subsetgrad.soft_top_k import soft_top_k, softmax

Rule = Callable[..., Any]


def _record(name: str, estimate: Callable[..., Any], **changed: Any) -> Estimator:
    """Returns a record that uses the gradient of f at exact samples and does not claim to be unbiased."""
    plain: dict[str, Any] = {
        "law": "conditional_poisson",
        "target": "conditional_poisson",
        "draws": {"z": subset()},
        "needs": frozenset({"gradient"}),
        "unbiased_for": "nothing",
        "source": "a test",
    }
    return Estimator(name=name, estimate=estimate, **(plain | changed))


def subset() -> Any:
    """Returns the declaration of an exact sample."""
    return get("simple").draws["z"]


def _altered(change: Callable[..., tuple[Any, Any, Any, Any]], correct: Estimator) -> Callable[..., Any]:
    """Returns the estimate of `correct`, changed by `change(ops, theta, points, weights, gradient, state)`."""

    def estimate(ops: Any, theta: Any, draws: Any, f: Any, **keywords: Any) -> tuple[Any, Any, Any, Any]:
        return change(ops, theta, *correct.estimate(ops, theta, draws, f, **keywords))

    return estimate


def _with_gradient(change: Callable[..., Any], correct: Estimator) -> Callable[..., Any]:
    """Returns the estimate of `correct` with the gradient changed by `change(ops, theta, gradient)`."""

    def altered(
        ops: Any, theta: Any, points: Any, weights: Any, gradient: Any, state: Any
    ) -> tuple[Any, Any, Any, Any]:
        return points, weights, change(ops, theta, gradient), state

    return _altered(altered, correct)


SIMPLE, RLOO, SFE, AIMLE, SOFTSUB = (get(name) for name in ("simple", "rloo", "sfe", "aimle", "softsub"))

# --- the mean of the gradient


WRONG_SIGN = replace(SIMPLE, name="wrong_sign", estimate=_with_gradient(lambda ops, theta, g: -g, SIMPLE))


def _full_mean(ops: Any, theta: Any, z: Any, v: Any, *, k: int) -> Any:
    mu = subsets.marginals(ops, theta, k)
    return ops.xp.mean((v - ops.xp.mean(v, axis=0))[..., None] * (z - mu), axis=0)


FULL_MEAN_BASELINE = replace(RLOO, name="full_mean_baseline", estimate=score_function(_full_mean))

# The expectation is right for S = 2, and wrong by a factor for larger S.
RIGHT_AT_TWO_ONLY = replace(
    RLOO,
    name="right_at_two_only",
    estimate=score_function(lambda ops, theta, z, v, *, k: 2 * _full_mean(ops, theta, z, v, k=k)),
)


# --- the law and the points


def _gumbel_top_k(ops: Any, theta: Any, draws: Any, *, k: int) -> Any:
    return ops.top_k_mask(theta + draws["gumbel"], k)


def _identity(ops: Any, theta: Any, z: Any, g: Any, draws: Any, *, k: int) -> Any:
    return ops.xp.mean(g, axis=0)


GUMBEL_TOP_K = _record(
    "gumbel_top_k", pathwise(_gumbel_top_k, _identity), law="plackett_luce", draws={"gumbel": GUMBEL}
)
WRONG_LAW = replace(GUMBEL_TOP_K, name="wrong_law", law="conditional_poisson")


def _not_k_hot(ops: Any, theta: Any, points: Any, weights: Any, gradient: Any, state: Any) -> Any:
    return 0.5 * (points + ops.xp.flip(points, axis=0)), weights, gradient, state


# Each point is the mean of two samples: the marginals are right, but no point is a subset.
NOT_K_HOT = replace(SFE, name="not_k_hot", estimate=_altered(_not_k_hot, SFE))

WEIGHTS_NOT_ONE = replace(
    SFE, name="weights_not_one", estimate=_altered(lambda ops, theta, p, w, g, s: (p, 2 * w, g, s), SFE)
)
NO_SAMPLE_AXIS = replace(
    SFE, name="no_sample_axis", estimate=_altered(lambda ops, theta, p, w, g, s: (p[0], w, g, s), SFE)
)
STATE_OF_THE_BATCH = replace(
    AIMLE,
    name="state_of_the_batch",
    estimate=_altered(lambda ops, theta, p, w, g, s: (p, w, g, {"alpha": ops.xp.mean(s["alpha"])}), AIMLE),
)


# --- how f is used


def _with_slope(ops: Any, theta: Any, draws: Any, f: Any, *, k: int, state: Any) -> Any:
    points, weights, gradient, state = SFE.estimate(ops, theta, draws, f, k=k, state=state)
    slope = ops.value_and_grad(lambda z: ops.xp.sum(f(z)))(points)[1]
    return points, weights, gradient + 0.0 * ops.xp.mean(slope, axis=0), state


USES_GRADIENT = replace(SFE, name="uses_gradient", estimate=_with_slope)


def _relaxed_top_k(ops: Any, theta: Any, draws: Any, *, k: int) -> Any:
    return soft_top_k(ops, theta + draws["gumbel"], k, 1.0, 1e-30)


RELAXED = _record(
    "relaxed_top_k",
    relaxed(_relaxed_top_k),
    law="relaxed",
    target="plackett_luce",
    draws={"gumbel": GUMBEL},
    needs=frozenset({"relaxed"}),
)
RELAXED_UNDECLARED = replace(RELAXED, name="relaxed_undeclared", needs=frozenset({"gradient"}))


def _averaged_first(rule: Rule, scale: Callable[[int], float]) -> Rule:
    def averaged(ops: Any, theta: Any, z: Any, g: Any, draws: Any, **keywords: Any) -> Any:
        return rule(ops, theta, z, g * scale(z.shape[0]), draws, **keywords)

    return averaged


IMLE = get("imle_gumbel")
# The rule sees g/S, as if it acted on the backpropagated gradient of a mean over samples.
AVERAGED_FIRST = replace(
    IMLE,
    name="averaged_first",
    estimate=Pathwise(IMLE.estimate.sample, _averaged_first(IMLE.estimate.rule, lambda samples: 1 / samples)),
)
# The rule sees the mean of ∇f over samples.
MEAN_FIRST = replace(
    IMLE,
    name="mean_first",
    estimate=Pathwise(
        IMLE.estimate.sample,
        lambda ops, theta, z, g, *rest, **keywords: IMLE.estimate.rule(
            ops, theta, z, 0.0 * g + ops.xp.mean(g, axis=0), *rest, **keywords
        ),
    ),
)

# --- rows, items, shifts

STE = _record("identity", pathwise(sample_z, _identity))


def _over_the_batch(ops: Any, theta: Any, gradient: Any) -> Any:
    return gradient / ops.xp.sqrt(ops.xp.sum(gradient * gradient))


def _per_row(ops: Any, theta: Any, gradient: Any) -> Any:
    return gradient / ops.xp.sqrt(ops.xp.sum(gradient * gradient, axis=-1, keepdims=True))


NORM_PER_ROW = replace(STE, name="norm_per_row", estimate=_with_gradient(_per_row, STE))
NORM_OVER_BATCH = replace(STE, name="norm_over_batch", estimate=_with_gradient(_over_the_batch, STE))


def _softmax_weighted(centre: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Returns gradient · softmax(θ − centre(θ)), where the centre cancels unless it is NaN."""

    def weighted(ops: Any, theta: Any, gradient: Any) -> Any:
        return gradient * softmax(ops, theta - centre(ops, theta))

    return _with_gradient(weighted, STE)


def _row_centre(ops: Any, theta: Any) -> Any:
    return ops.xp.max(theta, axis=-1, keepdims=True)


CENTRED_BY_ROW = replace(STE, name="centred_by_row", estimate=_softmax_weighted(_row_centre))
# Rows do not depend on each other, up to rounding, until one of them is NaN.
CENTRED_BY_BATCH = replace(
    STE, name="centred_by_batch", estimate=_softmax_weighted(lambda ops, theta: ops.xp.max(theta))
)
NAN_BESIDE_MINUS_INFINITY = replace(
    STE,
    name="nan_beside_minus_infinity",
    estimate=_softmax_weighted(lambda ops, theta: ops.xp.mean(theta, axis=-1, keepdims=True)),
)


def _finite_logits(ops: Any, theta: Any, draws: Any, *, k: int) -> Any:
    return ops.top_k_mask(ops.xp.where(theta > -2.0, theta, -2.0) + draws["gumbel"], k)


CHOOSES_MINUS_INFINITY = replace(
    GUMBEL_TOP_K, name="chooses_minus_infinity", estimate=pathwise(_finite_logits, _identity)
)


NOT_SHIFT_INVARIANT = replace(
    STE,
    name="not_shift_invariant",
    estimate=_with_gradient(lambda ops, theta, g: g * ops.sigmoid(theta), STE),
)
SHIFT_ADMITTED = replace(NOT_SHIFT_INVARIANT, name="shift_admitted", shift_invariant=False)


def _first_items_more(ops: Any, theta: Any, gradient: Any) -> Any:
    return gradient * ops.asarray(np.linspace(1.0, 2.0, theta.shape[-1]))


PREFERS_LAST_ITEMS = replace(STE, name="prefers_last_items", estimate=_with_gradient(_first_items_more, STE))

# --- arithmetic and framework


def _wider(ops: Any, theta: Any, gradient: Any) -> Any:
    return gradient * ops.xp.ones(theta.shape[-1], dtype=ops.xp.float64)


WIDER_DTYPE = replace(STE, name="wider_dtype", estimate=_with_gradient(_wider, STE))

_UNDECLARED = np.random.default_rng(0)


def _shaken(ops: Any, theta: Any, gradient: Any) -> Any:
    return gradient + ops.asarray(_UNDECLARED.normal(size=theta.shape[-1]))


UNDECLARED_NOISE = replace(STE, name="undeclared_noise", estimate=_with_gradient(_shaken, STE))


def _when_traced(ops: Any, theta: Any, gradient: Any) -> Any:
    return gradient if ops.is_concrete(theta) else 2 * gradient


OTHER_WHEN_COMPILED = replace(STE, name="other_when_compiled", estimate=_with_gradient(_when_traced, STE))


def _by_backend(ops: Any, theta: Any, gradient: Any) -> Any:
    return gradient * (1 + 1e-6) if ops.name.startswith("jax") else gradient


OTHER_ON_JAX = replace(STE, name="other_on_jax", estimate=_with_gradient(_by_backend, STE))


def _flipped_on_jax(ops: Any, theta: Any, draws: Any, *, k: int) -> Any:
    sign = -1.0 if ops.name.startswith("jax") else 1.0
    return ops.top_k_mask(theta + sign * draws["gumbel"], k)


OTHER_POINTS_ON_JAX = replace(
    GUMBEL_TOP_K,
    name="other_points_on_jax",
    # The gradient does not depend on the points, so only the points differ.
    estimate=pathwise(_flipped_on_jax, lambda ops, theta, z, g, draws, *, k: softmax(ops, theta)),
)


# --- faults outside the estimate


def _refuses(k: int, **_: Any) -> Draws:
    raise RuntimeError("this estimator cannot draw")


RAISES = replace(SIMPLE, name="raises", draws=_refuses)


@dataclass(frozen=True)
class NotARecord:
    """An object that is not an `Estimator`."""


NOT_A_RECORD = NotARecord()
