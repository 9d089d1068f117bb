"""Algorithm 4, the entropy: right, as printed, and as run in the authors' DVAE code.

The two wrong ones are here to reproduce and to explain published numbers, for nothing else. With p_i(j) = P(z_i = 1 |
Σ_{m<=i} z_m = j) the entropy is that of the last choice and the mean of those before it (the paper's Proposition 3),

    h_i(j) = H_b(p_i(j)) + p_i(j) h_{i−1}(j−1) + (1 − p_i(j)) h_{i−1}(j),    h_0 = 0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...ops import Array, Ops
from ..checks import check_static, valid_rows
from .sequential import conditionals

Step = Callable[..., tuple[Array, tuple[()]]]


def sequential_entropy(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the entropy −E[log p(z)], in nats, by Algorithm 4 put right: all items, and the neighbours that exist.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[...]` in [0, log C(n, k)]; NaN in invalid rows. O(nk) work, 2n sequential steps; differentiable.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Proposition 3 and its proof; Algorithm 4 with i from 1, h[i−1, j−1] after a chosen item
    and h[i−1, j] after one left out. `subsets.entropy` needs no recursion: H = A − θ·μ.
    """
    return _recursion(ops, theta, k, _step(ops), first=1)


def entropy_as_in_dvae(ops: Ops, theta: Array, k: int) -> Array:
    """Returns what the authors' DVAE code takes for the entropy: the right recursion, begun at item k.

    It drops the entropy of z_1 … z_{k−1} given the rest. For k <= 2 there is none: the value is right. For k >= 3 it is
    too low (not where the first k − 1 items are certain given the rest, k = n for one): uniform logits, n = 20 and
    k = 10 give 7.507 in place of 12.127 nats, so that its KL, and the ELBO of its latent of 20 such groups, is 92 nats
    off. Arguments, shapes and errors as `sequential_entropy`.

    Source: `for i in range(10, n + 1)` over an h that begins as 0, with k = 10, in the DVAE notebook beside the paper.
    """
    return _recursion(ops, theta, k, _step(ops), first=k)


def entropy_as_printed(ops: Ops, theta: Array, k: int) -> Array:
    """Returns h[n, k] of Algorithm 4 as printed: begun at item k, with the wrong neighbours.

    Print reads h[i−1, j] after a chosen item and h[i−1, j+1] after one left out. The value is too
    low or too high for every k but 0 and n, where it is 0 as it should be (and right by chance for n = 2, k = 1).
    Print's h of n × k entries has no room for h[n, k], nor for h[i−1, k+1]: the one is given it here, the other is 0,
    as is a[i−1, −1].
    Arguments, shapes and errors as `sequential_entropy`.

    Source: Ahmed et al. 2023, Algorithm 4.
    """
    return _recursion(ops, theta, k, _printed_step(ops), first=k)


def _recursion(ops: Ops, theta: Array, k: int, step: Step, *, first: int) -> Array:
    """Returns h_n(k), taking in the items from number `first` on, the first being 1."""
    check_static(ops, theta, k)
    log_chosen, log_missed = (log_p[max(first, 1) - 1 :] for log_p in conditionals(ops, theta, k))
    entropy = _surprise(ops, log_chosen) + _surprise(ops, log_missed)
    xs = (entropy, ops.xp.exp(log_chosen), ops.xp.exp(log_missed))
    h, _ = ops.scan(step, ops.xp.zeros_like(entropy[0]), xs)
    return ops.xp.where(valid_rows(ops, theta, k), h[..., k], ops.xp.nan)


def _surprise(ops: Ops, log_p: Array) -> Array:
    """Returns −p log p, 0 with derivative 0 at p = 0."""
    return -ops.xp.exp(log_p) * ops.xp.where(log_p > -ops.xp.inf, log_p, 0.0)


@cache
def _step(ops: Ops) -> Step:
    def step(h: Array, item: tuple[Array, Array, Array]) -> tuple[Array, tuple[()]]:
        """Takes in one item: one less to choose before it if it is chosen, as many if not."""
        entropy, chosen, missed = item
        one_less = ops.xp.concat([ops.xp.zeros_like(h[..., :1]), h[..., :-1]], axis=-1)
        return entropy + chosen * one_less + missed * h, ()

    return step


@cache
def _printed_step(ops: Ops) -> Step:
    def step(h: Array, item: tuple[Array, Array, Array]) -> tuple[Array, tuple[()]]:
        """Takes in one item as print has it: as many to choose before it if it is chosen, one more if not."""
        entropy, chosen, missed = item
        one_more = ops.xp.concat([h[..., 1:], ops.xp.zeros_like(h[..., :1])], axis=-1)
        return entropy + chosen * h + missed * one_more, ()

    return step
