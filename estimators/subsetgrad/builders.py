"""Builders of `Estimator.estimate` from the parts that an author writes: a sample and a rule.

`pathwise` takes a sample and a rule from ∇f at it to a gradient, `relaxed` a differentiable sample, and
`score_function` a rule from values of f. Other estimates are plain functions; see `Estimator.estimate`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .base import Estimate
from .draws import Objective
from .ops import Array, Ops


@dataclass(frozen=True)
class Pathwise:
    """An estimate that goes through samples, usable with a known f and as the backward pass of a layer.

    Attributes:
      sample: `(ops, theta, draws, *, k, **params) -> [S, B, n]`.
      rule: `(ops, theta, z, g [S, B, n], draws, *, k, state, **params) -> (gradient [B, n], state)`. g is the gradient
        of f at each sample, not divided by S; the returned gradient is a mean over samples. If rule is None, the
        gradient comes from backpropagation through `sample`.
    """

    sample: Callable[..., Array]
    rule: Callable[..., tuple[Array, Any]] | None

    def __call__(
        self, ops: Ops, theta: Array, draws: Mapping[str, Array], f: Objective, *, k: int, state: Any, **params: Any
    ) -> Estimate:
        """Returns the estimate; see `Estimator.estimate`."""
        xp = ops.xp
        if self.rule is None:

            def mean_loss(logits: Array) -> tuple[Array, Array]:
                y = self.sample(ops, logits, draws, k=k, **params)
                return xp.sum(f(y)) / y.shape[0], y

            (_, points), gradient = ops.value_and_grad(mean_loss, has_aux=True)(theta)
        else:
            points = self.sample(ops, theta, draws, k=k, **params)
            g = gradient_at(ops, f, points)
            gradient, state = self.rule(ops, theta, points, g, draws, k=k, state=state, **params)
        return Estimate(points, uniform_weights(ops, points), gradient, state)


def pathwise(sample: Callable[..., Array], rule: Callable[..., Array]) -> Pathwise:
    """Returns the estimate of a rule without state that maps samples and the gradient of f at them to a gradient.

    Args:
      sample: `(ops, theta, draws, *, k, **params) -> [S, B, n]`.
      rule: `(ops, theta, z, g, draws, *, k, **params) -> [B, n]`; g is described in `Pathwise`.
    """

    def stateless(*args: Any, state: Any, **kwargs: Any) -> tuple[Array, Any]:
        return rule(*args, **kwargs), state

    return Pathwise(sample, stateless)


def relaxed(sample: Callable[..., Array]) -> Pathwise:
    """Returns the estimate that backpropagates through a differentiable `sample`."""
    return Pathwise(sample, None)


def score_function(rule: Callable[..., Array]) -> Callable[..., Estimate]:
    """Returns the estimate of a rule that uses only the values of f at the draw named `z`.

    Args:
      rule: `(ops, theta, z [S, B, n], v [S, B], *, k, **params) -> [B, n]`, with v = f(z).
    """

    def estimate(
        ops: Ops, theta: Array, draws: Mapping[str, Array], f: Objective, *, k: int, state: Any, **params: Any
    ) -> Estimate:
        z = draws["z"]
        gradient = rule(ops, theta, z, ops.stop_gradient(f(z)), k=k, **params)
        return Estimate(z, uniform_weights(ops, z), gradient, state)

    return estimate


def gradient_at(ops: Ops, f: Objective, points: Array) -> Array:
    """Returns ∇f at each point, `[S, B, n]`.

    One gradient of the sum over all points gives them all, since samples and rows of f are independent.
    """
    return ops.value_and_grad(lambda z: ops.xp.sum(f(z)))(ops.stop_gradient(points))[1]


def uniform_weights(ops: Ops, points: Array) -> Array:
    """Returns the weights `[S, B]` of a plain mean, 1/S each."""
    return ops.xp.full_like(points[..., 0], 1 / points.shape[0])


def perturbed_top_k(ops: Ops, theta: Array, draws: Mapping[str, Array], *, k: int, **_: Any) -> Array:
    """Returns top_k(theta + noise), the forward sample of an estimator that declares one additive draw `noise`."""
    return ops.top_k_mask(theta + draws["noise"], k)


def sample_z(ops: Ops, theta: Array, draws: Mapping[str, Array], **_: Any) -> Array:
    """Returns the draw named `z`, the forward sample of an estimator that declares an exact sample."""
    del ops, theta
    return draws["z"]
