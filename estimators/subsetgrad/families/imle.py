"""Implicit maximum-likelihood estimation: perturb-and-map forward, the difference of two maps backward.

Source: Niepert, Minervini and Franceschi 2021 (I-MLE; arXiv 2106.01798); Minervini, Franceschi and Niepert 2023
(adaptive I-MLE; arXiv 2209.04862).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import (
    Estimator,
    Pathwise,
    pathwise,
    perturbed_top_k,
)
from ..draws import sum_of_gamma_draws
from ..noise import GUMBEL
from ..ops import Array, Ops
from ..parameters import FRACTION, NON_NEGATIVE, POSITIVE


def _imle(
    ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int, step_size: float, **_: Any
) -> Array:
    """Returns mean_s (z_s − top_k(θ + ε_s − λ g_s)), the same noise in both maps; not divided by λ."""
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
    """Returns the finite difference at step λ = α‖θ‖/‖g‖ and the state with α moved towards the target norm."""
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
    """Returns α = 0, as in all published commands, and C = 1, per row."""
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
    "are per row and sample here (the reference couples the rows of a batch), entries of -inf left out. "
    "Logits that are all 0 give λ = 0 and never move: start from random ones",
)
