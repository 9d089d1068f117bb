"""The Plackett-Luce law of k-subsets: exact probabilities, scores, and resampling given an order.

It is the law of the k largest of θ + Gumbel noise, without their order. For k >= 2 it differs from the conditional
Poisson law: on the paper's toy problem (n=10, k=5) their total variation distance is 0.14.
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
      `[..., C(n, k)]`, differentiable. O(2^n n) work at most, since all subsets of at most k items are visited.

    Raises:
      TypeError, ValueError: wrong dtype or shape, k outside [0, n], n > 20.

    Source: P(S) = Σ_{i∈S} P(S∖i) w_i / (W − W_{S∖i}) with w = e^θ and W the sum of w: successive sampling, summed over
    the item that is drawn last.
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    if n > MAX_ITEMS:
        raise ValueError(
            f"n={n}: exact Plackett-Luce probabilities visit all subsets; the limit is n={MAX_ITEMS}, use fewer items"
        )
    law = xp.ones_like(theta[..., :1])
    for size in range(1, k + 1):
        chosen = ops.asarray(enumerate_subsets(n, size - 1)) > 0.5
        log_rest = log_sum_exp(ops, xp.where(chosen, -xp.inf, theta[..., None, :]))
        # The probability that an item is drawn next, given the items drawn so far. A subset that leaves only items with
        # logit -inf needs no next draw: its own probability is 0.
        possible = ~chosen & (theta[..., None, :] > -xp.inf)
        step = xp.where(possible, xp.exp(xp.where(possible, theta[..., None, :] - log_rest, 0.0)), 0.0)
        flow = xp.reshape(law[..., None] * step, (*theta.shape[:-1], -1))
        sources = _sources(n, size)
        gathered = xp.take(flow, index(ops, sources.ravel()), axis=-1)
        law = xp.sum(xp.reshape(gathered, (*theta.shape[:-1], *sources.shape)), axis=-1)
    return xp.where(valid_rows(ops, theta, k)[..., None], law, xp.nan)


def marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities `[..., n]` under this law, with sum k.

    Arguments, limits and errors as in `probabilities`.
    """
    return ops.matmul(probabilities(ops, theta, k), ops.asarray(enumerate_subsets(theta.shape[-1], k)))


def ordered_score(ops: Ops, theta: Array, order: Array, k: int) -> Array:
    """Returns ∇_θ log P(o), the score of an ordered draw o of k items, `[..., n]`.

    Args:
      theta: `[B, n]` logits.
      order: `[..., B, n]` integers, items by descending perturbed logit; only the first k count.
      k: static, 1 <= k <= n.

    Source: Σ_{j<=k} (e_{o_j} − softmax of θ over the items not yet drawn); Struminsky et al. 2021.
    """
    xp = ops.xp
    logits = _sorted(ops, theta, order)
    log_remaining = _log_remaining(ops, logits, k)
    drawn_before = ops.asarray(np.tri(k, theta.shape[-1], -1)) > 0.5  # [k, n]: drawn before the j-th draw
    # Subtract logarithms first: a weight that underflows in e^θ can be all the weight that remains to be drawn.
    probability = xp.exp(logits[..., None, :] - log_remaining)
    is_drawn = ops.asarray(np.arange(theta.shape[-1]) < k)
    return _unsort(ops, is_drawn - xp.sum(xp.where(drawn_before, 0.0, probability), axis=-2), order)


def conditional_gumbel(ops: Ops, theta: Array, order: Array, exponentials: Array, k: int) -> Array:
    """Returns perturbed logits x̃ = θ + G̃, drawn given the order of the k largest, `[..., n]`, differentiable in θ.

    Args:
      theta: `[B, n]` logits; an item with logit -inf gets -inf.
      order: `[..., B, n]` integers, items by descending perturbed logit; the first k items of x̃ have the same order.
      exponentials: `[..., B, n]` independent Exp(1) numbers, one for each item.
      k: static, 1 <= k <= n.

    Source: Gadetsky et al. 2020; Struminsky et al. 2021. x̃ = −log t, where t are arrival times of independent
    exponential clocks with rates w = e^θ: t_{o_j} = t_{o_{j−1}} + ε_j/W_j for the first k items, with W_j the weight
    that is not yet drawn, and t_i = t_{o_k} + ε_i/w_i for the others.
    """
    xp = ops.xp
    n = theta.shape[-1]
    logits = _sorted(ops, theta, order)
    possible = logits > -xp.inf
    log_waits = xp.log(xp.take_along_axis(exponentials, order, axis=-1))
    # Everything is computed in logarithms, because ε/w overflows for an unlikely item.
    waits = log_waits[..., :k] - _log_remaining(ops, logits, k)[..., 0]
    arrivals = [waits[..., :1]]
    for position in range(1, k):
        arrivals.append(xp.logaddexp(arrivals[-1], waits[..., position : position + 1]))
    drawn = -xp.concat(arrivals, axis=-1)
    if k == n:
        return _unsort(ops, drawn, order)
    waits = log_waits[..., k:] - xp.where(possible, logits, 0.0)[..., k:]
    rest = -xp.logaddexp(xp.broadcast_to(arrivals[-1], waits.shape), waits)
    return _unsort(ops, xp.concat([drawn, xp.where(possible[..., k:], rest, -xp.inf)], axis=-1), order)


def _sorted(ops: Ops, theta: Array, order: Array) -> Array:
    """Returns the logits in the order `order`, `[..., n]`."""
    return ops.xp.take_along_axis(ops.xp.broadcast_to(theta, order.shape), order, axis=-1)


def _log_remaining(ops: Ops, logits: Array, k: int) -> Array:
    """Returns the logarithm of the weight that is not yet drawn before each draw, `[..., k, 1]`; O(nk) memory.

    Args:
      ops: the backend.
      logits: in the order in which the items are drawn, `[..., n]`.
      k: number of draws.
    """
    drawn_before = ops.asarray(np.tri(k, logits.shape[-1], -1)) > 0.5
    return log_sum_exp(ops, ops.xp.where(drawn_before, -ops.xp.inf, logits[..., None, :]))


def _unsort(ops: Ops, values: Array, order: Array) -> Array:
    """Returns the values, given in the order `order`, in the order of the items."""
    xp = ops.xp
    return xp.take_along_axis(values, xp.argsort(order, axis=-1), axis=-1)


@lru_cache(maxsize=64)
def _sources(n: int, size: int) -> np.ndarray:
    """Returns the flat indices of the pairs (smaller subset, item) that make each subset, `[C(n, size), size]`."""
    rank = {tuple(np.flatnonzero(row)): number for number, row in enumerate(enumerate_subsets(n, size - 1))}
    sources = np.empty((math.comb(n, size), size), np.int64)
    for number, row in enumerate(enumerate_subsets(n, size)):
        items = np.flatnonzero(row)
        for position, item in enumerate(items):
            sources[number, position] = rank[tuple(np.delete(items, position))] * n + item
    return sources
