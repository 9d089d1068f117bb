"""The shapes of a product tree's levels: which multiply coefficients, and how many roots of unity the others take."""

from __future__ import annotations

import itertools
from functools import cache
from typing import NamedTuple

from . import roots

# Items of a block, multiplied as coefficients. Blocks of 4, 8, 16, 32 took 5.0, 5.2, 5.7, 8.5 ms for the covariance
# product at (4, 8192, 1000), and 13.9, 14.5, 15.9, 20.2 for a step of `simple` at (64, 1024, 50) (torch 2.13, one
# thread, float32, lowest of four interleaved rounds); jax took 4.9 with 8 and 5.9 with 16 for the covariance product at
# the latter. The largest relative error of a marginal above 1e-6 was 4.4e-5, 3.4e-5, 3.3e-5, 1.0e-5, over 1,000 laws of
# logits spread evenly over 100 to 30,000 at n = 512.
_BLOCK = 8
# Up to so many items there are coefficients alone: at (64, 10, 5) a step took 1.46 ms, with blocks of 8 and roots 1.65.
_ALONE = 16
# Before all the roots come fewer, while they are fewer by this factor: nowhere at (64, 1024, 50), up to 64 items at
# (4, 8192, 1000), up to 128 at (1, 100000, 10000). There the covariance product took 3.1 to 3.3 times as long without
# a stage, 1.07 times with one, 1.03 times with stages a half of each other, as with stages a quarter of each other;
# at (4, 8192, 1000), where the latter is one stage, 1.5 to 1.7 times as long without it, and as long with halves (torch
# 2.13, one thread, float32, lowest of 40 interleaved rounds, two runs).
_FEWER = 2.4


class Shape(NamedTuple):
    """A level's shape: items of a node, N (0 for coefficients), nodes (even), and how many of them are no padding."""

    size: int
    unity: int
    nodes: int
    real: int


def _stages(block: int, enough: int) -> list[int]:
    """Returns sizes of nodes up to which few roots tell all counts apart, a quarter of each other, the largest last."""
    end = block
    while _FEWER * (2 * end + 1) <= enough:
        end *= 2
    return sorted(itertools.takewhile(lambda size: size > block, (end >> 2 * i for i in itertools.count())))


@cache
def shapes(dtype: str, n: int, k: int) -> tuple[Shape, ...]:
    """Returns the shapes of the levels for 0 < k <= n/2, from the items to the root's two children."""
    enough = roots.enough(dtype, n, k)
    block = _BLOCK if n > _ALONE else 1 << (n - 1).bit_length()
    ends = [block, *_stages(block, enough)]
    found, size, real, nodes = [], 1, n, n + -n % ends[-1]
    while nodes > 1:
        nodes += nodes % 2
        stage = [end for end in ends if size < end]
        found.append(Shape(size, 0 if size < block else stage[0] + 1 if stage else enough, nodes, real))
        size, nodes = 2 * size, nodes // 2
        real = nodes
    return tuple(found)
