"""Exact sampling from the k-subset distribution."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..ops import Array, Ops, index_dtype
from .checks import check_static, valid_rows
from .tables import items_first, items_last, prefix
from .tilting import tilt


def sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns exact samples, a deterministic function of uniform random numbers.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.
      uniforms: `[S, ..., n]` on [0, 1), independent, or with any leading axes that broadcast against theta;
        `ops.draw(key)("uniform", shape)` makes them.

    Returns:
      `[S, ..., n]` of 0 and 1, each row with exactly k ones; NaN in invalid rows. No gradient: see the estimators.
      One table of O(nk) work shared by all samples, then n steps of O(1) a sample.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Proposition 2 and Algorithm 2 (which returns z reversed, as printed).
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    if uniforms.shape[-1] != n:
        raise ValueError(f"uniforms has {uniforms.shape[-1]} items on its last axis, theta has {n}")
    theta = ops.stop_gradient(theta)
    valid = valid_rows(ops, theta, k)[..., None]
    shape = (xp.zeros_like(theta) + uniforms).shape
    if k in (0, n):
        return xp.where(valid, xp.broadcast_to(xp.full_like(theta, float(k == n)), shape), xp.nan)
    tilted = tilt(ops, theta, k)
    p, q = items_first(ops, tilted.p), items_first(ops, tilted.q)
    before = prefix(ops, p, q, k)[1]
    left = xp.astype(xp.full_like((xp.zeros_like(theta) + uniforms)[..., 0], float(k)), index_dtype(ops))
    moved = items_first(ops, xp.broadcast_to(uniforms, shape))[..., 0]
    _, (chosen,) = ops.scan(_step(ops), left, (p, q, before, moved), reverse=True)
    z = xp.astype(items_last(ops, chosen), theta.dtype)
    return xp.where(valid, z, xp.nan)


@cache
def _step(ops: Ops) -> Callable[..., tuple[Array, tuple[Array]]]:  # cached as that of the tables
    xp = ops.xp

    def step(left: Array, item: tuple[Array, ...]) -> tuple[Array, tuple[Array]]:
        """Decides one item, last to first; `left` [S, ...] is how many are still to be chosen."""
        p_item, q_item, counts, uniform = item
        counts = xp.broadcast_to(counts, (*left.shape, counts.shape[-1]))
        without = xp.take_along_axis(counts, left[..., None], axis=-1)[..., 0]
        one_less = xp.take_along_axis(counts, xp.maximum(left - 1, xp.zeros_like(left))[..., None], axis=-1)[..., 0]
        weight_in = xp.where(left > 0, p_item[..., 0] * one_less, 0.0)
        chosen = uniform * (weight_in + q_item[..., 0] * without) < weight_in
        return left - xp.astype(chosen, left.dtype), (chosen,)

    return step
