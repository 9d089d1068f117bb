"""The exact gradient by enumeration of all subsets, as an estimator: the reference for all others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import subsets
from ..base import Estimate, Estimator
from ..draws import Objective
from ..ops import Array, Ops


def _exact_enum(ops: Ops, theta: Array, draws: Mapping[str, Array], f: Objective, *, k: int, state: Any) -> Estimate:
    """Returns Σ_z p(z) f(z) (z − μ) over all C(n, k) subsets, computed as Σ_z p(z) (f(z) − E f) z."""
    del draws
    xp = ops.xp
    states = ops.asarray(subsets.enumerate(theta.shape[-1], k))
    points = xp.broadcast_to(states[:, None, :], (states.shape[0], *theta.shape))
    probability = xp.exp(subsets.log_prob(ops, theta, k, points))
    values = ops.stop_gradient(f(points))
    centred = values - xp.sum(probability * values, axis=0)
    return Estimate(points, probability, ops.matmul((probability * centred).T, states), state)


EXACT_ENUM = Estimator(
    name="exact_enum",
    law="conditional_poisson",
    target="conditional_poisson",
    estimate=_exact_enum,
    draws={},
    needs=frozenset({"values"}),
    unbiased_for="any",
    source="definition: ∇E f = Cov(f, z); C(n, k) evaluations of f, C(n, k) <= 200,000",
)
