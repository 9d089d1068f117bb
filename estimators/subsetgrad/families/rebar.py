"""REBAR: a score-function estimator with relaxed samples as its control variate.

Source: Tucker et al. 2017 (REBAR; arXiv 1703.07370); Gadetsky et al. 2020 (arXiv 1911.10036) for the Plackett-Luce law.

Differences from the papers:

1. The control variate is c(x) = η f(SoftSub_τ(x)), with η a parameter of the estimator.
2. A step of the learned temperature is normalised by the slope and by ‖ĝ‖², so it does not depend on the scale of f.
3. Each row has its own temperature. It starts at 0.5 and stays within [0.01, 5], as in Kool et al. 2020.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import plackett_luce
from ..base import Estimate, Estimator
from ..builders import uniform_weights
from ..draws import Objective
from ..noise import EXPONENTIAL, GUMBEL
from ..ops import Array, Ops
from ..parameters import NON_NEGATIVE
from ..soft_top_k import soft_top_k

_EPSILON = 1e-30  # the floor of 1 − a inside SoftSub; representable in float32
_TEMPERATURES = (0.01, 5.0)  # the smallest and the largest learned temperature


def _rebar_pl(
    ops: Ops,
    theta: Array,
    draws: Mapping[str, Array],
    f: Objective,
    *,
    k: int,
    state: Mapping[str, Array],
    eta: float,
    learning_rate: float,
) -> Estimate:
    """Returns mean_s [(f(z) − c(x̃)) ∇log P(o) + ∇c(x) − ∇c(x̃)], and the state after a descent step of τ on ‖ĝ‖².

    x are the perturbed logits, o their order, and x̃ perturbed logits drawn again given o.
    """
    xp = ops.xp
    perturbed = theta + draws["gumbel"]
    order = xp.argsort(-perturbed, axis=-1)
    z = ops.top_k_mask(perturbed, k)
    values = ops.stop_gradient(f(z))
    score = plackett_luce.ordered_score(ops, theta, order, k)

    def gradient_of(log_temperature: Array) -> Array:
        temperature = xp.exp(log_temperature)[..., None]

        def control(x: Array) -> Array:
            return eta * f(soft_top_k(ops, x, k, temperature, _EPSILON))

        def difference(logits: Array) -> tuple[Array, Array]:
            x_tilde = plackett_luce.conditional_gumbel(ops, logits, order, draws["exponential"], k)
            c_tilde = control(x_tilde)
            return xp.sum(control(logits + draws["gumbel"]) - c_tilde), c_tilde

        (_, c_tilde), reparameterised = ops.value_and_grad(difference, has_aux=True)(theta)
        return xp.mean((values - c_tilde)[..., None] * score, axis=0) + reparameterised / z.shape[0]

    def second_moment(log_temperature: Array) -> tuple[Array, Array]:
        gradient = gradient_of(log_temperature)
        return xp.sum(gradient * gradient), gradient

    (_, gradient), slope = ops.value_and_grad(second_moment, has_aux=True)(state["log_temperature"])
    # The step is at most the learning rate. Without this bound a row with a tiny ‖ĝ‖² makes τ jump, and differences of
    # rounding between two backends grow into clearly different variances.
    normaliser = xp.abs(slope) + xp.sum(gradient * gradient, axis=-1)
    step = learning_rate * slope / xp.where(normaliser > 0, normaliser, 1.0)
    low, high = (xp.log(xp.full_like(slope, bound)) for bound in _TEMPERATURES)
    log_temperature = xp.minimum(xp.maximum(state["log_temperature"] - step, low), high)
    return Estimate(z, uniform_weights(ops, z), gradient, {"log_temperature": log_temperature})


def _initial_temperature(ops: Ops, theta: Array) -> dict[str, Array]:
    """Returns the first state of each row, log τ = log 0.5."""
    return {"log_temperature": ops.xp.log(ops.xp.full_like(theta[..., 0], 0.5))}


REBAR_PL = Estimator(
    name="rebar_pl",
    law="plackett_luce",
    target="plackett_luce",
    estimate=_rebar_pl,
    draws={"gumbel": GUMBEL, "exponential": EXPONENTIAL},
    needs=frozenset({"values", "relaxed"}),
    unbiased_for="any",
    params={"eta": 1.0, "learning_rate": 0.05},
    ranges={"learning_rate": NON_NEGATIVE},
    initial_state=_initial_temperature,
    source="Tucker et al. 2017 (REBAR; arXiv 1703.07370) on Gumbel-top-k as in Gadetsky et al. 2020 (arXiv "
    "1911.10036), c = η f(SoftSub_τ(x)), τ learned by descent on ‖ĝ‖²",
)
