"""The law of few subsets, by the weights of all of them: some matrix products instead of a tree.

A subset weighs 1 if it is that of the k largest logits, else as much less as the items that it lacks of those, and the
others that it has, are away from the k-th largest: a sum of terms of one sign, as are all sums of weights.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from ..ops import Array, Ops, index_dtype
from .checks import valid_rows
from .enumeration import enumerate as enumerate_subsets

# Subsets. How many times as long the tree took for 1, 64, 1024, 8192 rows: at (n, k) = (10, 5), 252 of them, 7.0, 4.4,
# .73, .67 for a covariance product, 3.3, 2.8, .78, .37 for a sample, and 2.8, 3.9 for 10^4, 10^5 samples of a row; at
# (256, 1) 2.1 to 13 for all these; at (12, 4), 495 of them, 6.7, 4.6, .95, .17 and 3.2, 3.1, .99, .19 (torch 2.13, one
# thread, float32, medians of interleaved rounds). The number of rows does not decide: samples would depend on it.
LIMIT = 256
# A subset at this distance weighs 0 in every dtype.
_FAR = 1e4


@cache
def are_few(n: int, k: int) -> bool:
    """Returns whether the C(n, k) subsets, 0 < k < n, are so few that weighing all is faster than the tree."""
    return n <= LIMIT and math.comb(n, k) <= LIMIT  # C(n, k) >= n


def marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns `[..., n]` E[z] for `theta [..., n]` and 0 < k < n; NaN in invalid rows."""
    weights = _weights(ops, theta, k)[0]
    return ops.matmul(weights, _subsets(ops, theta.shape[-1], k)) / _total(ops, weights)


def covariance_product(ops: Ops, theta: Array, k: int, v: Array) -> Array:
    """Returns Cov(z)·v, of the broadcast shape of `theta [..., n]` and `v [..., n]`."""
    weights, top = _weights(ops, theta, k)
    subsets = _subsets(ops, theta.shape[-1], k)
    total = _total(ops, weights)
    # From the mean of the likeliest subset, which has 0 then: where the law is nearly decided nothing cancels.
    centre = _total(ops, ops.xp.where(top > 0, v, 0.0)) / k
    values = ops.matmul(v - centre, subsets.T)
    mean = _total(ops, weights * values) / total
    return ops.matmul(weights * (values - mean), subsets) / total


def second_order_inclusions(ops: Ops, theta: Array, k: int) -> Array:
    """Returns `[..., n, n]` E[z_i z_j]."""
    weights = _weights(ops, theta, k)[0]
    subsets = _subsets(ops, theta.shape[-1], k)
    return ops.matmul(weights[..., None, :] * subsets.T, subsets) / _total(ops, weights)[..., None]


def sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns k-hot samples of valid rows `theta [..., n]`, one for the first of each of the `uniforms [S, ..., n]`.

    The subset is looked up in two steps, first its block of about √C(n, k), then its place there: for 10^5 samples of a
    row at (10, 5) 13 ms, and 67 in one step.
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
    block = _place(ops, cumulative, target)
    within = xp.take_along_axis(xp.broadcast_to(within, (*lead, blocks, size)), block[..., None], axis=-2)[..., 0, :]
    rest = target - xp.take_along_axis(xp.broadcast_to(cumulative, (*lead, blocks)), block, axis=-1) + within[..., -1:]
    place = xp.minimum(block * size + _place(ops, within, rest), xp.full_like(block, count - 1))
    z = xp.reshape(xp.take(_subsets(ops, n, k), xp.reshape(place, (-1,)), axis=0), (*lead, n))
    # Rounding may lead beside the place that was meant, to a subset that weighs nothing.
    weight = xp.take_along_axis(xp.broadcast_to(weights, (*lead, count)), place, axis=-1)
    return xp.where(weight > 0, z, top)


def _place(ops: Ops, cumulative: Array, target: Array) -> Array:
    """Returns `[..., 1]` the index of the first of `cumulative [..., c]` beyond the target, at most c − 1."""
    xp = ops.xp
    below = xp.astype(cumulative[..., :-1] <= target, index_dtype(ops))
    return xp.sum(below, axis=-1, keepdims=True)


def _subsets(ops: Ops, n: int, k: int) -> Array:
    return ops.constant(enumerate_subsets, n, k)


def _lacking_and_had(n: int, k: int) -> np.ndarray:
    """Returns `[2n, C(n, k)]`: which items each subset lacks, and which it has."""
    subsets = enumerate_subsets(n, k)
    return np.concatenate([1 - subsets, subsets], axis=-1).T


def _weights(ops: Ops, theta: Array, k: int) -> tuple[Array, Array]:
    """Returns `[..., C(n, k)]` weights of the subsets, NaN in invalid rows, and `[..., n]` the subset that weighs 1."""
    xp = ops.xp
    constant = ops.stop_gradient(theta)
    top = ops.top_k_mask(constant, k)
    chosen = top > 0
    least = xp.min(xp.where(chosen, constant, xp.inf), axis=-1, keepdims=True)
    least = xp.where(valid_rows(ops, constant, k)[..., None], least, xp.nan)
    # A constant to differentiation, too: a subset lacks as many of the largest as it has of the others.
    distance = xp.clip(theta - least, -_FAR, _FAR)
    distances = xp.concat([xp.where(chosen, distance, 0.0), xp.where(chosen, 0.0, -distance)], axis=-1)
    return xp.exp(-ops.matmul(distances, ops.constant(_lacking_and_had, theta.shape[-1], k))), top


def _total(ops: Ops, values: Array) -> Array:
    return ops.xp.sum(values, axis=-1, keepdims=True)
