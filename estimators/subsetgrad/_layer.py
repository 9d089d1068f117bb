"""What the torch layer and the jax functions share: one sample with its backward pass, one loss with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from . import get
from .base import Estimator, Pathwise, expectation
from .draws import (
    Objective,
    Subset,
    raw_draws,
    resolve_draws,
)
from .noise import Draw
from .ops import Array, Ops
from .subsets.checks import check_count, check_static, valid_rows


def record_of(
    estimator: str | Estimator,
    k: int,
    samples: int | None,
    params: Mapping[str, Any] | None,
    more_params: Mapping[str, Any],
) -> tuple[Estimator, dict[str, Any]]:
    """Returns the record and all its parameters; k and the number of samples are checked, too.

    Raises:
      TypeError, ValueError: unknown estimator or parameter, a parameter given twice, a k the estimator is not defined
        for, samples < 1.
    """
    record = get(estimator) if isinstance(estimator, str) else estimator
    check_count(k)
    if k < 0:
        raise ValueError(f"k={k} is negative; it is at least 0, and at most the number of items")
    if samples is not None and (not isinstance(samples, int) or isinstance(samples, bool) or samples < 1):
        raise ValueError(f"samples={samples!r} is no number of samples; it is an int of at least 1")
    if record.k not in ("any", k):
        raise ValueError(f"k={k}: {record.name} is defined for k={record.k} only")
    params = params or {}
    twice = sorted(params.keys() & more_params)
    if twice:
        raise ValueError(f"{record.name}: {twice[0]!r} is given twice, in params and by keyword; leave one of them out")
    return record, record.resolve_params({**params, **more_params})


def has_sample_path(record: Estimator, k: int, params: Mapping[str, Any]) -> bool:
    """Returns whether a sample alone has a backward pass: the rule needs nothing of f but the cotangent."""
    declared = record.draws_for(k, params).values()
    return isinstance(record.estimate, Pathwise) and not any(isinstance(d, Subset) and d.logits for d in declared)


def sample(
    record: Estimator,
    ops: Ops,
    theta: Array,
    draw: Draw,
    *,
    k: int,
    samples: int,
    params: Mapping[str, Any],
    state: Any = None,
    keep_state: Callable[[Any], None] = lambda _: None,
) -> Array:
    """Returns samples `[S, ..., n]` with the estimator's backward pass.

    The rule acts on the cotangent that arrives, sample by sample: where a user takes a mean over samples or rows, it
    comes scaled, and a step size inside a rule meets the scaled one. `expectation` does not have this problem.

    Args:
      record: the estimator.
      ops, theta: `[..., n]`.
      draw: `ops.draw(key)`.
      k, samples, params: k, S and all parameters.
      state: of the estimator, `[B]` arrays for the flattened rows.
      keep_state: called with the next state in the backward pass.

    Raises:
      TypeError: the estimator has no gradient path without f.
    """
    check_static(ops, theta, k)
    rows = ops.xp.reshape(theta, (-1, theta.shape[-1]))
    if k == 0:
        # Nothing to choose: zeros, tied to theta so that a backward pass finds its way.
        nothing = ops.xp.zeros_like(theta) * ops.xp.where(ops.xp.isfinite(theta), theta, 0.0)
        nothing = ops.xp.where(valid_rows(ops, theta, k)[..., None], nothing, ops.xp.nan)
        return ops.xp.broadcast_to(nothing, (samples, *theta.shape))
    estimate = record.estimate
    if not isinstance(estimate, Pathwise) or not has_sample_path(record, k, params):
        needs = " and ".join(sorted(record.needs))
        raise TypeError(
            f"{record.name} has no backward pass through a sample alone: it estimates from f itself ({needs}). "
            "Use expectation(theta, f), which gives it f"
        )
    declared = record.draws_for(k, params)
    raw = raw_draws(declared, draw, ops.xp, samples=samples, rows=rows.shape[0], n=rows.shape[1])
    draws = resolve_draws(declared, ops, rows, raw, None, k=k, params=params)
    # Draws and state are arguments of the rule, not its closure: jax's transformations must see them.
    names, held = tuple(draws), dict(state or {})

    def forward(logits: Array, *values: Array) -> Array:
        return estimate.sample(ops, logits, dict(zip(names, values, strict=False)), k=k, **params)

    def backward(rule: Callable[..., tuple[Array, Any]], logits: Array, *saved: Array) -> Array:
        *values, z, z_bar = saved
        drawn = dict(zip(names, values, strict=False))
        before = dict(zip(held, values[len(names) :], strict=True)) if held else None
        gradient, next_state = rule(ops, logits, z, z_bar, drawn, k=k, state=before, **params)
        keep_state(next_state)
        # The rule is a mean over samples; the chain rule sums over them.
        return ops.xp.where(logits == -ops.xp.inf, 0.0, z.shape[0] * gradient)

    through = forward if estimate.rule is None else ops.custom_vjp(forward, partial(backward, estimate.rule))
    z = through(rows, *draws.values(), *held.values())
    z = ops.xp.broadcast_to(z, (samples, *z.shape[1:]))  # a deterministic point stands for all samples
    z = ops.xp.where(valid_rows(ops, rows, k)[..., None], z, ops.xp.nan)
    return ops.xp.reshape(z, (z.shape[0], *theta.shape))


def loss(
    record: Estimator,
    ops: Ops,
    theta: Array,
    f: Objective,
    draw: Draw,
    *,
    k: int,
    samples: int,
    params: Mapping[str, Any],
    state: Any = None,
) -> tuple[Array, Any]:
    """Returns `(loss [...], state)`, an estimate of E f(z) with the estimator's gradient; arguments as `sample`.

    f maps `[S, ..., n]` to `[S, ...]`, samples and rows independent.
    """
    check_static(ops, theta, k)
    xp, batch = ops.xp, tuple(theta.shape[:-1])
    rows = xp.reshape(theta, (-1, theta.shape[-1]))

    def flat(points: Array) -> Array:
        values = f(xp.reshape(points, (points.shape[0], *batch, points.shape[-1])))
        if tuple(values.shape) != (points.shape[0], *batch):
            raise ValueError(
                f"f returned shape {tuple(values.shape)} for points of shape {(points.shape[0], *theta.shape)}; "
                f"it must keep all axes but the last: {(points.shape[0], *batch)}"
            )
        return xp.reshape(values, points.shape[:-1])

    declared = record.draws_for(k, params)
    raw = raw_draws(declared, draw, xp, samples=record.samples(samples), rows=rows.shape[0], n=rows.shape[1])
    draws = resolve_draws(declared, ops, ops.stop_gradient(rows), raw, flat, k=k, params=params)
    value, state = expectation(record, ops, rows, flat, draws, k=k, params=params, state=state)
    return xp.reshape(value, batch), state


def most_likely(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the most likely subset, the top-k of the logits, `[..., n]`; no gradient."""
    check_static(ops, theta, k)
    mask = ops.top_k_mask(ops.stop_gradient(theta), k)
    return ops.xp.where(valid_rows(ops, theta, k)[..., None], mask, ops.xp.nan)
