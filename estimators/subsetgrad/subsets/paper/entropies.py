"""Algorithm 4, the entropy, in three forms: corrected, as printed, and as in the authors' DVAE code.

The last two are wrong. They are here to reproduce and to explain published numbers only. With p_i(j) = P(z_i = 1 |
Σ_{m<=i} z_m = j), the entropy is that of the last choice plus the mean entropy of the earlier ones (Proposition 3),

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
    """Returns the entropy −E[log p(z)], in nats, by the corrected Algorithm 4.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[...]` in [0, log C(n, k)]; NaN in invalid rows. O(nk) work, 2n sequential steps; differentiable.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Proposition 3 and its proof. Compared with the printed Algorithm 4, i starts at 1, a
    chosen item is followed by h[i−1, j−1], and an item that is left out by h[i−1, j]. `subsets.entropy` needs no
    recursion.
    """
    return _recursion(ops, theta, k, _step(ops), first=1)


def entropy_as_in_dvae(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the entropy as the authors' DVAE code computes it: the correct recursion, but started at item k.

    This leaves out the entropy of z_1 … z_{k−1} given the other items. There is none for k <= 2, where the value is
    right. For k >= 3 it is too low, unless the first k − 1 items are certain given the others, as for k = n. For the
    latent variables of that code, 20 groups with n = 20 and k = 10, the ELBO at uniform logits is wrong by 92 nats.
    Arguments, shapes and errors as in `sequential_entropy`.

    Source: the authors' DVAE notebook, which runs `for i in range(10, n + 1)` over an h that starts as 0, with k = 10.
    """
    return _recursion(ops, theta, k, _step(ops), first=k)


def entropy_as_printed(ops: Ops, theta: Array, k: int) -> Array:
    """Returns h[n, k] of Algorithm 4 as printed: started at item k, and with the wrong indices.

    A chosen item is followed by h[i−1, j], and an item that is left out by h[i−1, j+1]. The value is right for k = 0
    and k = n, where it is 0, and by chance for n = 2, k = 1; elsewhere it is too low or too high. The printed h has n ×
    k entries and neither h[n, k] nor h[i−1, k+1]. Here the first is added, and the second is 0, as is a[i−1, −1].
    Arguments, shapes and errors as in `sequential_entropy`.

    Source: Ahmed et al. 2023, Algorithm 4.
    """
    return _recursion(ops, theta, k, _printed_step(ops), first=k)


def _recursion(ops: Ops, theta: Array, k: int, step: Step, *, first: int) -> Array:
    """Returns h_n(k) of the recursion that starts at item `first`, counted from 1."""
    check_static(ops, theta, k)
    log_chosen, log_missed = (log_p[max(first, 1) - 1 :] for log_p in conditionals(ops, theta, k))
    entropy = _surprise(ops, log_chosen) + _surprise(ops, log_missed)
    xs = (entropy, ops.xp.exp(log_chosen), ops.xp.exp(log_missed))
    h, _ = ops.scan(step, ops.xp.zeros_like(entropy[0]), xs)
    return ops.xp.where(valid_rows(ops, theta, k), h[..., k], ops.xp.nan)


def _surprise(ops: Ops, log_p: Array) -> Array:
    """Returns −p log p; at p = 0 it is 0, with derivative 0."""
    return -ops.xp.exp(log_p) * ops.xp.where(log_p > -ops.xp.inf, log_p, 0.0)


@cache
def _step(ops: Ops) -> Step:
    def step(h: Array, item: tuple[Array, Array, Array]) -> tuple[Array, tuple[()]]:
        """Adds one item: if it is chosen, one item less is chosen before it; if not, as many."""
        entropy, chosen, missed = item
        one_less = ops.xp.concat([ops.xp.zeros_like(h[..., :1]), h[..., :-1]], axis=-1)
        return entropy + chosen * one_less + missed * h, ()

    return step


@cache
def _printed_step(ops: Ops) -> Step:
    def step(h: Array, item: tuple[Array, Array, Array]) -> tuple[Array, tuple[()]]:
        """Adds one item as printed: if it is chosen, as many items are chosen before it; if not, one more."""
        entropy, chosen, missed = item
        one_more = ops.xp.concat([h[..., 1:], ops.xp.zeros_like(h[..., :1])], axis=-1)
        return entropy + chosen * h + missed * one_more, ()

    return step
