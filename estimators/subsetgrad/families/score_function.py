"""Score-function estimators on exact samples. They use only values of f and are unbiased for every f.

The score ∇_θ log p(z) of the conditional Poisson law is z − μ.
"""

from __future__ import annotations

from .. import subsets
from ..base import Estimator
from ..builders import score_function
from ..draws import SUBSET
from ..ops import Array, Ops


def _sfe(ops: Ops, theta: Array, z: Array, v: Array, *, k: int) -> Array:
    """Returns mean_s f(z_s) (z_s − μ)."""
    mu = subsets.marginals(ops, theta, k)
    return ops.xp.mean(v[..., None] * (z - mu), axis=0)


SFE = Estimator(
    name="sfe",
    law="conditional_poisson",
    target="conditional_poisson",
    estimate=score_function(_sfe),
    draws={"z": SUBSET},
    needs=frozenset({"values"}),
    unbiased_for="any",
    source="Williams 1992 (REINFORCE): ĝ = f(z) (z − μ)",
)


def _rloo(ops: Ops, theta: Array, z: Array, v: Array, *, k: int) -> Array:
    """Returns the sample covariance of f and z, which is the mean of (v_s − mean of the other values) (z_s − μ).

    The marginals are not needed, because Σ_s (v_s − v̄) μ = 0.
    """
    del theta, k
    centred = v - ops.xp.mean(v, axis=0)
    return ops.xp.sum(centred[..., None] * z, axis=0) / (z.shape[0] - 1)


RLOO = Estimator(
    name="rloo",
    law="conditional_poisson",
    target="conditional_poisson",
    estimate=score_function(_rloo),
    draws={"z": SUBSET},
    needs=frozenset({"values"}),
    unbiased_for="any",
    samples_min=2,
    source="Kool et al. 2019, leave-one-out baseline (= VarGrad, Richter et al. 2020): ĝ = Σ(f_s − f̄) z_s / (S − 1)",
)
