"""Exact sampling from the k-subset distribution.

The sampler goes down the product tree: for each node it draws how many of its chosen items lie in its first child.
Where there are few subsets, one is picked from the list of all (`few`).
"""

from __future__ import annotations

import numpy as np

from ..ops import (
    Array,
    Ops,
    compiled,
    index_dtype,
)
from . import few, roots
from .checks import check_items, check_static, valid_rows
from .polynomials import apply, width
from .product_tree import (
    Level,
    Tree,
    grow,
    items_first,
    items_last,
)
from .tilting import tilt


@compiled
def sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns exact samples, computed from uniform random numbers.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.
      uniforms: `[S, ..., n]` independent numbers on [0, 1), or with any leading axes that broadcast against theta;
        `ops.draw(key)("uniform", shape)` makes them. At most n − 1 numbers of a row are used, and only the first one
        where the subsets are few.

    Returns:
      `[S, ..., n]` of 0 and 1, each row with exactly k ones; NaN in invalid rows. Samples have no gradient; estimators
      provide one. All samples of a row share one tree; each sample then takes O(n √k) work at most, depth O(log n).

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Proposition 2, and Algorithm 6 in Appendix B.
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    check_items(ops, "uniforms", uniforms, n)
    theta = ops.stop_gradient(theta)
    valid = valid_rows(ops, theta, k)[..., None]
    shape = np.broadcast_shapes(tuple(theta.shape), tuple(uniforms.shape))
    if k in (0, n):
        return xp.where(valid, xp.broadcast_to(xp.full_like(theta, float(k == n)), shape), xp.nan)
    # An invalid row is sampled as if all its logits were 0, and set to NaN at the end.
    rows = xp.reshape(xp.where(valid, theta, 0.0), (1,) * (len(shape) - theta.ndim) + tuple(theta.shape))
    uniforms = xp.broadcast_to(uniforms, shape)
    sampler = few.sample if few.are_few(n, k) else _sample
    return xp.where(valid, sampler(ops, rows, k, uniforms), xp.nan)


def _sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns k-hot samples `[S, ..., n]` of valid rows, drawn down the product tree."""
    xp = ops.xp
    tree = grow(ops, tilt(ops, theta, k), k)
    unused = items_first(ops, uniforms)
    chosen = xp.zeros_like(unused[:1]) + (tree.counted if tree.left is None else tree.left)
    for level, statistics in zip(reversed(tree.levels), reversed(_statistics(ops, tree)), strict=True):
        splits = level.shape.real - level.shape.nodes // 2  # pairs whose second node is not padding
        chosen = _split(ops, level, statistics, chosen, unused[:splits], tree.counted)
        unused = unused[splits:]
    if tree.certain is not None:
        chosen = xp.where(tree.certain, 1.0, chosen)
    return items_last(ops, 1.0 - chosen if tree.complement else chosen)


def _statistics(ops: Ops, tree: Tree) -> list[Array]:
    """Returns, for each level, `[4, nodes, ...]`: the mean, variance, minimum and maximum of the count of each node."""
    xp = ops.xp
    # p is the probability that the tree counts an item. An item that is certain to be counted has p = 0 here, since the
    # tree leaves it out.
    q, p = tree.levels[0].nodes
    statistics = xp.stack([p, p * q, xp.astype(q == 0, p.dtype), xp.astype(p > 0, p.dtype)])
    levels = [statistics]
    for level in tree.levels[1:]:
        half = statistics.shape[1] // 2
        statistics = statistics[:, :half] + statistics[:, half:]
        padding = level.shape.nodes - statistics.shape[1]
        if padding:
            statistics = xp.concat([statistics, xp.zeros_like(statistics[:, :padding])], axis=1)
        levels.append(statistics)
    return levels


def _split(ops: Ops, level: Level, statistics: Array, chosen: Array, uniforms: Array, k: int) -> Array:
    """Returns how many items are chosen in each node of a level, `[real, ...]`.

    Args:
      ops: the backend.
      level: the nodes; nodes i and i + pairs are the two children of one parent.
      statistics: of the nodes, from `_statistics`.
      chosen: `[pairs, ...]` how many items are chosen in each parent.
      uniforms: one random number for each parent whose second child is not padding, `[<= pairs, ...]`.
      k: items counted in the whole tree.
    """
    xp = ops.xp
    size, unity, nodes, real = level.shape
    pairs = nodes // 2
    if len(uniforms) < pairs:
        uniforms = xp.concat([uniforms, xp.zeros_like(chosen[: pairs - len(uniforms)])])
    wide = width(size, k)
    folded = 0 < unity < wide  # the level knows counts only modulo `unity`
    law = roots.coefficients(ops, level.nodes, unity, 0, min(wide, unity)) if unity else level.nodes
    wide = law.shape[0]
    first, second = law[:, :pairs], law[:, pairs:]
    # P(first child has j | parent has `chosen`) ∝ first[j] · second[chosen − j]. An index outside `second` has
    # probability 0, unless counts are folded, when indices are taken modulo its length.
    if folded:
        index = (chosen[None] - ops.constant(roots.column, 0, wide, chosen.ndim + 1)) % wide
    else:
        zeros = xp.zeros_like(second[1:])
        second = xp.concat([zeros, second, zeros])
        index = chosen[None] - ops.constant(roots.column, 1 - wide, 1, chosen.ndim + 1)
    second = xp.broadcast_to(second, (second.shape[0], *index.shape[1:]))
    weights = first * xp.take_along_axis(second, xp.astype(index, index_dtype(ops)), axis=0)
    cumulative = apply(ops, ops.constant(np.tri, wide), weights)
    in_first = xp.sum(xp.astype(cumulative <= uniforms * cumulative[-1:], chosen.dtype), axis=0)
    of_first, of_second = statistics[:, :pairs], statistics[:, pairs:]
    if folded:
        # Among the counts that agree modulo `wide`, take the one nearest to the expected count.
        start = _expected(ops, chosen, of_first, of_second) - wide // 2
        in_first = start + (in_first - start) % wide
    # Clamp to feasible counts: rounding can leave an impossible count a tiny probability.
    minimum = xp.maximum(of_first[2], chosen - of_second[3])
    maximum = xp.minimum(of_first[3], chosen - of_second[2])
    in_first = xp.minimum(xp.maximum(in_first, minimum), maximum)
    return xp.concat([in_first, chosen - in_first])[:real]


def _expected(ops: Ops, chosen: Array, first: Array, second: Array) -> Array:
    """Returns the expected count of the first child given that of the parent, rounded.

    The counts are treated as normally distributed: the conditional mean is then linear in `chosen`.
    """
    variance = first[1] + second[1]
    share = first[1] / ops.xp.where(variance > 0, variance, 1.0)
    return ops.xp.round(first[0] + (chosen - first[0] - second[0]) * share)
