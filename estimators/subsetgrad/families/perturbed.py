"""Perturbed optimisers: f is evaluated at the mean of many perturbed top-k vectors.

Source: Berthet et al. 2020 (arXiv 2002.08676).

Differences from the paper:

1. The noise is Gumbel noise only, with the score ν(ε) = 1 − e^−ε.
2. `control_variate` subtracts the unperturbed top-k vector from each perturbed one. The mean of the gradient stays the
   same.
3. S is the number of independent estimates that are averaged. The M draws inside one estimate are the parameter
   `samples`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import Estimator
from ..builders import pathwise
from ..noise import GUMBEL
from ..ops import Array, Ops
from ..parameters import POSITIVE


def _maps(ops: Ops, theta: Array, noise: Array, k: int, sigma: float) -> Array:
    """Returns the perturbed top-k vectors, `[S, B, M, n]`."""
    return ops.top_k_mask(theta[:, None, :] + sigma * noise, k)


def _mean_map(ops: Ops, theta: Array, draws: Mapping[str, Array], *, k: int, sigma: float, **_: Any) -> Array:
    """Returns the mean of the M perturbed top-k vectors, `[S, B, n]`."""
    return ops.xp.mean(_maps(ops, theta, draws["noise"], k, sigma), axis=-2)


def _perturbed_opt(
    ops: Ops,
    theta: Array,
    z: Array,
    g: Array,
    draws: Mapping[str, Array],
    *,
    k: int,
    samples: int,
    sigma: float,
    control_variate: bool,
) -> Array:
    """Returns (1/(Mσ)) Σ_m ((z_m − z_0)·∇f(z̄)) ν(ε_m), with z_0 = 0 unless `control_variate` is set."""
    del z, samples  # the noise already has an axis of length `samples`
    xp = ops.xp
    noise = draws["noise"]
    origin = ops.top_k_mask(theta, k)[:, None, :] if control_variate else 0.0
    slope = xp.sum((_maps(ops, theta, noise, k, sigma) - origin) * g[..., None, :], axis=-1, keepdims=True)
    return xp.mean(slope * (1 - xp.exp(-noise)), axis=(0, -2)) / sigma


PERTURBED_OPT = Estimator(
    name="perturbed_opt",
    law="plackett_luce",
    target="plackett_luce",
    functional="f_of_mean",
    estimate=pathwise(_mean_map, _perturbed_opt),
    draws=lambda _, *, samples, **__: {"noise": GUMBEL.with_axes(samples)},
    needs=frozenset({"relaxed"}),
    unbiased_for="affine",
    params={"samples": 1000, "sigma": 0.1, "control_variate": False},
    ranges={"samples": POSITIVE, "sigma": POSITIVE},
    law_logits=lambda _, theta, *, sigma, **__: theta / sigma,
    source="Berthet et al. 2020 (arXiv 2002.08676), Proposition 3.1, Gumbel noise; defaults M = 1000, σ = 0.1",
)
