"""Straight-through estimators: the gradient of f at a discrete sample, as it is or times the Jacobian of a softmax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..base import Estimator
from ..builders import pathwise, perturbed_top_k, sample_z
from ..draws import SUBSET
from ..noise import GUMBEL
from ..ops import Array, Ops
from ..parameters import POSITIVE
from ..soft_top_k import softmax


def _identity(ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int) -> Array:
    """Returns mean_s ∇f(z_s)."""
    del theta, z, draws, k
    return ops.xp.mean(g, axis=0)


STE = Estimator(
    name="ste",
    law="conditional_poisson",
    target="conditional_poisson",
    estimate=pathwise(sample_z, _identity),
    draws={"z": SUBSET},
    needs=frozenset({"gradient"}),
    unbiased_for="nothing",
    source="Bengio, Léonard and Courville 2013: ĝ = ∇f(z), z ~ cp(θ)",
)

STE_GUMBEL = replace(
    STE,
    name="ste_gumbel",
    law="plackett_luce",
    estimate=pathwise(perturbed_top_k, _identity),
    draws={"noise": GUMBEL},
    source="Bengio, Léonard and Courville 2013 at a Gumbel-top-k sample (Kool et al. 2019): ĝ = ∇f(topk(θ + G))",
)


def _softmax_vjp(
    ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int, temperature: float
) -> Array:
    """Returns mean_s (1/τ) [y⊙g − y (y·g)], the product of g and the Jacobian of y = softmax((θ + noise)/τ)."""
    del z, k
    xp = ops.xp
    y = softmax(ops, (theta + draws["noise"]) / temperature)
    return xp.mean(y * (g - xp.sum(y * g, axis=-1, keepdims=True)), axis=0) / temperature


STGS = replace(
    STE_GUMBEL,
    name="stgs",
    estimate=pathwise(perturbed_top_k, _softmax_vjp),
    k=1,
    params={"temperature": 1.0},
    ranges={"temperature": POSITIVE},
    source="Jang, Gu and Poole 2017, straight-through Gumbel-softmax (arXiv 1611.01144); for k=1 its law is the target",
)
