"""Algorithms 1 and 2, which go through the items one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...ops import Array, Ops, index_dtype
from ..checks import check_static, valid_rows
from ..product_tree import items_first, items_last
from .shared import gradient, sampled


def sequential_log_partition(ops: Ops, theta: Array, k: int) -> Array:
    """Returns A(θ) by Algorithm 1, item by item.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[...]`; NaN in invalid rows. O(nk) work, n sequential steps; differentiable in both modes, to any order.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 1 (PrExactlyk), in logits: ℓ_i(j) = logaddexp(ℓ_{i−1}(j), ℓ_{i−1}(j−1) + θ_i).
    """
    check_static(ops, theta, k)
    law, _ = _prefix(ops, theta, k)
    return ops.xp.where(valid_rows(ops, theta, k), law[..., k], ops.xp.nan)


def sequential_marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities `[..., n]`, by reverse mode through Algorithm 1.

    Arguments and errors as in `sequential_log_partition`. O(nk) work and memory, 2n sequential steps. Differentiable in
    both modes.

    Source: Ahmed et al. 2023, Theorem 1 (Eq. 10 of its appendix), μ = ∇A.
    """
    return gradient(ops, sequential_log_partition, theta, k)


def sequential_sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns exact samples by Algorithm 2, which decides the items from the last to the first.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.
      uniforms: `[S, ..., n]` on [0, 1), one for each item, or with any leading axes that broadcast against theta.

    Returns:
      `[S, ..., n]` of 0 and 1, each row with exactly k ones; NaN in invalid rows. It has no gradient. All samples share
      one table of O(nk) entries; 2n sequential steps.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 2 (Sample): z_i ~ Bernoulli(exp(θ_i + ℓ_{i−1}(j−1) − ℓ_i(j))).
    """
    xp = ops.xp
    theta, shape = sampled(ops, theta, k, uniforms)
    log_chosen, _ = conditionals(ops, theta, k)
    by_item = items_first(ops, xp.broadcast_to(uniforms, shape))
    left = xp.astype(xp.full_like(by_item[0], float(k)), index_dtype(ops))
    _, (chosen,) = ops.scan(_sample_step(ops), left, (xp.exp(log_chosen), by_item), reverse=True)
    z = xp.astype(items_last(ops, chosen), theta.dtype)
    return xp.where(valid_rows(ops, theta, k)[..., None], z, xp.nan)


def conditionals(ops: Ops, theta: Array, k: int) -> tuple[Array, Array]:
    """Returns log P(z_i = 1 | Σ_{m<=i} z_m = j) and log P(z_i = 0 | Σ_{m<=i} z_m = j), `[n, ..., k+1]` each.

    Both are -inf where the sum cannot be j.
    """
    xp = ops.xp
    before = _prefix(ops, theta, k)[1]
    chosen = items_first(ops, theta)[..., None] + _up(ops, before)
    total = _log_add(ops, before, chosen)
    possible = total > -xp.inf
    total = xp.where(possible, total, 0.0)
    return xp.where(possible, chosen - total, -xp.inf), xp.where(possible, before - total, -xp.inf)


def _prefix(ops: Ops, theta: Array, k: int) -> tuple[Array, Array]:
    """Returns log e_j of all items, `[..., k+1]`, and of the items before each item, `[n, ..., k+1]`.

    e_j is the sum of exp(θ·z) over the subsets z of j items.
    """
    xp = ops.xp
    empty = xp.zeros_like(theta[..., :1])
    start = xp.concat([empty, xp.broadcast_to(empty - xp.inf, (*theta.shape[:-1], k))], axis=-1)
    law, (before,) = ops.scan(_prefix_step(ops), start, (items_first(ops, theta)[..., None],))
    return law, before


# Cached, so that each Ops has one step function: outside jit, jax compiles a scan again for every new function object.
@cache
def _prefix_step(ops: Ops) -> Callable[..., tuple[Array, tuple[Array]]]:
    def step(law: Array, item: tuple[Array]) -> tuple[Array, tuple[Array]]:
        """Adds one item to the table of log e_j."""
        return _log_add(ops, law, item[0] + _up(ops, law)), (law,)

    return step


@cache
def _sample_step(ops: Ops) -> Callable[..., tuple[Array, tuple[Array]]]:
    xp = ops.xp

    def step(left: Array, item: tuple[Array, Array]) -> tuple[Array, tuple[Array]]:
        """Decides one item; `left [S, ...]` is the number of items that are still to be chosen."""
        probabilities, uniform = item
        probabilities = xp.broadcast_to(probabilities, (*left.shape, probabilities.shape[-1]))
        # The probability is exactly 0 if no item is left to choose, and exactly 1 if all remaining ones must be chosen.
        # Every sample therefore has exactly k items.
        chosen = uniform < xp.take_along_axis(probabilities, left[..., None], axis=-1)[..., 0]
        return left - xp.astype(chosen, left.dtype), (chosen,)

    return step


def _up(ops: Ops, law: Array) -> Array:
    """Returns the table `[..., k+1]` of log e_j moved from j to j + 1, as if an item with logit 0 had been chosen."""
    return ops.xp.concat([ops.xp.full_like(law[..., :1], -ops.xp.inf), law[..., :-1]], axis=-1)


def _log_add(ops: Ops, a: Array, b: Array) -> Array:
    """Returns log(e^a + e^b), with correct derivatives of any order at -inf."""
    # A masked xp.logaddexp would not do: in torch its second derivative is NaN where one of the two is -inf.
    xp = ops.xp
    peak = ops.stop_gradient(xp.maximum(a, b))
    peak = xp.where(xp.isfinite(peak), peak, 0.0)
    total = xp.exp(a - peak) + xp.exp(b - peak)
    empty = total == 0
    return xp.where(empty, -xp.inf, peak + xp.log(xp.where(empty, 1.0, total)))
