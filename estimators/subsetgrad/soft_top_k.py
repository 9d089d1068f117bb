"""Differentiable softmax, log-sum-exp and relaxed top-k operators, which several estimators share."""

from __future__ import annotations

import math

from .ops import Array, Ops


def softmax(ops: Ops, x: Array) -> Array:
    """Returns the softmax over the last axis; an entry of -inf gives 0, with gradient 0."""
    xp = ops.xp
    weights = xp.exp(x - ops.stop_gradient(xp.max(x, axis=-1, keepdims=True)))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def log_sum_exp(ops: Ops, x: Array) -> Array:
    """Returns log Σ exp(x) over the last axis, kept as length 1; where all of x is -inf, -inf with gradient 0."""
    xp = ops.xp
    peak = ops.stop_gradient(xp.max(x, axis=-1, keepdims=True))
    peak = xp.where(xp.isfinite(peak), peak, xp.zeros_like(peak))
    total = xp.sum(xp.exp(x - peak), axis=-1, keepdims=True)
    # Two `where`: with one, the derivative of log at 0 would send NaN back through the branch that is not taken.
    empty = total == 0
    return xp.where(empty, -xp.inf, peak + xp.log(xp.where(empty, 1.0, total)))


def log_one_minus_softmax(ops: Ops, x: Array) -> Array:
    """Returns log(1 − softmax(x)) over the last axis, to full relative accuracy.

    Only the largest item can have a = softmax(x) > 1/2. There, 1 − a is computed as the sum of the other items, since
    the subtraction loses all digits in float32 when a is close to 1.
    """
    xp = ops.xp
    x = x - ops.stop_gradient(xp.max(x, axis=-1, keepdims=True))  # a difference of large logarithms would lose digits
    a = softmax(ops, x)
    largest = ops.top_k_mask(ops.stop_gradient(x), 1) > 0.5
    # For a <= 1/2 the two logarithms can be close (log(n − 1) and log n for n equal items); there, 1 − a is accurate.
    dominant = largest & (a > 0.5)
    log_others = log_sum_exp(ops, xp.where(largest, -xp.inf, x)) - log_sum_exp(ops, x)
    return xp.where(dominant, log_others, xp.log1p(-xp.where(dominant, 0.0, a)))


def soft_top_k(ops: Ops, x: Array, k: int, temperature: float, epsilon: float) -> Array:
    """Returns SoftSub's relaxed k-hot vector, the sum of k successive softmaxes.

    Each softmax is taken from the logits after the items chosen so far have been lowered by log(1 − their share).

    Args:
      x: `[..., n]` perturbed logits.
      k: static, 0 <= k <= n.
      temperature: t > 0; the relaxation tends to top-k as t → 0.
      epsilon: floor of 1 − a inside the logarithm, ε > 0.

    Returns:
      `[..., n]` in [0, k], with sum k. O(nk) work, and O(nk) memory for the gradient.

    Source: Xie & Ermon 2019, Algorithm 1 and Eq. 4-6 (arXiv 1901.10517): α ← α + log max(1 − softmax(α/t), ε).
    """
    xp = ops.xp
    total = xp.zeros_like(x)
    for step in range(k):
        taken = softmax(ops, x / temperature)
        total = total + taken
        if step + 1 < k:
            x = x + xp.clip(log_one_minus_softmax(ops, x / temperature), math.log(epsilon), None)
    return total
