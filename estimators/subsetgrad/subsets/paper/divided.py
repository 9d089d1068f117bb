"""Algorithms 5 and 6: halves of the items, with the midpoint repaired."""

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
    """Returns A(θ) by Algorithm 5, from halves of the items.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[...]`; NaN in invalid rows. O(nk) work and, for the gradient, memory; ⌈log2 n⌉ steps, each a log-sum-exp over
      the split, so O(log n log k) deep; differentiable in both modes, to any order.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 5 (PrExactlyk). Halves meet at ⌊(l + u)/2⌋: the printed ⌊u/2⌋ lies before l for
    u < 2l, and the recursion never ends. An empty range has count 0 with probability 1, where print returns 0. Print
    calls itself anew for every m; here a range gives the law of its count, all m at once, up to its own size: that is
    what makes the work O(nk), and not k^log n.
    """
    check_static(ops, theta, k)
    root = _levels(ops, theta, k)[-1]
    return ops.xp.where(valid_rows(ops, theta, k), root[..., 0, k], ops.xp.nan)


def divided_marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities `[..., n]`: reverse mode through Algorithm 5; arguments and errors as there.

    Source: Ahmed et al. 2023, Theorem 1, μ = ∇A.
    """
    return gradient(ops, divided_log_partition, theta, k)


def divided_sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns exact samples by Algorithm 6: how many of its count a range gives to its left half, from the top down.

    Args:
      theta, k: as `sequential_sample`.
      uniforms: as there. Number i >= 1 decides the split just before item i; number 0 decides nothing.

    Returns:
      As `sequential_sample`. O(n log n) work a sample beside the O(nk) of Algorithm 5, ⌈log2 n⌉ steps of each.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 6 (Sample), with the midpoint of `divided_log_partition`; p_m has to be
    normalised, which print leaves out.
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
    """Where Algorithm 5's ranges stand in a complete binary tree, so that a level is one array.

    Attributes:
      item: `[2^depth]` the item of each leaf, n for an empty leaf: ranges of one depth differ by one item in size.
      borders: for each level from the root down, `[nodes]` the first item of the right half; 0 if that is empty.
    """

    item: np.ndarray
    borders: list[np.ndarray]


@lru_cache(maxsize=64)
def _layout(n: int) -> _Layout:
    """Returns the tree over n items whose left halves have ⌈size/2⌉ of them, as ⌊(l + u)/2⌋ divides."""
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
    """Returns `[..., most+1, m+1]` law(j − m), -inf where that is no count, for a law of counts 0 to m."""
    # Row after row of a sequence longer by one than the rows: each moves on by one. Slices and reshapes alone; a
    # gather's backward pass is a scatter, which is many times slower on a CPU.
    xp = ops.xp
    m, width = law.shape[-1] - 1, law.shape[-1] + most
    gap = xp.broadcast_to(xp.full_like(law[..., :1], -xp.inf), (*law.shape[:-1], width - m))
    cycle = xp.concat([law[..., :1], gap, xp.flip(law[..., 1:], axis=-1)], axis=-1)
    rows = xp.broadcast_to(cycle[..., None, :], (*law.shape[:-1], most + 1, width + 1))
    rows = xp.reshape(rows, (*law.shape[:-1], -1))[..., : (most + 1) * width]
    return xp.reshape(rows, (*law.shape[:-1], most + 1, width))[..., : m + 1]


def _split(ops: Ops, left: Array, right: Array, counts: Array, uniform: Array) -> Array:
    """Returns `[S, ..., nodes]` how many of its `counts` each range gives to its left half, by inversion."""
    xp = ops.xp
    m = left.shape[-1] - 1
    choices = index(ops, np.arange(m + 1))
    rest = counts[..., None] - choices
    shape = (*counts.shape, m + 1)
    of_rest = xp.take_along_axis(xp.broadcast_to(right, shape), xp.clip(rest, 0, m), axis=-1)
    log_weights = xp.where((rest >= 0) & (rest <= m), left + of_rest, -xp.inf)
    weights = xp.exp(log_weights - log_sum_exp(ops, log_weights))
    sums = xp.cumulative_sum(weights, axis=-1)
    beyond = sums > uniform[..., None] * sums[..., -1:]
    # The first possible choice beyond, and never an impossible one: a sum in parallel may grow by rounding alone.
    score = xp.where(beyond, m + 1 - choices, xp.zeros_like(choices))
    return xp.argmax(xp.where(log_weights > -xp.inf, score, -xp.ones_like(choices)), axis=-1)
