"""Estimators that evaluate f at a relaxed point and backpropagate through it.

Differences of `softsub` from the paper (Xie and Ermon 2019) and its code:

1. log(1 − a) is computed from the other items where a > 1/2. The code subtracts a from 1, which loses all digits in
   float32 at low temperatures.
2. logits="logsigmoid" replaces theta by log σ(theta), as the notebook of the SIMPLE paper does.

`l2x` follows its paper (Chen et al. 2018) and takes the maximum of k relaxed one-hot vectors. The L2X baseline in the
notebook of tf-imle draws a single vector for every k.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..base import Estimator
from ..builders import relaxed
from ..noise import GUMBEL
from ..ops import Array, Ops
from ..parameters import POSITIVE, one_of
from ..soft_top_k import soft_top_k, softmax


def _gumbel_softmax(ops: Ops, theta: Array, draws: Mapping[str, Array], *, k: int, temperature: float) -> Array:
    """Returns the softmax of the perturbed logits, `[S, B, n]`."""
    del k
    return softmax(ops, (theta + draws["noise"]) / temperature)


GS = Estimator(
    name="gs",
    law="relaxed",
    target="conditional_poisson",
    estimate=relaxed(_gumbel_softmax),
    draws={"noise": GUMBEL},
    needs=frozenset({"relaxed"}),
    unbiased_for="nothing",
    k=1,
    params={"temperature": 1.0},
    ranges={"temperature": POSITIVE},
    source="Jang, Gu and Poole 2017 (arXiv 1611.01144); Maddison, Mnih and Teh 2017 (arXiv 1611.00712)",
)


def _softsub(
    ops: Ops, theta: Array, draws: Mapping[str, Array], *, k: int, temperature: float, epsilon: float, logits: str
) -> Array:
    """Returns SoftSub's relaxed k-hot vector of the perturbed logits, `[S, B, n]`."""
    return soft_top_k(ops, _law_logits(ops, theta, logits=logits) + draws["noise"], k, temperature, epsilon)


def _log_sigmoid(ops: Ops, theta: Array) -> Array:
    """Returns log σ(θ); at θ = -inf the value is -inf and the gradient 0."""
    xp = ops.xp
    impossible = theta == -xp.inf
    safe = xp.where(impossible, 0.0, theta)
    positive = safe > 0
    log_sigmoid = xp.where(positive, 0.0, safe) + xp.log(ops.sigmoid(xp.where(positive, safe, -safe)))
    return xp.where(impossible, -xp.inf, log_sigmoid)


_LOGITS = {"theta": lambda _, theta: theta, "logsigmoid": _log_sigmoid}


def _law_logits(ops: Ops, theta: Array, *, logits: str, **_: Any) -> Array:
    """Returns the logits of the law: theta, or log σ(theta) for logits="logsigmoid"."""
    return _LOGITS[logits](ops, theta)


SOFTSUB = Estimator(
    name="softsub",
    law="relaxed",
    target="plackett_luce",
    estimate=relaxed(_softsub),
    draws={"noise": GUMBEL},
    needs=frozenset({"relaxed"}),
    unbiased_for="nothing",
    params={"temperature": 0.1, "epsilon": 1.1754943508222875e-38, "logits": "theta"},
    ranges={"temperature": POSITIVE, "epsilon": POSITIVE, "logits": one_of(*_LOGITS)},
    law_logits=_law_logits,
    source="Xie and Ermon 2019 (RelaxSubSample; arXiv 1901.10517); logits=logsigmoid feeds log σ(θ), as the SIMPLE "
    "notebook does",
)


def _l2x(ops: Ops, theta: Array, draws: Mapping[str, Array], *, k: int, temperature: float) -> Array:
    """Returns the maximum of k relaxed one-hot vectors, item by item, `[S, B, n]`."""
    del k
    return ops.xp.max(softmax(ops, (theta[:, None, :] + draws["noise"]) / temperature), axis=-2)


L2X = Estimator(
    name="l2x",
    law="relaxed",
    target="conditional_poisson",
    estimate=relaxed(_l2x),
    draws=lambda k, **_: {"noise": GUMBEL.with_axes(k)},
    needs=frozenset({"relaxed"}),
    unbiased_for="nothing",
    params={"temperature": 0.1},
    ranges={"temperature": POSITIVE},
    source="Chen, Song, Wainwright and Jordan 2018 (L2X; arXiv 1802.07814): the maximum of k Gumbel-softmax draws; "
    "Σy <= k, since an item may be drawn twice",
)
