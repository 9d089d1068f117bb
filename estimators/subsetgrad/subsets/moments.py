"""First and second moments of the k-subset distribution."""

from __future__ import annotations

from ..ops import Array, Ops, compiled
from . import few
from .checks import check_items, check_static, valid_rows
from .product_tree import (
    grow,
    inclusions,
    items_last,
    outsides,
)
from .tilting import Tilted, tilt


@compiled
def marginals(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the inclusion probabilities E[z] of the k-subset distribution.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[..., n]` in [0, 1], summing to k, to rounding. O(n √k) work at most, depth O(log n).

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Theorem 1; computed on the tilted product tree (see `product_tree`), for few subsets by
    the weights of all (see `few`).
    """
    n = check_static(ops, theta, k)
    if k in (0, n):
        return _degenerate(ops, theta, k, float(k == n))
    if few.are_few(n, k):
        return few.marginals(ops, theta, k)
    return inclusions(ops, grow(ops, tilt(ops, theta, k), k))[0]


@compiled
def covariance_product(ops: Ops, theta: Array, k: int, v: Array) -> Array:
    """Returns Cov(z)·v, the product of the marginals' Jacobian with v.

    The Jacobian ∂μ/∂θ = Cov(z) is symmetric, so this is both the JVP and the VJP of `marginals` (Domke 2010).

    Args:
      theta: `[..., n]` logits.
      k: static, 0 <= k <= n.
      v: `[..., n]` or with more leading axes; broadcasts against theta.

    Returns:
      The broadcast shape of theta and v; sums to 0 over items, 0 for constant v. About 2.5 times the work of the
      marginals.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Eq. 8; Cov(z) v = E[z (v·z)] − μ E[v·z] with v centred so that E[v·z] is nearly 0: no
    subtraction of large terms.
    """
    n = check_static(ops, theta, k)
    check_items(ops, "v", v, n)
    if k in (0, n):
        return _degenerate(ops, theta, k, 0.0) * v
    if few.are_few(n, k):
        return few.covariance_product(ops, theta, k, v)
    axes = max(theta.ndim, v.ndim)
    theta, v = _lead(ops, theta, axes), _lead(ops, v, axes)
    tilted = tilt(ops, theta, k)
    # By any mean near E[v·z]: that of the tilted Bernoullis is at hand.
    mean = ops.xp.sum(tilted.p * v, axis=-1, keepdims=True) / ops.xp.sum(tilted.p, axis=-1, keepdims=True)
    centred = v - mean
    mu, product = _weighted(ops, tilted, k, centred)
    return product - mu * ops.xp.sum(mu * centred, axis=-1, keepdims=True)


@compiled
def second_order_inclusions(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the probabilities E[z_i z_j] that two items are both chosen, the marginals on the diagonal.

    Args:
      theta: `[..., n]` logits.
      k: static, 0 <= k <= n.

    Returns:
      `[..., n, n]`, symmetric, each row i summing to k·μ_i. O(n²√k) work, O(n²) memory a root at most.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    if k in (0, n):
        row = _degenerate(ops, theta, k, float(k == n))
        return row[..., :, None] * row[..., None, :]
    if few.are_few(n, k):
        return few.second_order_inclusions(ops, theta, k)
    basis = _lead(ops, ops.asarray(xp.eye(n)), theta.ndim + 1)
    return _weighted(ops, tilt(ops, theta[..., None, :], k), k, basis)[1]


def _lead(ops: Ops, array: Array, axes: int) -> Array:
    """Returns `array` with leading axes of length 1, `axes` in all: moving the items first keeps rows aligned."""
    return ops.xp.reshape(array, (1,) * (axes - array.ndim) + tuple(array.shape))


def _weighted(ops: Ops, tilted: Tilted, k: int, v: Array) -> tuple[Array, Array]:
    """Returns `[..., n]` E[z_i] and E[z_i (v·z)]: all terms of one sign where v is, so no cancellation."""
    tree = grow(ops, tilted, k, v)
    (without, within), (_, within_dot) = outsides(ops, tree)
    included = tree.p * within
    # Each item's own total: what rounding did to the others stands in both.
    total = included + tree.q * without
    product = (tree.p * within_dot + tree.weights * included) / total
    return items_last(ops, included / total), items_last(ops, product)


def _degenerate(ops: Ops, theta: Array, k: int, value: float) -> Array:
    """Returns `value` everywhere, NaN in invalid rows: the case k = 0 or k = n."""
    valid = valid_rows(ops, theta, k)[..., None]
    return ops.xp.where(valid, ops.xp.full_like(theta, value), ops.xp.nan)
