"""The tilt: one shift per row after which products of probabilities need no logarithms.

Shifting a row of θ by t leaves the law as it is, and A(θ) = A(θ+t) − k·t, so t may be any constant. With t chosen so
that independent Bernoulli(σ(θ_i + t)) have mean Σ ≈ k, the probability P(Σ = k) is never tiny (about 1/√(2πσ²)), nor is
anything that contributes to it, and sums of products of probabilities carry full relative accuracy in plain arithmetic.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from ..ops import Array, Ops

# |Σσ − k| up to a quarter of the standard deviation costs P(Σ=k) 3 percent; where that is below 1, up to a quarter of
# the variance keeps the chances of "one too many" and "one too few" nearly equal.
_TOLERANCE = 0.25
# Steps of a search for 64 rows of normal logits, n = 10 to 10,000, k = 1 to n/2, six seeds: at most 2; at a standard
# deviation of 10 at most 11; from 100 to 1e12 at most 40 in float32, at most 79 (at 1e4) in float64.
_LIMIT = 100
# The nearest logit is of another group than the threshold if the two are next to each other among large numbers; one
# more search, among the numbers that are dense near that one, tells them apart.
_ANCHORS = 3
# A Σσ − k of no effect in numbers of this kind.
_NOTHING = {"float32": 1e-9, "float64": 1e-18}


class Tilted(NamedTuple):
    """Bernoulli probabilities of the tilted logits.

    Attributes:
      t: `[..., 1]` the shift, a constant to differentiation.
      x: `[..., n]` the tilted logits θ + t, of which t is only a rounding where it is large; NaN in invalid rows.
      p, q: `[..., n]` σ(x) and 1 − σ(x), both to full relative accuracy.
    """

    t: Array
    x: Array
    p: Array
    q: Array


def tilt(ops: Ops, theta: Array, k: int) -> Tilted:
    """Returns the tilted logits and their probabilities, for 0 < k < n. O(n) a step of the search; see `_LIMIT`."""
    anchor, t = _shift(ops, ops.stop_gradient(theta), k)
    x = theta - anchor + t
    return Tilted(t - anchor, x, ops.sigmoid(x), ops.sigmoid(-x))


def log_likelier(ops: Ops, tilted: Tilted) -> Array:
    """Returns log max(p, q) = −softplus(−|x|), with derivatives right at 0 and -inf to any order: those of p and q."""
    xp = ops.xp
    return xp.log(xp.where(tilted.x > 0, tilted.p, tilted.q))


class _Point(NamedTuple):
    """Where a search stands, every field `[..., 1]`.

    Attributes:
      t, low, high: the shift and a bracket of it.
      excess, variance: Σσ − k and Σσ(1 − σ) at t.
      off: whether t is not good enough.
      going: whether, besides, there are numbers left in the bracket.
    """

    t: Array
    low: Array
    high: Array
    excess: Array
    variance: Array
    off: Array
    going: Array


def _shift(ops: Ops, theta: Array, k: int) -> tuple[Array, Array]:
    """Returns `[..., 1]` anchor and t with Σσ(θ − anchor + t) ≈ k; t is NaN in invalid rows.

    The anchor is 0 but where numbers as large as t are too far apart: there it is the logit next to -t. Logits near it,
    of which alone Σσ depends, less the anchor are exact and small, and so is the t that is then sought.
    """
    xp = ops.xp
    finite = theta > -xp.inf  # or +inf, in a row that comes to nothing below
    n = xp.sum(xp.astype(finite, theta.dtype), axis=-1, keepdims=True)
    top = xp.max(theta, axis=-1, keepdims=True)  # NaN if one is
    bottom = xp.min(xp.where(finite, theta, xp.inf), axis=-1, keepdims=True)
    mean = xp.sum(xp.where(finite, theta, 0.0) / n, axis=-1, keepdims=True)  # a sum of masks might overflow
    # Where just k logits are finite the law is one subset, and no t gives Σσ = k: half an item less is sought.
    wanted = xp.where(n > k, float(k), k - 0.5)
    goal = xp.log(wanted / (n - wanted))

    def search(anchor: Array, start: Array) -> tuple[Array, Array, Array]:
        """Returns the anchor, t, and whether it is off."""
        centred = theta - anchor
        # Were all logits the top one, or the bottom one, k would be reached at the ends of the bracket.
        largest = xp.finfo(theta.dtype).max
        low = xp.maximum(goal - (top - anchor), -largest)
        high = xp.minimum(goal - (bottom - anchor), largest)
        move = partial(_move, ops, centred, wanted, n, goal)
        point = _measure(ops, centred, wanted, xp.minimum(xp.maximum(start, low), high), low, high)
        point = ops.while_loop(lambda point: point.going, move, point, _LIMIT)
        return anchor, point.t, point.off

    def search_nearer(found: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        anchor, t, off = found
        distance = xp.where(finite, xp.abs(theta - anchor + t), xp.inf)
        nearest = xp.take_along_axis(theta, xp.argmin(distance, axis=-1, keepdims=True), axis=-1)
        return search(xp.where(off, nearest, anchor), xp.where(off, 0.0, t))

    start = xp.where((n >= k) & (top < xp.inf), goal - mean, xp.nan)
    found = search(xp.zeros_like(top), start)
    anchor, t, _ = ops.while_loop(lambda found: found[2], search_nearer, found, _ANCHORS)
    return anchor, t


def _measure(ops: Ops, theta: Array, k: Array, t: Array, low: Array, high: Array) -> _Point:
    """Returns the point at t."""
    xp = ops.xp
    x = theta + t
    above = x > 0
    small = ops.sigmoid(xp.where(above, -x, x))
    # Σσ − k without the rounding of σ near 1: those above count as whole ones.
    rest = xp.sum(xp.where(above, -small, small), axis=-1, keepdims=True)
    excess = rest + (xp.sum(xp.astype(above, theta.dtype), axis=-1, keepdims=True) - k)
    variance = xp.sum(small - small * small, axis=-1, keepdims=True)
    tolerance = xp.where(variance < 1, variance, xp.sqrt(variance)) * _TOLERANCE
    off = (xp.abs(excess) > tolerance) & (xp.abs(excess) > _NOTHING[ops.dtype])
    middle = _middle(ops, low, high)
    return _Point(t, low, high, excess, variance, off, off & (middle > low) & (middle < high))


def _middle(ops: Ops, low: Array, high: Array) -> Array:
    """Returns a number between the two, if there is one: while they are far apart 0, or the geometric mean of sizes."""
    xp = ops.xp
    size = xp.sqrt(xp.maximum(xp.abs(low), 1.0)) * xp.sqrt(xp.maximum(xp.abs(high), 1.0))
    sizes = xp.where((low < 0) & (high > 0), 0.0, xp.where(low < 0, -size, size))
    # Of two large numbers near each other it may be outside, by its rounding.
    apart = (high / 2 - low / 2 > 50) & (sizes > low) & (sizes < high)
    return xp.where(apart, sizes, low / 2 + high / 2)


def _move(ops: Ops, theta: Array, k: Array, n: Array, goal: Array, point: _Point) -> _Point:
    """Takes one step of Newton's method, or halves the bracket.

    Args:
      theta, k, n, goal: the logits, the Σσ wanted, how many logits are finite, and the log-odds of k in n.
      point: where the search stands.
    """
    xp = ops.xp
    t, low, high, excess, variance, _, going = point
    low, high = xp.where(excess > 0, low, t), xp.where(excess > 0, t, high)
    total = excess + k
    # Far off, on the log-odds of Σσ/n, which are nearly straight in t.
    far = (xp.log(total / (n - total)) - goal) * total * (n - total) / (n * variance)
    # Near, on Σσ − k taken for a sinh of t, which it is between two groups of logits far apart.
    ratio = xp.clip(excess / variance, -0.999999, 0.999999)
    new = t - xp.where(xp.abs(excess) < variance, xp.atanh(ratio), far)
    new = xp.where((new > low) & (new < high), new, _middle(ops, low, high))
    return _measure(ops, theta, k, xp.where(going, new, t), low, high)
