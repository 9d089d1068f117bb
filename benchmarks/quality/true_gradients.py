"""Exact gradients: what an estimator is judged against. In float64, apart from the estimators' own code paths.

By enumeration where C(n, k) allows; beyond it where the objective is affine on k-hot vectors, or pairwise and n²k at
most `MAX_NUMBERS`, and for f at the conditional Poisson's mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from subsetgrad import Estimator, plackett_luce, subsets
from subsetgrad.ops import Ops
from subsetgrad.subsets.enumeration import LIMIT

from ..objectives import Objective, Parameters
from ..results.names import CONDITIONAL_POISSON, PLACKETT_LUCE

MAX_NUMBERS = 5_000_000  # in all subsets together, or in the table of all pairs: 40 MB, and a few times that in work


def target_label(estimator: Estimator) -> str:
    """Returns how rows name the estimator's own target: the law, and the functional unless it is E f."""
    return estimator.target if estimator.functional == "mean_of_f" else f"{estimator.functional}:{estimator.target}"


def references(
    estimator: Estimator,
    params: dict[str, Any],
    ops: Ops,
    objective: Objective,
    extension: str,
    theta: np.ndarray,
    parameters: Parameters,
    k: int,
) -> dict[str, np.ndarray | None]:
    """Returns target -> exact gradient `[n]`: of the estimator's own target, and of the conditional Poisson.

    None where it is not known, or out of reach at this size.

    Args:
      estimator, params: the record and all its parameters.
      ops: a backend in float64.
      objective, extension, parameters: f.
      theta: `[n]` float64.
      k: 0 <= k <= n.
    """
    own = Law(estimator.target, estimator.functional)
    if estimator.law_logits is not None:
        own = own._replace(logits=estimator.law_logits, params=tuple(params.items()))
    found = {}
    for label, law in ((target_label(estimator), own), (CONDITIONAL_POISSON, Law(CONDITIONAL_POISSON))):
        if label not in found:
            found[label] = gradient(law, ops, objective, extension, theta, parameters, k)
    return found


class Law(NamedTuple):
    """What an exact gradient is of: a law, E f or f of its mean, its logits as a function of theta if not theta."""

    name: str
    functional: str = "mean_of_f"
    logits: Callable[..., Any] | None = None
    params: tuple[tuple[str, Any], ...] = ()


def gradient(
    law: Law, ops: Ops, objective: Objective, extension: str, theta: np.ndarray, parameters: Parameters, k: int
) -> np.ndarray | None:
    """Returns the exact gradient with respect to theta `[n]`; arguments as `references`."""
    n = theta.shape[-1]
    if law.name not in (CONDITIONAL_POISSON, PLACKETT_LUCE):
        return None  # no exact form of another law is known here
    if k in (0, n):
        return np.zeros(n)  # a single subset: nothing depends on theta
    enumerable = math.comb(n, k) <= LIMIT and math.comb(n, k) * n <= MAX_NUMBERS
    by_subsets = law.name == PLACKETT_LUCE or law.functional == "mean_of_f"
    plain = law.name == CONDITIONAL_POISSON and law.functional == "mean_of_f" and law.logits is None
    on_device = {name: ops.asarray(value) for name, value in parameters.items()}
    if plain and enumerable:
        return _by_enumeration(_values(ops, objective, extension, on_device, n, k), theta, n, k)
    if plain and objective.linear is not None:
        product = subsets.covariance_product(ops, ops.asarray(theta), k, ops.asarray(objective.linear(parameters)))
        return np.asarray(product)
    if plain and objective.pairwise is not None and n * n * (k + 1) <= MAX_NUMBERS:
        return np.asarray(_pairwise(ops, objective.pairwise, k)(ops.asarray(theta), on_device)[1])
    if (by_subsets and not enumerable) or (law.name == PLACKETT_LUCE and n > plackett_luce.MAX_ITEMS):
        return None
    function = _value_and_grad(law, ops, objective, extension, k)
    return np.asarray(function(ops.asarray(theta), on_device)[1])


def _by_enumeration(values: np.ndarray, theta: np.ndarray, n: int, k: int) -> np.ndarray:
    """Returns Cov(f, z) over all subsets, in numpy."""
    states = subsets.enumerate(n, k)
    chosen = states > 0
    log_weight = np.where(chosen, theta, 0.0).sum(axis=-1)
    probability = np.exp(log_weight - log_weight.max())
    probability /= probability.sum()
    centred = probability * (values - probability @ values)
    result: np.ndarray = centred @ (states - probability @ states)
    return result


def _values(ops: Ops, objective: Objective, extension: str, parameters: Parameters, n: int, k: int) -> np.ndarray:
    """Returns f at all subsets."""
    states = ops.asarray(subsets.enumerate(n, k))
    return np.asarray(objective.extensions[extension](ops.xp, states, parameters))


@lru_cache(maxsize=64)
def _pairwise(
    ops: Ops, coefficients: Callable[[Parameters], tuple[Any, Any]], k: int
) -> Callable[..., tuple[Any, Any]]:
    """Returns `(theta, parameters) -> (value, gradient)` of c·μ + ½ Σ Q_ij E[z_i z_j], at any n in O(n²k)."""

    def expected(theta: Any, parameters: Parameters) -> Any:
        c, q = coefficients(parameters)
        together = subsets.second_order_inclusions(ops, theta, k)
        return ops.xp.sum(c * subsets.marginals(ops, theta, k)) + ops.xp.sum(q * together) / 2

    return ops.compile(ops.value_and_grad(expected))


@lru_cache(maxsize=64)
def _value_and_grad(law: Law, ops: Ops, objective: Objective, extension: str, k: int) -> Callable[..., tuple[Any, Any]]:
    """Returns `(theta, parameters) -> (value, gradient)`, compiled once for all seeds."""
    f = objective.extensions[extension]
    plackett = law.name == PLACKETT_LUCE

    def expected(theta: Any, parameters: Parameters) -> Any:
        xp = ops.xp
        if law.logits is not None:
            theta = law.logits(ops, theta, **dict(law.params))
        if law.functional == "f_of_mean":
            return f(xp, (plackett_luce if plackett else subsets).marginals(ops, theta, k), parameters)
        states = ops.asarray(subsets.enumerate(theta.shape[-1], k))
        if plackett:
            probability = plackett_luce.probabilities(ops, theta, k)
        else:
            probability = xp.exp(subsets.log_prob(ops, theta, k, states))
        return xp.sum(probability * f(xp, states, parameters))

    return ops.compile(ops.value_and_grad(expected))
