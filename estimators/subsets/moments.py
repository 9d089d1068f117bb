"""First and second moments of the k-subset distribution."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..ops import Array, Ops
from .checks import check_static, valid_rows
from .tables import Tables, included, items_first, items_last, joint, shift, tables


def marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities E[z] of the k-subset distribution.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[..., n]` in [0, 1], summing to k. O(nk) work and memory, n sequential steps.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Theorem 1, as a sum of products of prefix and suffix probabilities.
    """
    n = check_static(ops, theta, k)
    if k in (0, n):
        return _degenerate(ops, theta, k, float(k == n))
    return included(ops, tables(ops, theta, k), k)


def covariance_product(ops: Ops, theta: Array, k: int, v: Array) -> Array:
    """Returns Cov(z)·v, the product of the marginals' Jacobian with v.

    The Jacobian ∂μ/∂θ = Cov(z) is symmetric, so this is both the JVP and the VJP of `marginals` (Domke 2010).

    Args:
      theta: `[..., n]` logits.
      k: static, 0 <= k <= n.
      v: `[..., n]` or with more leading axes; broadcasts against theta.

    Returns:
      The broadcast shape of theta and v; sums to 0 over items, 0 for constant v. O(nk) work and memory.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Eq. 8; Cov(z) v = E[z (v·z)] with v centred so that E[v·z] = 0, no subtraction of
    large terms.
    """
    n = check_static(ops, theta, k)
    if v.ndim == 0 or v.shape[-1] != n:
        raise ValueError(f"v has shape {tuple(v.shape)}; its last axis holds the n={n} items of theta")
    if k in (0, n):
        return _degenerate(ops, theta, k, 0.0) * v
    axes = max(theta.ndim, v.ndim)
    theta, v = _lead(ops, theta, axes), _lead(ops, v, axes)
    t = tables(ops, theta, k)
    mu = included(ops, t, k)
    centred = v - ops.xp.sum(mu * v, axis=-1, keepdims=True) / k
    return _weighted(ops, t, k, centred) - mu * ops.xp.sum(mu * centred, axis=-1, keepdims=True)


def second_order_inclusions(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the probabilities E[z_i z_j] that two items are both chosen, the marginals on the diagonal.

    Args:
      theta: `[..., n]` logits.
      k: static, 0 <= k <= n.

    Returns:
      `[..., n, n]`, symmetric, each row i summing to k·μ_i. O(n²k) work and memory.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    if k in (0, n):
        row = _degenerate(ops, theta, k, float(k == n))
        return row[..., :, None] * row[..., None, :]
    basis = _lead(ops, ops.asarray(xp.eye(n)), theta.ndim + 1)
    return _weighted(ops, tables(ops, theta[..., None, :], k), k, basis)


def _lead(ops: Ops, array: Array, axes: int) -> Array:
    """Returns `array` with leading axes of length 1, `axes` in all: moving the items first keeps rows aligned."""
    return ops.xp.reshape(array, (1,) * (axes - array.ndim) + tuple(array.shape))


def _weighted(ops: Ops, t: Tables, k: int, v: Array) -> Array:
    """Returns `[..., n]` E[z_i (v·z)]: all terms of one sign where v is, so no cancellation."""
    weight = items_first(ops, v)
    before_bar = _tangent(ops, t.p, t.q, t.before, weight)
    after_bar = _tangent(ops, t.p, t.q, t.after, weight, reverse=True)
    sums = (
        joint(ops, before_bar, t.after, k)
        + joint(ops, t.before, after_bar, k)
        + weight[..., 0] * joint(ops, t.before, t.after, k)
    )
    return items_last(ops, t.p[..., 0] * sums) / t.total


def _tangent(ops: Ops, p: Array, q: Array, counts: Array, weight: Array, *, reverse: bool = False) -> Array:
    """Returns `[n, ..., k+1]` E[(v·z over the items before i) 1(their sum = j)], from `counts` = P(sum = j)."""
    first = ops.xp.zeros_like(counts[0] * weight[0])
    return ops.scan(_step(ops), first, (p, q, counts, weight), reverse=reverse)[1][0]


@cache
def _step(ops: Ops) -> Callable[..., tuple[Array, tuple[Array]]]:  # cached as that of the tables
    def step(carry: Array, item: tuple[Array, ...]) -> tuple[Array, tuple[Array]]:
        """Takes one item more into the law of the count, weighted by the sum of the v of the chosen."""
        p_item, q_item, counts, weight = item
        return q_item * carry + p_item * shift(ops, carry + weight * counts), (carry,)

    return step


def _degenerate(ops: Ops, theta: Array, k: int, value: float) -> Array:
    """Returns `value` everywhere, NaN in invalid rows: the case k = 0 or k = n."""
    valid = valid_rows(ops, theta, k)[..., None]
    return ops.xp.where(valid, ops.xp.full_like(theta, value), ops.xp.nan)
