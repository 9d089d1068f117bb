"""Exact sampling from the k-subset distribution, by splitting counts down the product tree; few subsets are listed."""

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
    """Returns exact samples, a deterministic function of uniform random numbers.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.
      uniforms: `[S, ..., n]` on [0, 1), independent, or with any leading axes that broadcast against theta;
        `ops.draw(key)("uniform", shape)` makes them. At most n − 1 of a row are looked at, of few subsets the first.

    Returns:
      `[S, ..., n]` of 0 and 1, each row with exactly k ones; NaN in invalid rows. No gradient: see the estimators.
      One tree a row shared by all samples, then O(n √k) work a sample at most; depth O(log n). Up to 256 subsets are
      looked up in the list of all instead (see `few`).

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Proposition 2 and, in Appendix B, Algorithm 6: the number chosen among the items of the
    first child of a node is drawn given that of the node.
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    check_items(ops, "uniforms", uniforms, n)
    theta = ops.stop_gradient(theta)
    valid = valid_rows(ops, theta, k)[..., None]
    shape = np.broadcast_shapes(tuple(theta.shape), tuple(uniforms.shape))
    if k in (0, n):
        return xp.where(valid, xp.broadcast_to(xp.full_like(theta, float(k == n)), shape), xp.nan)
    # An invalid row is sampled as if it were uniform, so that every split of it can be made.
    rows = xp.reshape(xp.where(valid, theta, 0.0), (1,) * (len(shape) - theta.ndim) + tuple(theta.shape))
    uniforms = xp.broadcast_to(uniforms, shape)
    split = few.sample if few.are_few(n, k) else _sample
    return xp.where(valid, split(ops, rows, k, uniforms), xp.nan)


def _sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns k-hot samples of valid rows, one for each of the `uniforms [S, ..., n]`, by splits of the tree."""
    xp = ops.xp
    tree = grow(ops, tilt(ops, theta, k), k)
    rest = items_first(ops, uniforms)
    chosen = xp.zeros_like(rest[:1]) + (tree.counted if tree.left is None else tree.left)
    for level, facts in zip(reversed(tree.levels), reversed(_facts(ops, tree)), strict=True):
        splits = level.shape.real - level.shape.nodes // 2  # pairs whose second node is no padding
        chosen = _split(ops, level, facts, chosen, rest[:splits], tree.counted)
        rest = rest[splits:]
    if tree.certain is not None:
        chosen = xp.where(tree.certain, 1.0, chosen)
    return items_last(ops, 1.0 - chosen if tree.complement else chosen)


def _facts(ops: Ops, tree: Tree) -> list[Array]:
    """Returns, for each level, `[4, nodes, ...]`: mean and variance of a node's count, and its least and greatest."""
    xp = ops.xp
    q, p = tree.levels[0].nodes  # of what is counted; the factor of an item that counts for certain has no p
    facts = xp.stack([p, p * q, xp.astype(q == 0, p.dtype), xp.astype(p > 0, p.dtype)])
    found = [facts]
    for level in tree.levels[1:]:
        half = facts.shape[1] // 2
        facts = facts[:, :half] + facts[:, half:]
        missing = level.shape.nodes - facts.shape[1]
        if missing:
            facts = xp.concat([facts, xp.zeros_like(facts[:, :missing])], axis=1)
        found.append(facts)
    return found


def _split(ops: Ops, level: Level, facts: Array, chosen: Array, uniforms: Array, k: int) -> Array:
    """Returns how many are chosen in each node of a level, `[real, ...]`.

    Args:
      level, facts: of the nodes.
      chosen: `[pairs, ...]` how many are chosen in each pair.
      uniforms: `[<= pairs, ...]`; the other pairs have one node that is padding.
    """
    xp = ops.xp
    size, unity, nodes, real = level.shape
    pairs = nodes // 2
    if len(uniforms) < pairs:
        uniforms = xp.concat([uniforms, xp.zeros_like(chosen[: pairs - len(uniforms)])])
    wide = width(size, k)
    folded = 0 < unity < wide  # counts are known modulo `unity`
    law = roots.coefficients(ops, level.nodes, unity, 0, min(wide, unity)) if unity else level.nodes
    wide = law.shape[0]
    first, second = law[:, :pairs], law[:, pairs:]
    # Beside first[j] stands second[chosen − j]; unless counts are folded, zeros stand around second.
    if folded:
        index = (chosen[None] - ops.constant(roots.column, 0, wide, chosen.ndim + 1)) % wide
    else:
        nothing = xp.zeros_like(second[1:])
        second = xp.concat([nothing, second, nothing])
        index = chosen[None] - ops.constant(roots.column, 1 - wide, 1, chosen.ndim + 1)
    second = xp.broadcast_to(second, (second.shape[0], *index.shape[1:]))
    weights = first * xp.take_along_axis(second, xp.astype(index, index_dtype(ops)), axis=0)
    cumulative = apply(ops, ops.constant(np.tri, wide), weights)
    taken = xp.sum(xp.astype(cumulative <= uniforms * cumulative[-1:], chosen.dtype), axis=0)
    of_first, of_second = facts[:, :pairs], facts[:, pairs:]
    if folded:
        start = _expected(ops, chosen, of_first, of_second) - wide // 2
        taken = start + (taken - start) % wide
    # What cannot be is never chosen, not even with the probability that rounding leaves it.
    least = xp.maximum(of_first[2], chosen - of_second[3])
    greatest = xp.minimum(of_first[3], chosen - of_second[2])
    taken = xp.minimum(xp.maximum(taken, least), greatest)
    return xp.concat([taken, chosen - taken])[:real]


def _expected(ops: Ops, chosen: Array, first: Array, second: Array) -> Array:
    """Returns the rounded expected count of the first node, given that of the pair, both counts taken for normal."""
    variance = first[1] + second[1]
    share = first[1] / ops.xp.where(variance > 0, variance, 1.0)
    return ops.xp.round(first[0] + (chosen - first[0] - second[0]) * share)
