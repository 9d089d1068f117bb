"""The SIMPLE family: exact samples in the forward pass, exact marginals in the backward pass.

Source: Ahmed, Zeng, Niepert and Van den Broeck 2023 (ICLR; arXiv 2210.01941).

Differences from the paper:

1. Samples, marginals and the product with ∂μ/∂θ come from `subsetgrad.subsets`, not from Algorithms 1 and 2 and
   automatic differentiation. The module `simple_as_printed` has the estimator by the algorithms of the paper.
2. With S > 1 samples the gradients of f are averaged first and multiplied by ∂μ/∂θ once. This equals the mean of S
   estimates, because the product is linear.
3. SIMPLE-F and SIMPLE-B are described in words in Section 5.1. The formulas, without a division by λ, and the step
   size λ = 2.5 are those of the authors' notebook.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import subsets
from ..base import Estimator
from ..builders import gradient_at, pathwise, perturbed_top_k, sample_z
from ..draws import (
    SUBSET,
    Objective,
    Subset,
    sum_of_gamma_draws,
)
from ..ops import Array, Ops
from ..parameters import NON_NEGATIVE, POSITIVE


def _simple(ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int) -> Array:
    """Returns Cov(z)·mean_s ∇f(z_s), with Cov(z) = ∂μ/∂θ."""
    del z, draws
    return subsets.covariance_product(ops, theta, k, ops.xp.mean(g, axis=0))


SIMPLE = Estimator(
    name="simple",
    law="conditional_poisson",
    target="conditional_poisson",
    estimate=pathwise(sample_z, _simple),
    draws={"z": SUBSET},
    needs=frozenset({"gradient"}),
    unbiased_for="affine",
    source="Ahmed et al. 2023, Eq. 8 and Algorithm 3: z ~ cp(θ), ĝ = ∂μ/∂θ · ∇f(z)",
)


def _stepped_logits(
    ops: Ops, theta: Array, draws: Mapping[str, Array], f: Objective, *, k: int, step_size: float
) -> Array:
    """Returns θ − λ∇f(z), `[S, B, n]`, the logits of the second sample of SIMPLE-F; -inf stays -inf."""
    del k
    return theta - step_size * gradient_at(ops, f, draws["z"])


def _simple_f(
    ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int, step_size: float
) -> Array:
    """Returns mean_s (z_s − z′_s), not divided by λ."""
    del theta, g, k, step_size
    return ops.xp.mean(z - draws["second"], axis=0)


SIMPLE_F = Estimator(
    name="simple_f",
    law="conditional_poisson",
    target="conditional_poisson",
    estimate=pathwise(sample_z, _simple_f),
    draws={"z": SUBSET, "second": Subset(logits=_stepped_logits)},
    needs=frozenset({"gradient"}),
    unbiased_for="nothing",
    params={"step_size": 2.5},
    ranges={"step_size": POSITIVE},
    source="Ahmed et al. 2023, Section 5.1 (SIMPLE-F): ĝ = z − z′, z′ ~ cp(θ − λ∇f(z)) with random numbers of its own; "
    "λ = 2.5",
)


def _simple_b(
    ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int, step_size: float, **_: Any
) -> Array:
    """Returns μ(θ) − mean_s μ(θ − λ∇f(z_s)), not divided by λ."""
    del z, draws
    stepped = subsets.marginals(ops, theta - step_size * g, k)
    return subsets.marginals(ops, theta, k) - ops.xp.mean(stepped, axis=0)


SIMPLE_B = Estimator(
    name="simple_b",
    law="perturb_and_map",
    target="conditional_poisson",
    estimate=pathwise(perturbed_top_k, _simple_b),
    draws=sum_of_gamma_draws,
    needs=frozenset({"gradient"}),
    unbiased_for="nothing",
    params={"step_size": 2.5, "kappa": 0.0, "tau": 1.0, "terms": 10},
    ranges={"step_size": POSITIVE, "kappa": NON_NEGATIVE, "tau": POSITIVE, "terms": POSITIVE},
    source="Ahmed et al. 2023, Section 5.1 (SIMPLE-B): z = top_k(θ + sum-of-gamma noise), ĝ = μ(θ) − μ(θ − λ∇f(z)); "
    "λ = 2.5; the default kappa = 0 stands for κ = k",
)


def _at_marginals(ops: Ops, theta: Array, draws: Mapping[str, Array], *, k: int) -> Array:
    """Returns the marginals as the only point, `[1, B, n]`."""
    del draws
    return subsets.marginals(ops, theta, k)[None]


MARGINAL_PASS = Estimator(
    name="marginal_pass",
    law="relaxed",
    target="conditional_poisson",
    estimate=pathwise(_at_marginals, _simple),
    draws={},
    needs=frozenset({"relaxed"}),
    unbiased_for="affine",
    source="Ahmed et al. 2023, Eq. 6: f at the marginals, ĝ = ∂μ/∂θ · ∇f(μ); no sampling",
)
