"""SIMPLE by the paper's own algorithms, as plug-ins to time beside `simple`.

They have its law and its gradient. They are not among `ESTIMATORS`; name them in full:
`-e subsetgrad.families.simple_as_printed:SIMPLE_SEQUENTIAL`.

Source: Ahmed, Zeng, Niepert and Van den Broeck 2023 (ICLR; arXiv 2210.01941).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..base import Estimator, pathwise, sample_z
from ..draws import Subset
from ..ops import Array, Ops
from ..subsets import paper


def _simple(marginals: Callable[..., Array]) -> Callable[..., Array]:
    """Returns the rule (∂μ/∂θ)ᵀ·mean_s ∇f(z_s), by reverse mode through `marginals`."""

    # Print has the product with ∂μ/∂θ, by forward mode (Eq. 7: it is symmetric). Forward over reverse takes 1.3 to 1.9
    # times as long on torch (float32, one core, 64 rows, n=128 and 1000); on jax as long, and 0.6 times as long
    # for the sequential form at n=1000.
    def rule(ops: Ops, theta: Array, z: Array, g: Array, draws: Mapping[str, Array], *, k: int) -> Array:
        del z, draws
        mu_bar = ops.xp.mean(g, axis=0)
        return ops.value_and_grad(lambda x: ops.xp.sum(mu_bar * marginals(ops, x, k)))(theta)[1]

    return rule


def _record(name: str, sampler: Callable[..., Array], marginals: Callable[..., Array], source: str) -> Estimator:
    """Returns `simple` with this exact sampler and these marginals."""
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
