"""Log-partition, log-probability, entropy and KL divergence of the k-subset distribution."""

from __future__ import annotations

import math

from ..ops import Array, Ops, compiled
from .checks import check_items, check_static, valid_rows
from .moments import marginals
from .product_tree import count_probability, grow, inclusions
from .tilting import Tilted, log_likelier, tilt


@compiled
def log_partition(ops: Ops, theta: Array, k: int) -> Array:
    """Returns A(θ) = log Σ_{|z|=k} exp(θ·z).

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: static, 0 <= k <= n.

    Returns:
      `[...]`. Adding c to a row of theta adds k·c. O(n √k) work at most, depth O(log n).

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: Ahmed et al. 2023, Proposition 1 and Algorithm 1 (A = log P(Σz = k) + Σ softplus(θ)).
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    if k in (0, n):
        total = xp.sum(theta, axis=-1) if k == n else xp.zeros_like(theta[..., 0])
        return xp.where(valid_rows(ops, theta, k), total, xp.nan)
    tilted = tilt(ops, theta, k)
    # A(θ) = log P(Σ = k) + Σ softplus(x) − k·t with x = θ + t, and softplus(x) = max(x, 0) − log σ(|x|). The terms
    # Σ max(x, 0) − k·t are computed as Σ θ over the m positive x, plus (m − k)·t. A huge t, such as the shift that
    # separates masked items from the others, is then multiplied by 0 and does not have to cancel.
    positive = tilted.x > 0
    excess = xp.sum(xp.astype(positive, theta.dtype), axis=-1) - k
    largest = xp.sum(xp.where(positive, theta, 0.0), axis=-1) + excess * tilted.t[..., 0]
    return largest - xp.sum(log_likelier(ops, tilted), axis=-1) + _log_total(ops, tilted, k)


@compiled
def log_prob(ops: Ops, theta: Array, k: int, z: Array) -> Array:
    """Returns log p(z) = θ·z − A(θ).

    Args:
      theta: `[..., n]` logits.
      k: static, 0 <= k <= n.
      z: `[..., n]` k-hot, possibly with more leading axes than theta; broadcasts against it.

    Returns:
      The broadcast shape without the last axis. It is -inf for a z that chooses an item with logit -inf, or that is not
      k-hot.

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    check_items(ops, "z", z, n)
    chosen = z > 0.5
    in_support = xp.all((z == 0) | (z == 1), axis=-1) & (xp.sum(z, axis=-1) == k)
    if k in (0, n):
        log_p = xp.sum(xp.zeros_like(theta * z), axis=-1)
        log_p = xp.where(valid_rows(ops, theta, k), log_p, xp.nan)
    else:
        tilted = tilt(ops, theta, k)
        # The sum of log σ(x) over the chosen items and log σ(−x) over the others. Each term is log σ(|x|), minus |x|
        # where the less likely outcome happened. All terms have the same sign; in Σ x − Σ softplus(x) large terms
        # would cancel.
        positive = tilted.x > 0
        distance = xp.where(positive, tilted.x, -tilted.x)
        likelier = log_likelier(ops, tilted)
        log_p = xp.sum(likelier - xp.where(chosen == positive, 0.0, distance), axis=-1) - _log_total(ops, tilted, k)
    return xp.where(in_support | xp.isnan(log_p), log_p, -xp.inf)


@compiled
def entropy(ops: Ops, theta: Array, k: int) -> Array:
    """Returns the entropy −E[log p(z)], in nats.

    Args:
      theta: `[..., n]` logits.
      k: static, 0 <= k <= n.

    Returns:
      `[...]` in [0, log C(n, k)]. O(n √k) work at most, depth O(log n).

    Raises:
      TypeError, ValueError: wrong dtype or shape, or k outside [0, n].

    Source: H = A − θ·μ for an exponential family, arranged without cancellation as log P(Σ = k) + Σ [softplus(x) − x μ]
    with x the tilted logits. It replaces Algorithm 4 of the paper, whose indices are wrong as printed.
    """
    xp = ops.xp
    n = check_static(ops, theta, k)
    if k in (0, n):
        return 0.0 * xp.sum(marginals(ops, theta, k), axis=-1)
    tilted = tilt(ops, theta, k)
    tree = grow(ops, tilted, k)
    included, excluded = inclusions(ops, tree)
    x = tilted.x
    # softplus(x) − x μ = −log σ(|x|) + |x| P, with P the probability of the less likely outcome: μ where x < 0, and
    # 1 − μ where x > 0. All terms are >= 0. 1 − μ is the computed probability of exclusion, since the rounding error of
    # a subtraction would be multiplied by |x|.
    positive = x > 0
    unlikely = xp.where(positive, excluded, included)
    distance = xp.where(unlikely > 0, xp.where(positive, x, -x), 0.0)  # |x|, which may be infinite where P = 0
    terms = distance * unlikely - log_likelier(ops, tilted)
    return xp.log(count_probability(ops, tree)) + xp.sum(terms, axis=-1)


@compiled
def kl_to_uniform(ops: Ops, theta: Array, k: int) -> Array:
    """Returns KL(p ‖ uniform law over the C(n, k) subsets) = log C(n, k) − H, in nats.

    Arguments, shape, cost and errors as in `entropy`.
    """
    n = check_static(ops, theta, k)
    log_count = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return log_count - entropy(ops, theta, k)


def _log_total(ops: Ops, tilted: Tilted, k: int) -> Array:
    """Returns `[...]` log P(Σ = k) for independent Bernoulli items with the tilted logits."""
    return ops.xp.log(count_probability(ops, grow(ops, tilted, k)))
