"""The Plackett-Luce law of a k-subset (Gumbel-top-k, its order forgotten): exact probabilities and resampling.

Not the conditional Poisson law for k >= 2: on the paper's toy (n=10, k=5) the total variation between them is 0.14.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .ops import Array, Ops, index_dtype
from .relaxations import log_sum_exp
from .subsets.checks import check_static
from .subsets.enumeration import enumerate as enumerate_subsets

MAX_ITEMS = 20


def probabilities(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the probability of each k-subset under top_k(θ + Gumbel noise), in the order of `subsets.enumerate`.

    Args:
      theta: `[..., n]` logits, n <= 20; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[..., C(n, k)]`, differentiable. O(2^n n) work at most: all subsets of at most k items are visited.

    Raises:
      TypeError, ValueError: wrong dtype or shape, k outside [0, n], n > 20.

    Source: P(S) = Σ_{i∈S} P(S∖i) w_i / (W − W_{S∖i}), w = e^θ, successive sampling summed over the last draw.
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    if n > MAX_ITEMS:
        raise ValueError(f"n={n}: exact Plackett-Luce probabilities visit all subsets; the limit is n={MAX_ITEMS}")
    law = xp.ones_like(theta[..., :1])
    for size in range(1, k + 1):
        chosen = ops.asarray(enumerate_subsets(n, size - 1)) > 0.5
        log_rest = log_sum_exp(ops, xp.where(chosen, -xp.inf, theta[..., None, :]))
        # P(item next | these gone); a subset that leaves only items of logit -inf has probability 0 itself.
        reachable = ~chosen & (theta[..., None, :] > -xp.inf)
        step = xp.where(reachable, xp.exp(xp.where(reachable, theta[..., None, :] - log_rest, 0.0)), 0.0)
        flow = xp.reshape(law[..., None] * step, (*theta.shape[:-1], -1))
        sources = _sources(n, size)
        gathered = xp.take(flow, _index(ops, sources.ravel()), axis=-1)
        law = xp.sum(xp.reshape(gathered, (*theta.shape[:-1], *sources.shape)), axis=-1)
    return law


def marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities `[..., n]` under this law, summing to k; limits as `probabilities`."""
    return probabilities(ops, theta, k) @ ops.asarray(enumerate_subsets(theta.shape[-1], k))


def ordered_score(ops: Ops, theta: Array, order: Array, k: int) -> Array:
    """Returns ∇_θ log P(o) of the ordered draw o of the k first items, `[..., n]`.

    Args:
      theta: `[B, n]` logits.
      order: `[..., B, n]` integers, items by descending perturbed logit; only the first k count.
      k: static, 1 <= k <= n.

    Source: Σ_{j<=k} (e_{o_j} − softmax of θ over the items not yet drawn); Struminsky et al. 2021.
    """
    xp = ops.xp
    weights = _sorted_weights(ops, theta, order)
    remaining = xp.flip(xp.cumulative_sum(xp.flip(weights, axis=-1), axis=-1), axis=-1)[..., :k]
    rates = xp.cumulative_sum(xp.where(remaining > 0, 1 / xp.where(remaining > 0, remaining, 1.0), 0.0), axis=-1)
    # An item drawn at place j was a candidate j times, an item not drawn k times.
    rates = xp.concat([rates, xp.broadcast_to(rates[..., -1:], (*rates.shape[:-1], theta.shape[-1] - k))], axis=-1)
    drawn = ops.asarray(np.arange(theta.shape[-1]) < k)
    return _unsort(ops, drawn - weights * rates, order)


def conditional_gumbel(ops: Ops, theta: Array, order: Array, exponentials: Array, k: int) -> Array:
    """Returns perturbed logits x̃ = θ + G̃ given the ordered first k, `[..., n]`, reparameterised in θ.

    Args:
      theta: `[B, n]` logits; -inf gives -inf.
      order: `[..., B, n]` integers, items by descending perturbed logit; x̃ keeps the order of the first k.
      exponentials: `[..., B, n]` independent Exp(1), one per item.
      k: static, 1 <= k <= n.

    Source: arrival times of the race: t_{o_j} = t_{o_{j−1}} + ε_j/W_j with W_j the weight not yet drawn, t_i = t_{o_k}
    + ε_i/w_i for the rest, x̃ = −log t (Gadetsky et al. 2020; Struminsky et al. 2021).
    """
    xp = ops.xp
    n = theta.shape[-1]
    logits = xp.take_along_axis(xp.broadcast_to(theta, order.shape), order, axis=-1)
    possible = logits > -xp.inf
    exponentials = xp.take_along_axis(exponentials, order, axis=-1)
    weights = _sorted_weights(ops, theta, order)
    remaining = xp.flip(xp.cumulative_sum(xp.flip(weights, axis=-1), axis=-1), axis=-1)[..., :k]
    peak = ops.stop_gradient(xp.max(theta, axis=-1, keepdims=True))
    log_drawn = xp.log(xp.cumulative_sum(exponentials[..., :k] / remaining, axis=-1)) - peak
    if k == n:
        return _unsort(ops, -log_drawn, order)
    # In logarithms: for an unlikely item ε/w overflows where −log does not.
    log_wait = xp.log(exponentials[..., k:]) - xp.where(possible, logits, 0.0)[..., k:]
    log_rest = xp.logaddexp(xp.broadcast_to(log_drawn[..., -1:], log_wait.shape), log_wait)
    rest = xp.where(possible[..., k:], -log_rest, -xp.inf)
    return _unsort(ops, xp.concat([-log_drawn, rest], axis=-1), order)


def _sorted_weights(ops: Ops, theta: Array, order: Array) -> Array:
    """Returns e^θ, scaled by the row's largest, in the given order: `[..., n]`."""
    xp = ops.xp
    weights = xp.exp(theta - ops.stop_gradient(xp.max(theta, axis=-1, keepdims=True)))
    return xp.take_along_axis(xp.broadcast_to(weights, order.shape), order, axis=-1)


def _unsort(ops: Ops, by_place: Array, order: Array) -> Array:
    """Returns values given by place in `order` as values by item."""
    xp = ops.xp
    return xp.take_along_axis(by_place, xp.argsort(order, axis=-1), axis=-1)


def _index(ops: Ops, indices: np.ndarray) -> Array:
    """Returns indices on the device; below 2^24 (n <= 20 gives 3.7 million) float32 holds them exactly."""
    return ops.xp.astype(ops.asarray(indices), index_dtype(ops))


@lru_cache(maxsize=64)
def _sources(n: int, size: int) -> np.ndarray:
    """Returns `[C(n, size), size]`: for each subset, the flat indices (smaller subset, item) that lead to it."""
    rank = {tuple(np.flatnonzero(row)): index for index, row in enumerate(enumerate_subsets(n, size - 1))}
    sources = np.empty((math.comb(n, size), size), np.int64)
    for index, row in enumerate(enumerate_subsets(n, size)):
        items = np.flatnonzero(row)
        for place, item in enumerate(items):
            sources[index, place] = rank[tuple(np.delete(items, place))] * n + item
    return sources
