"""The Plackett-Luce law of a k-subset (Gumbel-top-k, its order forgotten): exact probabilities and resampling.

Not the conditional Poisson law for k >= 2: on the paper's toy (n=10, k=5) the total variation between them is 0.14.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from .ops import Array, Ops, index
from .soft_top_k import log_sum_exp
from .subsets.checks import check_static, valid_rows
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
        gathered = xp.take(flow, index(ops, sources.ravel()), axis=-1)
        law = xp.sum(xp.reshape(gathered, (*theta.shape[:-1], *sources.shape)), axis=-1)
    return xp.where(valid_rows(ops, theta, k)[..., None], law, xp.nan)


def marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities `[..., n]` under this law, summing to k; limits as `probabilities`."""
    return ops.matmul(probabilities(ops, theta, k), ops.asarray(enumerate_subsets(theta.shape[-1], k)))


def ordered_score(ops: Ops, theta: Array, order: Array, k: int) -> Array:
    """Returns ∇_θ log P(o) of the ordered draw o of the k first items, `[..., n]`.

    Args:
      theta: `[B, n]` logits.
      order: `[..., B, n]` integers, items by descending perturbed logit; only the first k count.
      k: static, 1 <= k <= n.

    Source: Σ_{j<=k} (e_{o_j} − softmax of θ over the items not yet drawn); Struminsky et al. 2021.
    """
    xp = ops.xp
    logits = _sorted(ops, theta, order)
    log_remaining = _log_remaining(ops, logits, k)
    gone = ops.asarray(np.tri(k, theta.shape[-1], -1)) > 0.5  # [k, n]: no candidate at place j any more
    # Each share with its own logarithm: a weight that underflows is still the whole of what remains late in the race.
    share = xp.exp(logits[..., None, :] - log_remaining)
    place = ops.asarray(np.arange(theta.shape[-1]) < k)
    return _unsort(ops, place - xp.sum(xp.where(gone, 0.0, share), axis=-2), order)


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
    logits = _sorted(ops, theta, order)
    possible = logits > -xp.inf
    log_waits = xp.log(xp.take_along_axis(exponentials, order, axis=-1))
    # In logarithms throughout: for an unlikely item ε/w overflows where −log does not.
    waits = log_waits[..., :k] - _log_remaining(ops, logits, k)[..., 0]
    arrivals = [waits[..., :1]]
    for place in range(1, k):
        arrivals.append(xp.logaddexp(arrivals[-1], waits[..., place : place + 1]))
    drawn = -xp.concat(arrivals, axis=-1)
    if k == n:
        return _unsort(ops, drawn, order)
    waits = log_waits[..., k:] - xp.where(possible, logits, 0.0)[..., k:]
    rest = -xp.logaddexp(xp.broadcast_to(arrivals[-1], waits.shape), waits)
    return _unsort(ops, xp.concat([drawn, xp.where(possible[..., k:], rest, -xp.inf)], axis=-1), order)


def _sorted(ops: Ops, theta: Array, order: Array) -> Array:
    """Returns the logits by place in `order`, `[..., n]`."""
    return ops.xp.take_along_axis(ops.xp.broadcast_to(theta, order.shape), order, axis=-1)


def _log_remaining(ops: Ops, logits: Array, k: int) -> Array:
    """Returns `[..., k, 1]` the logarithm of the weight not yet drawn at place j, of logits by place; O(nk) memory."""
    gone = ops.asarray(np.tri(k, logits.shape[-1], -1)) > 0.5
    return log_sum_exp(ops, ops.xp.where(gone, -ops.xp.inf, logits[..., None, :]))


def _unsort(ops: Ops, by_place: Array, order: Array) -> Array:
    """Returns values given by place in `order` as values by item."""
    xp = ops.xp
    return xp.take_along_axis(by_place, xp.argsort(order, axis=-1), axis=-1)


@lru_cache(maxsize=64)
def _sources(n: int, size: int) -> np.ndarray:
    """Returns `[C(n, size), size]`: for each subset, the flat indices (smaller subset, item) that lead to it."""
    rank = {tuple(np.flatnonzero(row)): number for number, row in enumerate(enumerate_subsets(n, size - 1))}
    sources = np.empty((math.comb(n, size), size), np.int64)
    for number, row in enumerate(enumerate_subsets(n, size)):
        items = np.flatnonzero(row)
        for place, item in enumerate(items):
            sources[number, place] = rank[tuple(np.delete(items, place))] * n + item
    return sources
