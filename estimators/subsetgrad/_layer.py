"""The code that the torch layer and the jax functions share: a sample with its backward pass, a loss with its gradient.

Nothing here imports a framework; `subsetgrad.torch` and `subsetgrad.jax` add what is different between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from . import get
from .base import Estimator, expectation
from .builders import Pathwise
from .draws import (
    Objective,
    Subset,
    raw_draws,
    resolve_draws,
)
from .noise import Draw
from .ops import Array, Ops
from .subsets.checks import check_static, valid_rows


def find_estimator(estimator: object) -> Estimator:
    """Returns the record that a user named, or the record itself.

    Raises:
      TypeError: neither a name nor a record.
      ValueError: no estimator has that name.
    """
    if isinstance(estimator, Estimator):
        return estimator
    if not isinstance(estimator, str):
        kind = type(estimator).__name__
        raise TypeError(f"estimator={estimator!r} is a {kind}; pass the name of an estimator, or an Estimator")
    return get(estimator)


def check_settings(
    record: Estimator,
    k: int,
    samples: int | None,
    params: Mapping[str, Any] | None,
    more_params: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns all parameters of the estimator, after checking them, k and the number of samples.

    Raises:
      TypeError: k is no int.
      ValueError: the estimator is not defined for k; samples < 1; an unknown or invalid parameter, or one given twice.
    """
    record.check_k(k)
    if samples is not None and (not isinstance(samples, int) or isinstance(samples, bool) or samples < 1):
        raise ValueError(f"samples={samples!r} is not a number of samples; pass an int of at least 1, or None for one")
    params = params or {}
    twice = sorted(params.keys() & more_params)
    if twice:
        raise ValueError(f"{record.name}: {twice[0]!r} is given twice, in params and by keyword; leave one of them out")
    return record.resolve_params({**params, **more_params})


def has_sample_path(record: Estimator, k: int, params: Mapping[str, Any]) -> bool:
    """Returns whether a sample has a backward pass without f.

    It has one if the estimator's rule uses only the gradient of f at the sample, which is the cotangent that arrives.
    """
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

    The rule takes the cotangent of each sample for the gradient of f there. If the user averages over samples or rows,
    the cotangents are smaller than the gradients by that factor, which matters to rules with a step size. `loss` gives
    rules the gradient of f itself.

    Args:
      record: the estimator.
      ops: the backend.
      theta: `[..., n]` logits.
      draw: `ops.draw(key)`.
      k: items chosen.
      samples: S.
      params: all parameters of the estimator.
      state: of an estimator that has one, `[B]` arrays for the flattened rows.
      keep_state: called with the next state in the backward pass.

    Raises:
      TypeError: the estimator needs f for its backward pass.
    """
    check_static(ops, theta, k)
    rows = ops.xp.reshape(theta, (-1, theta.shape[-1]))
    if k == 0:
        # The empty subset, as a product with theta so that theta gets a gradient, which is 0.
        empty = ops.xp.zeros_like(theta) * ops.xp.where(ops.xp.isfinite(theta), theta, 0.0)
        empty = ops.xp.where(valid_rows(ops, theta, k)[..., None], empty, ops.xp.nan)
        return ops.xp.broadcast_to(empty, (samples, *theta.shape))
    estimate = record.estimate
    if not isinstance(estimate, Pathwise) or not has_sample_path(record, k, params):
        needs = " and ".join(sorted(record.needs))
        raise TypeError(
            f"{record.name} has no backward pass through a sample alone: its estimate is computed from f ({needs}). "
            "Use expectation(theta, f), which passes f to it"
        )
    declared = record.draws_for(k, params)
    raw = raw_draws(declared, draw, ops.xp, samples=samples, rows=rows.shape[0], n=rows.shape[1])
    draws = resolve_draws(declared, ops, rows, raw, None, k=k, params=params)
    # Draws and state are arguments of `forward` and `backward`, because jax's transformations cannot trace a closure.
    names, state_arrays = tuple(draws), dict(state or {})

    def forward(logits: Array, *values: Array) -> Array:
        return estimate.sample(ops, logits, dict(zip(names, values, strict=False)), k=k, **params)

    def backward(rule: Callable[..., tuple[Array, Any]], logits: Array, *saved: Array) -> Array:
        *values, z, z_bar = saved
        drawn = dict(zip(names, values, strict=False))
        previous = dict(zip(state_arrays, values[len(names) :], strict=True)) if state_arrays else None
        gradient, next_state = rule(ops, logits, z, z_bar, drawn, k=k, state=previous, **params)
        keep_state(next_state)
        # The rule returns a mean over samples, and the chain rule needs the sum.
        return ops.xp.where(logits == -ops.xp.inf, 0.0, z.shape[0] * gradient)

    differentiable = forward if estimate.rule is None else ops.custom_vjp(forward, partial(backward, estimate.rule))
    z = differentiable(rows, *draws.values(), *state_arrays.values())
    z = ops.xp.broadcast_to(z, (samples, *z.shape[1:]))  # a deterministic estimator returns one point for all samples
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
    """Returns `(loss [...], state)`, an estimate of E f(z) with the estimator's gradient.

    f maps `[S, ..., n]` to `[S, ...]`, samples and rows independent. The other arguments are those of `sample`.

    Raises:
      ValueError: f returns another shape.
    """
    check_static(ops, theta, k)
    xp, batch = ops.xp, tuple(theta.shape[:-1])
    rows = xp.reshape(theta, (-1, theta.shape[-1]))

    def flat_f(points: Array) -> Array:
        """Returns f at points `[S, B, n]`, the leading axes of theta flattened to B, as `[S, B]`."""
        values = f(xp.reshape(points, (points.shape[0], *batch, points.shape[-1])))
        if tuple(values.shape) != (points.shape[0], *batch):
            raise ValueError(
                f"f returned shape {tuple(values.shape)} for points of shape {(points.shape[0], *theta.shape)}; "
                f"it must keep all axes but the last: {(points.shape[0], *batch)}"
            )
        return xp.reshape(values, points.shape[:-1])

    declared = record.draws_for(k, params)
    raw = raw_draws(declared, draw, xp, samples=record.samples(samples), rows=rows.shape[0], n=rows.shape[1])
    draws = resolve_draws(declared, ops, ops.stop_gradient(rows), raw, flat_f, k=k, params=params)
    value, state = expectation(record, ops, rows, flat_f, draws, k=k, params=params, state=state)
    return xp.reshape(value, batch), state


def most_likely(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the most likely subset, the k largest logits, `[..., n]`; it has no gradient."""
    check_static(ops, theta, k)
    mask = ops.top_k_mask(ops.stop_gradient(theta), k)
    return ops.xp.where(valid_rows(ops, theta, k)[..., None], mask, ops.xp.nan)
