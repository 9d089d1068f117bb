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
# Up to so many items there are coefficients alone: at (64, 16, 8) a sample and a covariance product took 1.30 ms, with
# blocks of 8 and roots 1.49 (as above).
_ALONE = 16
# Before all the roots come fewer, while they are fewer by this factor: up to nodes of 16 items at (64, 1024, 50), of 16
# and 64 at (4, 8192, 1000), of 32 and 128 at (1, 100000, 10000). Without them the covariance product took 1.1 to 1.6,
# 2.0 to 3.4, 4.5 to 4.6 times as long; with the last one alone 1.06 to 1.08 times at the second size and 1.22 to 1.28
# at the third, with stages a half of each other 1.04 to 1.07 at both; with a factor of 1.5 1.03 to 1.15 at all three,
# of 3.5 1.1 to 1.6, .96 and 1 times (torch 2.13, one thread, float32, lowest of 40 interleaved rounds, two runs).
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
