"""Prefix and suffix tables of the tilted recursion: P(Σ of the items before i = j), P(Σ of the items after i = j).

The sequential form of the paper's Algorithm 1, in tilted plain arithmetic: O(nk) work and memory, n steps.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from ..ops import Array, Ops
from .tilting import Tilted, tilt


class Tables(NamedTuple):
    """Tables of a batch of rows; items lead, so that a scan runs over them.

    Attributes:
      tilted: the tilted logits.
      p, q: `[n, ..., 1]` their probabilities.
      before: `[n, ..., k+1]` P(Σ of items < i equals j).
      after: `[n, ..., k+1]` P(Σ of items > i equals j).
      total: `[..., 1]` P(Σ of all items equals k).
    """

    tilted: Tilted
    p: Array
    q: Array
    before: Array
    after: Array
    total: Array


def items_first(ops: Ops, array: Array) -> Array:
    """Returns `[..., n]` as `[n, ..., 1]`."""
    # permute_dims, not moveaxis: torch.func.vmap has no rule for the latter.
    return ops.xp.permute_dims(array, (array.ndim - 1, *range(array.ndim - 1)))[..., None]


def items_last(ops: Ops, array: Array) -> Array:
    """Returns `[n, ...]` as `[..., n]`."""
    return ops.xp.permute_dims(array, (*range(1, array.ndim), 0))


def shift(ops: Ops, counts: Array) -> Array:
    """Returns `[..., k+1]` moved up by one: the law of the count with one item more."""
    return ops.xp.concat([ops.xp.zeros_like(counts[..., :1]), counts[..., :-1]], axis=-1)


def start(ops: Ops, like: Array, k: int) -> Array:
    """Returns `[..., k+1]`, the law of an empty sum, for `like` of shape `[..., 1]`."""
    xp = ops.xp
    return xp.concat([xp.ones_like(like), xp.zeros_like(xp.broadcast_to(like, (*like.shape[:-1], k)))], axis=-1)


def prefix(ops: Ops, p: Array, q: Array, k: int, *, reverse: bool = False) -> tuple[Array, Array]:
    """Returns `(all [..., k+1], before [n, ..., k+1])`: laws of the count of all items, and of those before each."""
    everything, (before,) = ops.scan(_step(ops), start(ops, p[0], k), (p, q), reverse=reverse)
    return everything, before


# One function object an Ops: outside jit, jax compiles a scan anew for every new body.
@cache
def _step(ops: Ops) -> Callable[..., tuple[Array, tuple[Array]]]:
    def step(counts: Array, item: tuple[Array, Array]) -> tuple[Array, tuple[Array]]:
        """Takes one item more into the law of the count."""
        p_item, q_item = item
        return q_item * counts + p_item * shift(ops, counts), (counts,)

    return step


def tables(ops: Ops, theta: Array, k: int) -> Tables:
    """Returns the tables of `theta [..., n]` for 0 < k < n."""
    tilted = tilt(ops, theta, k)
    p, q = items_first(ops, tilted.p), items_first(ops, tilted.q)
    everything, before = prefix(ops, p, q, k)
    after = prefix(ops, p, q, k, reverse=True)[1]
    return Tables(tilted, p, q, before, after, everything[..., k:])


def joint(ops: Ops, before: Array, after: Array, k: int) -> Array:
    """Returns `[n, ...]` Σ_j before(j)·after(k−1−j): the weight of "k−1 among the other items"."""
    xp = ops.xp
    return xp.sum(before[..., :k] * xp.flip(after[..., :k], axis=-1), axis=-1)


def included(ops: Ops, t: Tables, k: int) -> Array:
    """Returns `[..., n]` P(z_i = 1)."""
    return items_last(ops, t.p[..., 0] * joint(ops, t.before, t.after, k)) / t.total


def excluded(ops: Ops, t: Tables, k: int) -> Array:
    """Returns `[..., n]` P(z_i = 0) to full relative accuracy, which 1 − P(z_i = 1) has not."""
    return items_last(ops, t.q[..., 0] * joint(ops, t.before, t.after, k + 1)) / t.total
