"""Implicit maximum-likelihood estimation (I-MLE): the gradient is the difference of two perturbed top-k vectors.

A "map" is the most likely subset, top_k of the perturbed logits.

Source: Niepert, Minervini and Franceschi 2021 (I-MLE; arXiv 2106.01798); Minervini, Franceschi and Niepert 2023
(adaptive I-MLE; arXiv 2209.04862).

Differences of `imle_sog` and `imle_gumbel` from the authors' package torch-imle:

1. Its parameter α and its two noise temperatures are fixed at 1, which are its defaults.
2. The gradient is never divided by λ, which is an option there.

Differences of `aimle` from the authors' code:

1. ‖θ‖ and ‖∇f‖ are norms of one row and one sample, without the entries of -inf. There they are norms over the whole
   batch, so that an estimate depends on the other rows.
2. With S > 1 samples the gradient is divided by λ. There it is divided by λ/√S, because ‖θ‖ is computed once from S
   copies of theta and once from one.
3. The defaults are those of the published commands (α starts at 0, update 1e-3), not those of the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import Estimator
from ..builders import Pathwise, pathwise, perturbed_top_k
from ..draws import sum_of_gamma_draws
from ..noise import GUMBEL
from ..ops import Array, Ops
from ..parameters import FRACTION, NON_NEGATIVE, POSITIVE


def _imle(
    ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int, step_size: float, **_: Any
) -> Array:
    """Returns mean_s (z_s − top_k(θ + ε_s − λ g_s)); z_s is top_k of the same noise. It is not divided by λ."""
    stepped = ops.top_k_mask(theta + draws["noise"] - step_size * g, k)
    return ops.xp.mean(z - stepped, axis=0)


IMLE_SOG = Estimator(
    name="imle_sog",
    law="perturb_and_map",
    target="conditional_poisson",
    estimate=pathwise(perturbed_top_k, _imle),
    draws=sum_of_gamma_draws,
    needs=frozenset({"gradient"}),
    unbiased_for="nothing",
    params={"step_size": 1.0, "kappa": 0.0, "tau": 1.0, "terms": 10},
    ranges={"step_size": POSITIVE, "kappa": NON_NEGATIVE, "tau": POSITIVE, "terms": POSITIVE},
    source="Niepert et al. 2021, Algorithm 1 with sum-of-gamma noise; kappa = 0 means κ = k",
)

IMLE_GUMBEL = Estimator(
    name="imle_gumbel",
    law="plackett_luce",
    target="conditional_poisson",
    estimate=pathwise(perturbed_top_k, _imle),
    draws={"noise": GUMBEL},
    needs=frozenset({"gradient"}),
    unbiased_for="nothing",
    params={"step_size": 1.0},
    ranges={"step_size": POSITIVE},
    source="Niepert et al. 2021, Algorithm 1 with Gumbel noise",
)


def _aimle(
    ops: Ops,
    theta: Array,
    z: Array,
    g: Array,
    draws: Mapping[str, Array],
    *,
    k: int,
    state: Mapping[str, Array],
    central: bool,
    target_norm: float,
    update: float,
    decay: float,
) -> tuple[Array, dict[str, Array]]:
    """Returns the finite difference at step λ = α‖θ‖/‖g‖, and the next state.

    α grows by `update` while the average number of non-zero entries of the difference is below `target_norm`, and
    shrinks by it otherwise.
    """
    xp = ops.xp
    finite = xp.where(xp.isfinite(theta), theta, 0.0)
    theta_norm = xp.sqrt(xp.sum(finite * finite, axis=-1))
    g_norm = xp.sqrt(xp.sum(g * g, axis=-1))
    step = state["alpha"] * theta_norm / xp.where(g_norm > 0, g_norm, 1.0)  # [S, B]
    perturbed = theta + draws["noise"]
    upper = ops.top_k_mask(perturbed + step[..., None] * g, k) if central else z
    difference = upper - ops.top_k_mask(perturbed - step[..., None] * g, k)
    span = step * (2.0 if central else 1.0)
    gradient = xp.mean(difference / xp.where(span > 0, span, 1.0)[..., None], axis=0)
    nonzero = xp.mean(xp.sum(xp.abs(difference), axis=-1), axis=0)
    norm = decay * state["norm"] + (1 - decay) * nonzero
    alpha = state["alpha"] + xp.where(norm < target_norm, update, -update)
    return gradient, {"alpha": xp.where(alpha > 0, alpha, 0.0), "norm": norm}


def _initial_alpha(ops: Ops, theta: Array) -> dict[str, Array]:
    """Returns the first state of each row: α = 0, as in all published commands, and `norm` = 1.

    `norm` is the running average of the number of non-zero entries.
    """
    zero = ops.xp.zeros_like(theta[..., 0])
    return {"alpha": zero, "norm": zero + 1.0}


AIMLE = Estimator(
    name="aimle",
    law="plackett_luce",
    target="conditional_poisson",
    estimate=Pathwise(perturbed_top_k, _aimle),
    draws={"noise": GUMBEL},
    needs=frozenset({"gradient"}),
    unbiased_for="nothing",
    shift_invariant=False,  # λ grows with ‖θ‖
    params={"central": False, "target_norm": 1.0, "update": 1e-3, "decay": 0.9},
    ranges={"target_norm": POSITIVE, "update": NON_NEGATIVE, "decay": FRACTION},
    initial_state=_initial_alpha,
    source="Minervini et al. 2023: λ = α‖θ‖/‖∇f‖, α adapted until `target_norm` entries of z − z′ are non-zero; norms "
    "are per row and sample, without entries of -inf (the authors' code takes them over the batch). "
    "Logits that are all 0 give λ = 0 and never change: start from random ones",
)
