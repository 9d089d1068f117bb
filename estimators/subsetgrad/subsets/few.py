"""The distribution over few subsets, from the weights of all subsets: matrix products instead of the product tree.

The subset of the k largest logits has weight 1. Any other subset has weight exp(−d). Its distance d is the sum of
|θ_i − θ_(k)| over the items i by which the two subsets differ, with θ_(k) the k-th largest logit. Only numbers of the
same sign are added, so nothing cancels.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from ..ops import Array, Ops, index_dtype
from .checks import valid_rows
from .enumeration import enumerate as enumerate_subsets

# The largest number of subsets to enumerate. Up to here enumeration is several times faster than the tree for batches
# of up to 64 rows, and at most 3 times slower for thousands of rows; with twice as many subsets it loses more on large
# batches. The number of rows must not decide, because the two methods draw different samples from the same uniforms.
LIMIT = 256
# A larger distance is replaced by this one; exp(−1e4) is 0 in every dtype.
_FAR = 1e4


@cache
def are_few(n: int, k: int) -> bool:
    """Returns whether the C(n, k) subsets, 0 < k < n, are few enough to be enumerated."""
    return n <= LIMIT and math.comb(n, k) <= LIMIT  # C(n, k) >= n, and a large binomial is slow to compute


def marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns E[z], `[..., n]`, for `theta [..., n]` and 0 < k < n; NaN in invalid rows."""
    weights = _weights(ops, theta, k)[0]
    return ops.matmul(weights, _subsets(ops, theta.shape[-1], k)) / _total(ops, weights)


def covariance_product(ops: Ops, theta: Array, k: int, v: Array) -> Array:
    """Returns Cov(z)·v, of the broadcast shape of `theta [..., n]` and `v [..., n]`."""
    weights, top = _weights(ops, theta, k)
    subsets = _subsets(ops, theta.shape[-1], k)
    total = _total(ops, weights)
    # Subtract the mean of v over the most likely subset. That subset then has the value 0, so nothing cancels where it
    # has nearly all the probability.
    centre = _total(ops, ops.xp.where(top > 0, v, 0.0)) / k
    values = ops.matmul(v - centre, subsets.T)
    mean = _total(ops, weights * values) / total
    return ops.matmul(weights * (values - mean), subsets) / total


def second_order_inclusions(ops: Ops, theta: Array, k: int) -> Array:
    """Returns E[z_i z_j], `[..., n, n]`."""
    weights = _weights(ops, theta, k)[0]
    subsets = _subsets(ops, theta.shape[-1], k)
    return ops.matmul(weights[..., None, :] * subsets.T, subsets) / _total(ops, weights)[..., None]


def sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns k-hot samples `[S, ..., n]` of valid rows `theta [..., n]`.

    Only the first of the n uniforms of each sample is used. It is looked up in the cumulative weights in two steps: the
    block of about √C(n, k) subsets, and the position in the block. This is several times faster than one step.
    """
    xp = ops.xp
    n, lead = theta.shape[-1], uniforms.shape[:-1]
    weights, top = _weights(ops, theta, k)
    count = weights.shape[-1]
    size = math.isqrt(count - 1) + 1
    blocks = -(-count // size)
    padding = xp.zeros_like(weights[..., : blocks * size - count])
    padded = xp.reshape(xp.concat([weights, padding], axis=-1), (*weights.shape[:-1], blocks, size))
    within = xp.cumulative_sum(padded, axis=-1)
    cumulative = xp.cumulative_sum(within[..., -1], axis=-1)
    target = uniforms[..., :1] * cumulative[..., -1:]
    block = _first_above(ops, cumulative, target)
    within = xp.take_along_axis(xp.broadcast_to(within, (*lead, blocks, size)), block[..., None], axis=-2)[..., 0, :]
    rest = target - xp.take_along_axis(xp.broadcast_to(cumulative, (*lead, blocks)), block, axis=-1) + within[..., -1:]
    number = xp.minimum(block * size + _first_above(ops, within, rest), xp.full_like(block, count - 1))
    z = xp.reshape(xp.take(_subsets(ops, n, k), xp.reshape(number, (-1,)), axis=0), (*lead, n))
    # Rounding can lead to a neighbour of the right subset, and that may have weight 0; take the most likely one then.
    weight = xp.take_along_axis(xp.broadcast_to(weights, (*lead, count)), number, axis=-1)
    return xp.where(weight > 0, z, top)


def _first_above(ops: Ops, cumulative: Array, target: Array) -> Array:
    """Returns `[..., 1]` the index of the first entry of `cumulative [..., c]` above the target, at most c − 1."""
    xp = ops.xp
    below = xp.astype(cumulative[..., :-1] <= target, index_dtype(ops))
    return xp.sum(below, axis=-1, keepdims=True)


def _subsets(ops: Ops, n: int, k: int) -> Array:
    """Returns all k-hot vectors, `[C(n, k), n]`."""
    return ops.constant(enumerate_subsets, n, k)


def _lacking_and_had(n: int, k: int) -> np.ndarray:
    """Returns `[2n, C(n, k)]`: 1 for each item that a subset lacks, and below 1 for each item that it has."""
    subsets = enumerate_subsets(n, k)
    return np.concatenate([1 - subsets, subsets], axis=-1).T


def _weights(ops: Ops, theta: Array, k: int) -> tuple[Array, Array]:
    """Returns the weights of all subsets, `[..., C(n, k)]`, and the most likely subset, `[..., n]`.

    The weights of invalid rows are NaN.
    """
    xp = ops.xp
    constant = ops.stop_gradient(theta)
    top = ops.top_k_mask(constant, k)
    chosen = top > 0
    least = xp.min(xp.where(chosen, constant, xp.inf), axis=-1, keepdims=True)
    least = xp.where(valid_rows(ops, constant, k)[..., None], least, xp.nan)
    # `least` may be a constant for differentiation: a subset lacks as many of the k largest as it has others, so the
    # derivatives in `least` cancel.
    distance = xp.clip(theta - least, -_FAR, _FAR)
    distances = xp.concat([xp.where(chosen, distance, 0.0), xp.where(chosen, 0.0, -distance)], axis=-1)
    return xp.exp(-ops.matmul(distances, ops.constant(_lacking_and_had, theta.shape[-1], k))), top


def _total(ops: Ops, values: Array) -> Array:
    """Returns the sum over the last axis, kept as length 1."""
    return ops.xp.sum(values, axis=-1, keepdims=True)
