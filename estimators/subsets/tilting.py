"""The tilt: one shift per row after which the recursions need no logarithms.

Shifting a row of θ by t leaves the law as it is, and A(θ) = A(θ+t) − k·t, so t may be any constant. With t chosen so
that independent Bernoulli(σ(θ_i + t)) have mean Σ ≈ k, the probability P(Σ = k) is never tiny (about 1/√(2πσ²)), nor is
anything that contributes to it, and sums of products of probabilities carry full relative accuracy in plain arithmetic.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..ops import Array, Ops
from .checks import valid_rows

# |Σσ − k| <= 0.01 costs P(Σ=k) a factor of at most exp(−5e−5/σ²) where it matters; more accuracy buys nothing.
_TOLERANCE = 0.01
# Newton needs 3 to 5 steps on normal logits; the rest is for clusters, where bisection steps in.
_STEPS = 10


class Tilted(NamedTuple):
    """Bernoulli probabilities of the tilted logits.

    Attributes:
      t: `[..., 1]` the shift, a constant to differentiation.
      x: `[..., n]` the tilted logits θ + t; NaN in invalid rows.
      p, q: `[..., n]` σ(x) and 1 − σ(x), both to full relative accuracy.
    """

    t: Array
    x: Array
    p: Array
    q: Array


def tilt(ops: Ops, theta: Array, k: int) -> Tilted:
    """Returns the tilted logits and their probabilities, for 0 < k < n. O(n log n)."""
    xp = ops.xp
    t = _shift(ops, ops.stop_gradient(theta), k)
    x = xp.where(valid_rows(ops, theta, k)[..., None], theta + t, xp.nan)
    return Tilted(t, x, ops.sigmoid(x), ops.sigmoid(-x))


def softplus(ops: Ops, tilted: Tilted) -> Array:
    """Returns log(1 + e^x), with derivatives right at 0 and at -inf to any order (they come from p and q)."""
    xp = ops.xp
    positive = tilted.x > 0
    return xp.where(positive, tilted.x, 0.0) - xp.log(xp.where(positive, tilted.p, tilted.q))


def _shift(ops: Ops, theta: Array, k: int) -> Array:
    """Returns `[..., 1]` t with Σσ(θ + t) ≈ k, by Newton's method kept inside a bracket."""
    xp = ops.xp
    n = theta.shape[-1]
    descending = xp.flip(xp.sort(theta, axis=-1), axis=-1)
    inside, outside = descending[..., k - 1 : k], descending[..., k : k + 1]
    # Fewer than k+1 finite logits: the law is a single subset, and any large shift gives Σσ ≈ k.
    outside = xp.maximum(outside, inside - 40.0)
    # At the upper end k+1 items have σ >= k/(k+1); at the lower all but k−1 items have σ <= 1/(n−k+1).
    low, high = -inside - math.log(n - k), -outside + math.log(k)
    t = -inside / 2 - outside / 2
    for _ in range(_STEPS):
        p = ops.sigmoid(theta + t)
        excess = xp.sum(p, axis=-1, keepdims=True) - k
        slope = xp.sum(p * (1 - p), axis=-1, keepdims=True)
        low, high = xp.where(excess > 0, low, t), xp.where(excess > 0, t, high)
        newton = t - excess / slope
        # False where slope is 0. True where the step is below the spacing of numbers at t, which is an end: stay there.
        inner = (newton >= low) & (newton <= high)
        moved = xp.where(inner, newton, (low + high) / 2)
        t = xp.where(xp.abs(excess) > _TOLERANCE, moved, t)
    return t
