"""Perturbed optimisers: f at the mean of many perturbed maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import Estimator, gradient_at, uniform_weights
from .draws import Objective
from .noise import GUMBEL
from .ops import Array, Ops


def _perturbed_opt(
    ops: Ops,
    theta: Array,
    draws: Mapping[str, Array],
    f: Objective,
    *,
    k: int,
    state: Any,
    samples: int,
    sigma: float,
    control_variate: bool,
) -> tuple[Array, Array, Array, Any]:
    """Returns (1/(Mσ)) Σ_m ((z_m − z_0)·∇f(z̄)) ν(ε_m), with ν(ε) = 1 − e^−ε the score of the Gumbel noise."""
    del samples  # the length of the noise's own axis
    xp = ops.xp
    noise = draws["noise"]  # [S, B, M, n]
    z = ops.top_k_mask(theta[:, None, :] + sigma * noise, k)
    mean = xp.mean(z, axis=-2)
    g = gradient_at(ops, f, mean)[..., None, :]
    origin = ops.top_k_mask(theta, k)[:, None, :] if control_variate else 0.0
    slope = xp.sum((z - origin) * g, axis=-1, keepdims=True)
    gradient = xp.mean(slope * (1 - xp.exp(-noise)), axis=-2) / sigma
    return mean, uniform_weights(ops, mean), xp.mean(gradient, axis=0), state


PERTURBED_OPT = Estimator(
    name="perturbed_opt",
    law="plackett_luce",
    target="plackett_luce",
    functional="f_of_mean",
    estimate=_perturbed_opt,
    draws=lambda _, *, samples, **__: {"noise": GUMBEL.with_axes(samples)},
    needs=frozenset({"relaxed"}),
    unbiased_for="affine",
    params={"samples": 1000, "sigma": 0.1, "control_variate": False},
    temperature="sigma",
    source="Berthet et al. 2020 (arXiv 2002.08676), Proposition 3.1, Gumbel noise; defaults M = 1000, σ = 0.1",
)
