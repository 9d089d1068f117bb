"""Soft top-k operators: mathematics only, differentiable, shared by several estimators."""

from __future__ import annotations

import math

from .ops import Array, Ops


def softmax(ops: Ops, x: Array) -> Array:
    """Returns the softmax over the last axis; -inf gives 0 with gradient 0."""
    xp = ops.xp
    weights = xp.exp(x - ops.stop_gradient(xp.max(x, axis=-1, keepdims=True)))
    return weights / xp.sum(weights, axis=-1, keepdims=True)


def log_sum_exp(ops: Ops, x: Array) -> Array:
    """Returns log Σ exp(x) over the last axis, kept as length 1; -inf, with gradient 0, where all of x is -inf."""
    xp = ops.xp
    peak = ops.stop_gradient(xp.max(x, axis=-1, keepdims=True))
    peak = xp.where(xp.isfinite(peak), peak, xp.zeros_like(peak))
    total = xp.sum(xp.exp(x - peak), axis=-1, keepdims=True)
    # Double `where`: the branch not taken would still send NaN back through log(0).
    empty = total == 0
    return xp.where(empty, -xp.inf, peak + xp.log(xp.where(empty, 1.0, total)))


def log_one_minus_softmax(ops: Ops, x: Array) -> Array:
    """Returns log(1 − softmax(x)) over the last axis, to full relative accuracy.

    Only the largest item can have softmax > 1/2; for it 1 − a is the others' share, as a log-sum-exp. Naively float32
    loses it: SoftSub at t = 0.1 is off by 1.
    """
    xp = ops.xp
    x = x - ops.stop_gradient(xp.max(x, axis=-1, keepdims=True))  # a difference of logarithms of any size loses digits
    a = softmax(ops, x)
    largest = ops.top_k_mask(ops.stop_gradient(x), 1) > 0.5
    # Below 1/2 the two logarithms may be close (n equal items: log(n − 1) and log n); there 1 − a loses nothing.
    dominant = largest & (a > 0.5)
    log_others = log_sum_exp(ops, xp.where(largest, -xp.inf, x)) - log_sum_exp(ops, x)
    return xp.where(dominant, log_others, xp.log1p(-xp.where(dominant, 0.0, a)))


def soft_top_k(ops: Ops, x: Array, k: int, temperature: float, epsilon: float) -> Array:
    """Returns SoftSub's relaxed k-hot vector: the sum of k successive softmaxes, each masking what is taken.

    Args:
      x: `[..., n]` perturbed logits.
      k: static, 0 <= k <= n.
      temperature: t > 0; the relaxation tends to top-k as t → 0.
      epsilon: floor of 1 − a inside the logarithm, ε > 0.

    Returns:
      `[..., n]` in [0, k], summing to k. O(nk) work and, for the gradient, memory.

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
