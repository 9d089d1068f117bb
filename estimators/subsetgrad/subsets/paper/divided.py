"""Algorithms 5 and 6, which divide the items into halves again and again, with a corrected midpoint."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ...ops import (
    Array,
    Ops,
    index,
    index_dtype,
)
from ...soft_top_k import log_sum_exp
from ..checks import check_static, valid_rows
from .shared import gradient, sampled


def divided_log_partition(ops: Ops, theta: Array, k: int) -> Array:
    """Returns A(θ) by Algorithm 5, which combines the halves of the items.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[...]`; NaN in invalid rows. O(nk) work, and memory for the gradient. ⌈log2 n⌉ steps, each a log-sum-exp over the
      ways to split a count, so the depth is O(log n log k). Differentiable in both modes, to any order.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 5 (PrExactlyk). A range computes log e_m for all counts m up to its size at
    once, which makes the work O(nk); as printed, the algorithm calls itself again for each m and needs k^log n steps.
    """
    check_static(ops, theta, k)
    root = _levels(ops, theta, k)[-1]
    return ops.xp.where(valid_rows(ops, theta, k), root[..., 0, k], ops.xp.nan)


def divided_marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities `[..., n]`, by reverse mode through Algorithm 5.

    Arguments and errors as in `divided_log_partition`.

    Source: Ahmed et al. 2023, Theorem 1, μ = ∇A.
    """
    return gradient(ops, divided_log_partition, theta, k)


def divided_sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns exact samples by Algorithm 6: from the top down, it draws how many chosen items lie in each left half.

    Args:
      theta: as in `sequential_sample`.
      k: as in `sequential_sample`.
      uniforms: as in `sequential_sample`. Number i >= 1 decides the split just before item i; number 0 is not used.

    Returns:
      As `sequential_sample`. O(nk) work for Algorithm 5 and O(n log n) for each sample, ⌈log2 n⌉ steps of each.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 6 (Sample), with p_m normalised.
    """
    xp = ops.xp
    theta, shape = sampled(ops, theta, k, uniforms)
    n = shape[-1]
    uniforms = xp.broadcast_to(uniforms, shape)
    counts = xp.astype(xp.full_like(uniforms[..., :1], float(k)), index_dtype(ops))
    layout = _layout(n)
    for law, border in zip(reversed(_levels(ops, theta, k)[:-1]), layout.borders, strict=True):
        uniform = xp.take(uniforms, index(ops, border), axis=-1)
        to_left = _split(ops, law[..., ::2, :], law[..., 1::2, :], counts, uniform)
        counts = xp.reshape(xp.stack([to_left, counts - to_left], axis=-1), (*shape[:-1], -1))
    z = xp.astype(xp.take(counts, index(ops, np.flatnonzero(layout.item < n)), axis=-1), theta.dtype)
    return xp.where(valid_rows(ops, theta, k)[..., None], z, xp.nan)


class _Layout(NamedTuple):
    """The ranges of Algorithm 5 as the nodes of a complete binary tree, so that each level is one array.

    Attributes:
      item: `[2^depth]`, the item of each leaf, or n for an empty leaf. Ranges of one level differ by one item in size,
        so some leaves are empty.
      borders: for each level from the root down, `[nodes]`, the first item of the right half, or 0 if that is empty.
    """

    item: np.ndarray
    borders: list[np.ndarray]


@lru_cache(maxsize=64)
def _layout(n: int) -> _Layout:
    """Returns the tree over n items. A left half has ⌈size/2⌉ items, which is the division at ⌊(l + u)/2⌋."""
    sizes, borders = np.array([n]), []
    while sizes[0] > 1:
        left = (sizes + 1) // 2
        first = np.cumsum(sizes) - sizes
        borders.append(np.where(sizes > 1, first + left, 0))
        sizes = np.stack([left, sizes - left], axis=-1).ravel()
    return _Layout(np.where(sizes == 1, np.cumsum(sizes) - 1, n), borders)


def _levels(ops: Ops, theta: Array, k: int) -> list[Array]:
    """Returns log e_j of every range, `[..., nodes, min(size, k)+1]`, from the leaves to the root."""
    xp = ops.xp
    padded = xp.concat([theta, xp.full_like(theta[..., :1], -xp.inf)], axis=-1)
    leaves = xp.take(padded, index(ops, _layout(theta.shape[-1]).item), axis=-1)
    levels = [xp.stack([xp.zeros_like(leaves), leaves], axis=-1)[..., : k + 1]]
    while levels[-1].shape[-2] > 1:
        left, right = levels[-1][..., ::2, :], levels[-1][..., 1::2, :]
        most = min(2 * (left.shape[-1] - 1), k)
        levels.append(log_sum_exp(ops, left[..., None, :] + _differences(ops, right, most))[..., 0])
    return levels


def _differences(ops: Ops, law: Array, most: int) -> Array:
    """Returns `[..., most+1, m+1]` with entry (j, i) = law(j − i), -inf where j − i is no count, for counts 0 to m."""
    # Repeat a sequence that is longer by one than a row, and cut the result into rows: each row is the one before,
    # moved by one. Only slices and reshapes are used, because the backward pass of a gather is a scatter, which is slow
    # on CPUs.
    xp = ops.xp
    m, width = law.shape[-1] - 1, law.shape[-1] + most
    gap = xp.broadcast_to(xp.full_like(law[..., :1], -xp.inf), (*law.shape[:-1], width - m))
    cycle = xp.concat([law[..., :1], gap, xp.flip(law[..., 1:], axis=-1)], axis=-1)
    rows = xp.broadcast_to(cycle[..., None, :], (*law.shape[:-1], most + 1, width + 1))
    rows = xp.reshape(rows, (*law.shape[:-1], -1))[..., : (most + 1) * width]
    return xp.reshape(rows, (*law.shape[:-1], most + 1, width))[..., : m + 1]


def _split(ops: Ops, left: Array, right: Array, counts: Array, uniform: Array) -> Array:
    """Returns how many of the `counts` chosen items of each range lie in its left half, `[S, ..., nodes]`."""
    xp = ops.xp
    m = left.shape[-1] - 1
    choices = index(ops, np.arange(m + 1))
    rest = counts[..., None] - choices
    shape = (*counts.shape, m + 1)
    of_rest = xp.take_along_axis(xp.broadcast_to(right, shape), xp.clip(rest, 0, m), axis=-1)
    log_weights = xp.where((rest >= 0) & (rest <= m), left + of_rest, -xp.inf)
    weights = xp.exp(log_weights - log_sum_exp(ops, log_weights))
    sums = xp.cumulative_sum(weights, axis=-1)
    above = sums > uniform[..., None] * sums[..., -1:]
    # The first choice above, among those that are possible: a cumulative sum computed in parallel can grow by rounding
    # alone at a choice of probability 0.
    score = xp.where(above, m + 1 - choices, xp.zeros_like(choices))
    return xp.argmax(xp.where(log_weights > -xp.inf, score, -xp.ones_like(choices)), axis=-1)
