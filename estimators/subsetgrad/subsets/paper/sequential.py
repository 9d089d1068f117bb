"""Algorithms 1 and 2: an item at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ...ops import Array, Ops, index_dtype
from ..checks import check_static, valid_rows
from ..product_tree import items_first, items_last
from .shared import gradient, sampled


def sequential_log_partition(ops: Ops, theta: Array, k: int) -> Array:
    """Returns A(θ) by Algorithm 1, an item at a time.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[...]`; NaN in invalid rows. O(nk) work, n sequential steps; differentiable in both modes, to any order.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 1 (PrExactlyk), in logits: ℓ_i(j) = logaddexp(ℓ_{i−1}(j), ℓ_{i−1}(j−1) + θ_i).
    It reads a[·, −1], which print leaves open; it is 0.
    """
    check_static(ops, theta, k)
    law, _ = _prefix(ops, theta, k)
    return ops.xp.where(valid_rows(ops, theta, k), law[..., k], ops.xp.nan)


def sequential_marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities `[..., n]`: reverse mode through Algorithm 1; arguments and errors as there.

    O(nk) work and memory, 2n sequential steps. Differentiable in turn, in both modes.

    Source: Ahmed et al. 2023, Theorem 1 (Eq. 10 of its appendix), μ = ∇A.
    """
    return gradient(ops, sequential_log_partition, theta, k)


def sequential_sample(ops: Ops, theta: Array, k: int, uniforms: Array) -> Array:
    """Returns exact samples by Algorithm 2, deciding items from the last to the first.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.
      uniforms: `[S, ..., n]` on [0, 1), or with any leading axes that broadcast against theta; one an item.

    Returns:
      `[S, ..., n]` of 0 and 1, each row with exactly k ones; NaN in invalid rows. No gradient. One table of O(nk) for
      all samples, 2n sequential steps.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Algorithm 2 (Sample): z_i ~ Bernoulli(exp(θ_i + ℓ_{i−1}(j−1) − ℓ_i(j))). Print appends
    z_n first and so returns z reversed; here z is in the order of the items.
    """
    xp = ops.xp
    theta, shape = sampled(ops, theta, k, uniforms)
    log_chosen, _ = conditionals(ops, theta, k)
    moved = items_first(ops, xp.broadcast_to(uniforms, shape))
    left = xp.astype(xp.full_like(moved[0], float(k)), index_dtype(ops))
    _, (chosen,) = ops.scan(_sample_step(ops), left, (xp.exp(log_chosen), moved), reverse=True)
    z = xp.astype(items_last(ops, chosen), theta.dtype)
    return xp.where(valid_rows(ops, theta, k)[..., None], z, xp.nan)


def conditionals(ops: Ops, theta: Array, k: int) -> tuple[Array, Array]:
    """Returns log P(z_i = 1 | Σ_{m<=i} z_m = j) and log P(z_i = 0 | …), `[n, ..., k+1]` each; -inf if Σ cannot be j."""
    xp = ops.xp
    before = _prefix(ops, theta, k)[1]
    chosen = items_first(ops, theta)[..., None] + _up(ops, before)
    whole = _log_add(ops, before, chosen)
    possible = whole > -xp.inf
    whole = xp.where(possible, whole, 0.0)
    return xp.where(possible, chosen - whole, -xp.inf), xp.where(possible, before - whole, -xp.inf)


def _prefix(ops: Ops, theta: Array, k: int) -> tuple[Array, Array]:
    """Returns log e_j `[..., k+1]` of all items, and `[n, ..., k+1]` of those before each."""
    xp = ops.xp
    empty = xp.zeros_like(theta[..., :1])
    start = xp.concat([empty, xp.broadcast_to(empty - xp.inf, (*theta.shape[:-1], k))], axis=-1)
    law, (before,) = ops.scan(_prefix_step(ops), start, (items_first(ops, theta)[..., None],))
    return law, before


# One function object an Ops: outside jit, jax compiles a scan anew for every new body.
@cache
def _prefix_step(ops: Ops) -> Callable[..., tuple[Array, tuple[Array]]]:
    def step(law: Array, item: tuple[Array]) -> tuple[Array, tuple[Array]]:
        """Takes one item more into the law of the count."""
        return _log_add(ops, law, item[0] + _up(ops, law)), (law,)

    return step


@cache
def _sample_step(ops: Ops) -> Callable[..., tuple[Array, tuple[Array]]]:
    xp = ops.xp

    def step(left: Array, item: tuple[Array, Array]) -> tuple[Array, tuple[Array]]:
        """Decides one item; `left` [S, ...] is how many are still to be chosen."""
        chances, uniform = item
        chances = xp.broadcast_to(chances, (*left.shape, chances.shape[-1]))
        # The chance is exactly 0 with none left to choose, and exactly 1 with no item to spare: always k in the end.
        chosen = uniform < xp.take_along_axis(chances, left[..., None], axis=-1)[..., 0]
        return left - xp.astype(chosen, left.dtype), (chosen,)

    return step


def _up(ops: Ops, law: Array) -> Array:
    """Returns `[..., k+1]` moved up by one: the law of the count with one item more, of logit 0."""
    return ops.xp.concat([ops.xp.full_like(law[..., :1], -ops.xp.inf), law[..., :-1]], axis=-1)


def _log_add(ops: Ops, a: Array, b: Array) -> Array:
    """Returns log(e^a + e^b), with derivatives right at -inf to any order."""
    # Not xp.logaddexp behind a mask: its second derivative is NaN where one of the two is -inf, in torch.
    xp = ops.xp
    peak = ops.stop_gradient(xp.maximum(a, b))
    peak = xp.where(xp.isfinite(peak), peak, 0.0)
    total = xp.exp(a - peak) + xp.exp(b - peak)
    empty = total == 0
    return xp.where(empty, -xp.inf, peak + xp.log(xp.where(empty, 1.0, total)))
