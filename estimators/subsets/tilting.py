"""The tilt: one shift per row after which products of probabilities need no logarithms.

Shifting a row of θ by t leaves the law as it is, and A(θ) = A(θ+t) − k·t, so t may be any constant. With t chosen so
that independent Bernoulli(σ(θ_i + t)) have mean Σ ≈ k, the probability P(Σ = k) is never tiny (about 1/√(2πσ²)), nor is
anything that contributes to it, and sums of products of probabilities carry full relative accuracy in plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from ..ops import Array, Ops

# |Σσ − k| up to a quarter of the standard deviation costs P(Σ=k) 3 percent; where that is below 1, up to a quarter of
# the variance keeps the chances of "one too many" and "one too few" nearly equal.
_TOLERANCE = 0.25
# One or two steps on normal logits, some twenty where they spread over 1e4 or more: the bracket is halved then.
_LIMIT = 100
# A Σσ − k of no effect in numbers of this kind.
_NOTHING = {"float32": 1e-9, "float64": 1e-18}


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
    """Returns the tilted logits and their probabilities, for 0 < k < n. O(n) a step of the search; see `_LIMIT`."""
    t = _shift(ops, ops.stop_gradient(theta), k)
    x = theta + t
    return Tilted(t, x, ops.sigmoid(x), ops.sigmoid(-x))


def softplus(ops: Ops, tilted: Tilted) -> Array:
    """Returns log(1 + e^x), with derivatives right at 0 and at -inf to any order (they come from p and q)."""
    xp = ops.xp
    positive = tilted.x > 0
    return xp.where(positive, tilted.x, 0.0) - xp.log(xp.where(positive, tilted.p, tilted.q))


class _Search(NamedTuple):
    """The state of the search: the problem, a bracket of t, and what is known at t.

    Attributes, `[..., 1]` but for theta `[..., n]`:
      theta, k, n, goal: the logits, the Σσ wanted, how many logits are finite, and the log-odds of k in n.
      t, low, high: the shift and a bracket of it.
      excess, variance: Σσ − k and Σσ(1 − σ) at t.
      going: whether t is not yet good enough.
    """

    theta: Array
    k: Array
    n: Array
    goal: Array
    t: Array
    low: Array
    high: Array
    excess: Array
    variance: Array
    going: Array


def _shift(ops: Ops, theta: Array, k: int) -> Array:
    """Returns `[..., 1]` t with Σσ(θ + t) ≈ k, NaN in invalid rows."""
    xp = ops.xp
    finite = theta > -xp.inf  # or +inf, in a row that comes to nothing below
    n = xp.sum(xp.astype(finite, theta.dtype), axis=-1, keepdims=True)
    top = xp.max(theta, axis=-1, keepdims=True)  # NaN if one is
    bottom = xp.min(xp.where(finite, theta, xp.inf), axis=-1, keepdims=True)
    mean = xp.sum(xp.where(finite, theta, 0.0) / n, axis=-1, keepdims=True)  # a sum of masks might overflow
    # Where just k logits are finite the law is one subset, and no t gives Σσ = k: half an item less is sought.
    wanted = xp.where(n > k, float(k), k - 0.5)
    goal = xp.log(wanted / (n - wanted))
    # Were all logits the top one, or the bottom one, k would be reached at the ends of the bracket.
    low, high = goal - top, goal - bottom
    start = xp.minimum(xp.maximum(goal - mean, low), high)
    start = xp.where((n >= k) & (top < xp.inf), start, xp.nan)
    return ops.while_loop(_going, _move(ops), _measure(ops, theta, wanted, n, goal, start, low, high), _LIMIT).t


def _measure(ops: Ops, theta: Array, k: Array, n: Array, goal: Array, t: Array, low: Array, high: Array) -> _Search:
    """Returns the state at t."""
    xp = ops.xp
    x = theta + t
    above = x > 0
    small = ops.sigmoid(xp.where(above, -x, x))
    # Σσ − k without the rounding of σ near 1: those above count as whole ones.
    rest = xp.sum(xp.where(above, -small, small), axis=-1, keepdims=True)
    excess = rest + (xp.sum(xp.astype(above, theta.dtype), axis=-1, keepdims=True) - k)
    variance = xp.sum(small - small * small, axis=-1, keepdims=True)
    tolerance = xp.where(variance < 1, variance, xp.sqrt(variance)) * _TOLERANCE
    middle = _middle(ops, low, high)
    between = (middle > low) & (middle < high)  # else t is as good as numbers are dense there
    going = (xp.abs(excess) > tolerance) & (xp.abs(excess) > _NOTHING[ops.dtype]) & between
    return _Search(theta, k, n, goal, t, low, high, excess, variance, going)


def _middle(ops: Ops, low: Array, high: Array) -> Array:
    """Returns a number between the two: of their sizes, not of themselves, while they are far apart."""
    xp = ops.xp
    return xp.where(high / 2 - low / 2 > 50, xp.sinh(xp.asinh(low) / 2 + xp.asinh(high) / 2), low / 2 + high / 2)


def _going(search: _Search) -> Array:
    return search.going


# One function object an Ops: outside jit, jax compiles a loop anew for every new body.
@cache
def _move(ops: Ops) -> Callable[[_Search], _Search]:
    xp = ops.xp

    def move(search: _Search) -> _Search:
        """Takes one step of Newton's method, or halves the bracket."""
        theta, k, n, goal, t, low, high, excess, variance, going = search
        low, high = xp.where(excess > 0, low, t), xp.where(excess > 0, t, high)
        total = excess + k
        # Far off, on the log-odds of Σσ/n, which are nearly straight in t.
        far = (xp.log(total / (n - total)) - goal) * total * (n - total) / (n * variance)
        # Near, on Σσ − k taken for a sinh of t, which it is between two groups of logits far apart.
        ratio = xp.clip(excess / variance, -0.999999, 0.999999)
        new = t - xp.where(xp.abs(excess) < variance, xp.atanh(ratio), far)
        new = xp.where((new > low) & (new < high), new, _middle(ops, low, high))
        return _measure(ops, theta, k, n, goal, xp.where(going, new, t), low, high)

    return move
