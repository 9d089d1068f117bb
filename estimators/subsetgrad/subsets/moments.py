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
      `[..., n]` in [0, 1], with sum k up to rounding. O(n √k) work at most, depth O(log n).

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Theorem 1; computed by the product tree (`product_tree`), or from the weights of all
    subsets where these are few (`few`).
    """
    n = check_static(ops, theta, k)
    if k in (0, n):
        return _degenerate(ops, theta, k, float(k == n))
    if few.are_few(n, k):
        return few.marginals(ops, theta, k)
    return inclusions(ops, grow(ops, tilt(ops, theta, k), k))[0]


@compiled
def covariance_product(ops: Ops, theta: Array, k: int, v: Array) -> Array:
    """Returns Cov(z)·v, the product of the Jacobian of the marginals with v.

    The Jacobian ∂μ/∂θ = Cov(z) is symmetric, so this is both the JVP and the VJP of `marginals` (Domke 2010).

    Args:
      theta: `[..., n]` logits.
      k: static, 0 <= k <= n.
      v: `[..., n]`, possibly with more leading axes than theta; broadcasts against it.

    Returns:
      The broadcast shape of theta and v. Its sum over items is 0, and it is 0 for a constant v. About 2.5 times the
      work of the marginals.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Eq. 8; Cov(z) v = E[z (v·z)] − μ E[v·z], with v centred first so that E[v·z] is nearly 0
    and no large terms are subtracted.
    """
    n = check_static(ops, theta, k)
    check_items(ops, "v", v, n)
    if k in (0, n):
        return _degenerate(ops, theta, k, 0.0) * v
    if few.are_few(n, k):
        return few.covariance_product(ops, theta, k, v)
    axes = max(theta.ndim, v.ndim)
    theta, v = _with_axes(ops, theta, axes), _with_axes(ops, v, axes)
    tilted = tilt(ops, theta, k)
    # Any estimate of E[v·z]/k will do for centring; this is its value for independent items with the tilted logits.
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
      `[..., n, n]`, symmetric; row i sums to k·μ_i. O(n²√k) work at most, and O(n²) memory for each root of unity.

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
    basis = _with_axes(ops, ops.asarray(xp.eye(n)), theta.ndim + 1)
    return _weighted(ops, tilt(ops, theta[..., None, :], k), k, basis)[1]


def _with_axes(ops: Ops, array: Array, axes: int) -> Array:
    """Returns `array` with leading axes of length 1 added, up to `axes` axes.

    Arrays with equally many axes still broadcast row by row after their items have been moved to the first axis.
    """
    return ops.xp.reshape(array, (1,) * (axes - array.ndim) + tuple(array.shape))


def _weighted(ops: Ops, tilted: Tilted, k: int, v: Array) -> tuple[Array, Array]:
    """Returns E[z_i] and E[z_i (v·z)], `[..., n]` each. If v has one sign, all terms do, and nothing cancels."""
    tree = grow(ops, tilted, k, v)
    (without, within), (_, within_dot) = outsides(ops, tree)
    included = tree.p * within
    # P(Σ = k), computed for each item separately. Numerator and denominator then share the rounding errors of the other
    # items, and these cancel in the quotient.
    total = included + tree.q * without
    product = (tree.p * within_dot + tree.weights * included) / total
    return items_last(ops, included / total), items_last(ops, product)


def _degenerate(ops: Ops, theta: Array, k: int, value: float) -> Array:
    """Returns `value` for every item, the marginal for k = 0 or k = n; NaN in invalid rows."""
    valid = valid_rows(ops, theta, k)[..., None]
    return ops.xp.where(valid, ops.xp.full_like(theta, value), ops.xp.nan)
