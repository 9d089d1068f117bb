"""The product tree of the tilted law: laws of the counts of nested groups of items, and of all that is outside of each.

Upwards, a node's generating function is the product of its two children's; downwards, what is outside of a child is
what is outside of its parent times its sibling, and at the leaves that gives every item's P(z_i = 1). Depth log n, no
loop over items, subset sizes or samples. The first levels multiply coefficients (`polynomials`), the others values at
roots of unity (`roots`), where long products are pointwise. The children of a level are its first and its second half,
so that slices are contiguous.

Whichever is fewer, the chosen or the others, is what is counted: polynomials are shorter, and values at the roots near
1, where rounding is least. With tangents along weights v of the items, the same two passes give E[z_i (v·z)].

Source: Ahmed et al. 2023, Appendix B, Algorithms 5 and 6, here for all counts at once and in plain arithmetic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..ops import Array, Ops
from . import polynomials, roots
from .polynomials import width
from .shapes import Shape, shapes
from .tilting import Tilted

# Below such a chance of its not being counted an item is taken to be certain. A marginal above 1e-6 rests on chances of
# 1e-3 and more, which 100,000 such items change by 1e-5 of themselves in float32.
_CERTAIN = {"float32": 1e-13, "float64": 1e-26}


class Level(NamedTuple):
    """The nodes of one level, before they are multiplied in pairs; padding comes last.

    Attributes:
      shape: of the level.
      nodes: `[w, nodes, ...]` coefficients, or `[N//2 + 1, nodes, ...]` values at the N-th roots of unity.
      tangents: the same along the weights, or None.
    """

    shape: Shape
    nodes: Array
    tangents: Array | None


class Tree(NamedTuple):
    """The upward pass.

    Attributes:
      tilted: the tilted logits, `[..., n]`.
      p, q, weights: `[n, ...]` probabilities and weights, items first; weights None without tangents.
      levels: from the items to the root's two children.
      counted: how many items are counted, k or n − k.
      complement: whether those not chosen are counted.
      certain: `[n, ...]` which items count for certain; None without roots.
      left: `[1, ...]` how many of the other items are counted; None without roots.
    """

    tilted: Tilted
    p: Array
    q: Array
    weights: Array | None
    levels: tuple[Level, ...]
    counted: int
    complement: bool
    certain: Array | None
    left: Array | None


def items_first(ops: Ops, array: Array) -> Array:
    """Returns `[..., n]` as `[n, ...]`."""
    # permute_dims, not moveaxis: torch.func.vmap has no rule for the latter.
    return ops.xp.permute_dims(array, (array.ndim - 1, *range(array.ndim - 1)))


def items_last(ops: Ops, array: Array) -> Array:
    """Returns `[n, ...]` as `[..., n]`."""
    return ops.xp.permute_dims(array, (*range(1, array.ndim), 0))


def grow(ops: Ops, tilted: Tilted, k: int, weights: Array | None = None) -> Tree:
    """Returns the upward pass for 0 < k < n.

    Args:
      tilted, k: tilted logits `[..., n]`, items chosen.
      weights: None, or `[..., n]` with as many axes, along which the tangents go.

    Cost: O(n √k) work and O(n) numbers a root kept at most, depth O(log n).
    """
    xp = ops.xp
    p, q = items_first(ops, tilted.p), items_first(ops, tilted.q)
    v = None if weights is None else items_first(ops, weights)
    n = p.shape[0]
    complement = 2 * k > n
    count = n - k if complement else k
    order = slice(None, None, -1) if complement else slice(None)
    nodes = xp.stack([q, p][order])
    tangents = None if v is None else xp.stack([xp.zeros_like(p * v), p * v][order])
    found = shapes(ops.dtype, n, count)
    certain = left = None
    if found[-1].unity:
        certain = nodes[0] < _CERTAIN[ops.dtype]
        left = count - xp.sum(xp.astype(certain, p.dtype), axis=0, keepdims=True)
        nodes, tangents = (None if x is None else _leave_out(ops, certain, x) for x in (nodes, tangents))
    levels: list[Level] = []
    unity = 0
    for shape in found:
        if levels:
            nodes, tangents = _double(ops, levels[-1], count)
        if shape.unity != unity:
            nodes = _change_nodes(ops, nodes, unity, shape, count)
            tangents = None if tangents is None else _change(ops, tangents, unity, shape, count)
            unity = shape.unity
        levels.append(Level(shape, *_pad(ops, nodes, tangents, shape)))
    return Tree(tilted, p, q, v, tuple(levels), count, complement, certain, left)


def count_probability(ops: Ops, tree: Tree) -> Array:
    """Returns `[...]` P(Σ = k) of the tilted Bernoullis."""
    shape, nodes, _ = tree.levels[-1]
    first, second = nodes[:, :1], nodes[:, 1:]
    if tree.left is None:
        return polynomials.multiply(ops, first, second, tree.counted + 1)[-1, 0]
    shifted = first * second * roots.power(ops, tree.left, shape.unity)
    return roots.coefficients(ops, shifted, shape.unity, 0, 1)[0, 0]


def outsides(ops: Ops, tree: Tree) -> tuple[Array, Array]:
    """Returns the chances that k, and that k − 1, of the other items are chosen, `[2, n, ...]`, and their tangents.

    The tangents are None where the tree has none. Cost: as `grow`.
    """
    shape, nodes, tangents = tree.levels[-1]
    unity, count = shape.unity, tree.counted
    if tree.left is None:
        outside = ops.constant(_one_hot, count, width(2 * shape.size, count), nodes.ndim)
    else:
        outside = roots.power(ops, tree.left, unity)
    outside_dot = None if tangents is None else ops.xp.zeros_like(outside)
    for level in reversed(tree.levels):
        if level.shape.unity != unity:
            outside, outside_dot = (_change_down(ops, x, unity, level.shape, count) for x in (outside, outside_dot))
            unity = level.shape.unity
        outside, outside_dot = _halve(ops, outside, outside_dot, level, count)
    if tree.certain is not None:
        outside, outside_dot = (None if x is None else _put_back(ops, tree.certain, x) for x in (outside, outside_dot))
    if tree.complement:
        outside, outside_dot = (None if x is None else ops.xp.flip(x, axis=0) for x in (outside, outside_dot))
    return outside, outside_dot


def inclusions(ops: Ops, tree: Tree) -> tuple[Array, Array]:
    """Returns P(z_i = 1) and P(z_i = 0), `[..., n]` each and each to its own accuracy: 1 − P(z_i = 1) has not that.

    What `_CERTAIN` rules out has probability 0.
    """
    without, within = outsides(ops, tree)[0]
    included, excluded = tree.p * within, tree.q * without
    # Each item's own total: what rounding did to the others stands in both.
    total = included + excluded
    return items_last(ops, included / total), items_last(ops, excluded / total)


def _one_hot(k: int, size: int, axes: int) -> np.ndarray:
    row: np.ndarray = np.eye(size)[k]
    return row.reshape(-1, *(1,) * (axes - 1))


def _leave_out(ops: Ops, certain: Array, items: Array) -> Array:
    """Returns the items' coefficients `[2, n, ...]` less counts that are certain: q + pω becomes q + p.

    Their ω would be rounded in every block, and in many alike: over 1,400 laws of logits spread evenly over 100 to
    30,000, n = 512 to 8192, the largest relative error of a marginal above 1e-6 was 6.5e-4 so. Without them it is
    4.3e-5, and would be 3.1e-4 if `_change_nodes` did nothing else than `_change`.
    """
    xp = ops.xp
    moved = xp.astype(certain, items.dtype) * items[1]  # products, which XLA fuses better than a choice: 7.3 ms for 5.9
    return xp.stack([items[0] + moved, items[1] - moved])


def _put_back(ops: Ops, certain: Array, outside: Array) -> Array:
    """Returns the chances `[2, n, ...]` that `counted`, and one less, of the other items are counted.

    What is outside of an item that counts for certain was found less that item, so the first chance is its second. Its
    own first one is given as 0: it is multiplied by less than `_CERTAIN`.
    """
    xp = ops.xp
    return xp.where(certain, xp.stack([xp.zeros_like(outside[0]), outside[0]]), outside)


def _double(ops: Ops, level: Level, k: int) -> tuple[Array, Array | None]:
    """Returns the products of the level's pairs."""
    (size, unity, nodes, _), x, x_dot = level
    a, b = x[:, : nodes // 2], x[:, nodes // 2 :]
    into = width(2 * size, k)
    product = a * b if unity else polynomials.multiply(ops, a, b, into)
    if x_dot is None:
        return product, None
    a_dot, b_dot = x_dot[:, : nodes // 2], x_dot[:, nodes // 2 :]
    if unity:
        return product, a * b_dot + a_dot * b
    return product, polynomials.multiply_tangent(ops, a, a_dot, b, b_dot, into)


def _halve(ops: Ops, outside: Array, outside_dot: Array | None, level: Level, k: int) -> tuple[Array, Array | None]:
    """Returns what is outside of the level's nodes, from what is outside of their pairs."""
    size, unity, _, real = level.shape
    sibling = _swap(ops, level.nodes)
    outside = outside[:, None]
    into = width(size, k)
    product = outside * sibling if unity else polynomials.correlate(ops, outside, sibling, into)
    if outside_dot is None or level.tangents is None:
        return _join(ops, product, real), None
    sibling_dot = _swap(ops, level.tangents)
    outside_dot = outside_dot[:, None]
    if unity:
        dot = outside * sibling_dot + outside_dot * sibling
    else:
        dot = polynomials.correlate_tangent(ops, outside, outside_dot, sibling, sibling_dot, into)
    return _join(ops, product, real), _join(ops, dot, real)


def _swap(ops: Ops, nodes: Array) -> Array:
    """Returns `[w, 2, pairs, ...]`, each node's sibling in its place."""
    half = nodes.shape[1] // 2
    return ops.xp.stack([nodes[:, half:], nodes[:, :half]], axis=1)


def _join(ops: Ops, pairs: Array, real: int) -> Array:
    """Returns `[w, real, ...]` of `[w, 2, pairs, ...]`."""
    return ops.xp.reshape(pairs, (pairs.shape[0], 2 * pairs.shape[2], *pairs.shape[3:]))[:, :real]


def _pad(ops: Ops, nodes: Array, tangents: Array | None, shape: Shape) -> tuple[Array, Array | None]:
    """Returns the nodes with neutral ones after them, items that are never chosen."""
    xp = ops.xp
    missing = shape.nodes - nodes.shape[1]
    if not missing:
        return nodes, tangents
    like = nodes[:, :missing]
    neutral = xp.ones_like(like)
    if not shape.unity:
        neutral = xp.concat([neutral[:1], xp.zeros_like(like[1:])])
    nodes = xp.concat([nodes, neutral], axis=1)
    if tangents is None:
        return nodes, None
    return nodes, xp.concat([tangents, xp.zeros_like(tangents[:, :missing])], axis=1)


def _change(ops: Ops, nodes: Array, unity: int, shape: Shape, k: int) -> Array:
    """Returns nodes or tangents at the roots of `shape`, from coefficients or from values at `unity` roots."""
    if unity:
        nodes = roots.coefficients(ops, nodes, unity, 0, width(shape.size, k))
    return roots.evaluate(ops, nodes, shape.unity)


def _change_nodes(ops: Ops, nodes: Array, unity: int, shape: Shape, k: int) -> Array:
    """Returns the same of nodes, where a 1 at every root stays so to the last digit."""
    if not unity:
        return _change(ops, nodes, unity, shape, k)
    # A node that leaves little open has values near 1, at the root next to -1, the first, too. The 1 goes round: it
    # would be rounded alike in all such nodes. One that leaves much open has small values, whose digits a 1 would take.
    real = ops.xp.real(nodes[:1])
    one = ops.xp.astype(real > 0.5, real.dtype)
    return _change(ops, nodes - one, unity, shape, k) + one


def _change_down(ops: Ops, outside: Array | None, unity: int, shape: Shape, k: int) -> Array | None:
    """Returns what is outside of the pairs of a level as the level needs it, from values at `unity` roots."""
    if outside is None:
        return None
    outside = roots.coefficients(ops, outside, unity, 0, width(2 * shape.size, k), conjugate=True)
    return roots.evaluate(ops, outside, shape.unity, conjugate=True) if shape.unity else outside
