"""SIMPLE computed by the algorithms of the paper, for comparing its cost with that of `simple`.

Law and gradient are those of `simple`. These records are not in `ESTIMATORS`, so give their full name:
`-e subsetgrad.families.simple_as_printed:SIMPLE_SEQUENTIAL`.

Source: Ahmed, Zeng, Niepert and Van den Broeck 2023 (ICLR; arXiv 2210.01941).

Differences from the paper:

1. All algorithms work on logarithms. `subsetgrad.subsets.paper` lists the corrections of the printed algorithms.
2. Algorithm 3 multiplies ∂μ/∂θ by ∇f in forward mode. Here it is reverse mode, which gives the same because ∂μ/∂θ is
   symmetric (Eq. 7).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..base import Estimator
from ..builders import pathwise, sample_z
from ..draws import Subset
from ..ops import Array, Ops
from ..subsets import paper


def _simple(marginals: Callable[..., Array]) -> Callable[..., Array]:
    """Returns the rule (∂μ/∂θ)ᵀ·mean_s ∇f(z_s), by reverse mode through `marginals`."""

    # Forward over reverse mode, as in the paper, takes up to twice as long on torch. On jax it takes as long, or less
    # for the sequential algorithm at large n.
    def rule(ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int) -> Array:
        del z, draws
        mu_bar = ops.xp.mean(g, axis=0)
        return ops.value_and_grad(lambda x: ops.xp.sum(mu_bar * marginals(ops, x, k)))(theta)[1]

    return rule


def _record(name: str, sampler: Callable[..., Array], marginals: Callable[..., Array], source: str) -> Estimator:
    """Returns the record of `simple` with another exact sampler and other code for the marginals."""
    return Estimator(
        name=name,
        law="conditional_poisson",
        target="conditional_poisson",
        estimate=pathwise(sample_z, _simple(marginals)),
        draws={"z": Subset(sampler=sampler)},
        needs=frozenset({"gradient"}),
        unbiased_for="affine",
        source=source,
    )


SIMPLE_SEQUENTIAL = _record(
    "simple_sequential",
    paper.sequential_sample,
    paper.sequential_marginals,
    "Ahmed et al. 2023, Algorithms 1 to 3 in log space: one item after the other",
)

SIMPLE_DIVIDED = _record(
    "simple_divided",
    paper.divided_sample,
    paper.divided_marginals,
    "Ahmed et al. 2023, Algorithms 3, 5 and 6 in log space, with the midpoint repaired: halves of the items",
)
