"""Exact gradients: what an estimator is judged against. In float64, apart from the estimators' own code paths.

By enumeration where C(n, k) allows; at any n where the objective is affine on k-hot vectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from estimators import Estimator, plackett_luce, subsets
from estimators.ops import Ops
from estimators.subsets.enumeration import LIMIT

from .objectives import Objective, Parameters

CONDITIONAL_POISSON = "conditional_poisson"


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

    None where it cannot be computed at this size; see `gradient`.
    """
    own = target_label(estimator)
    divisor = params[estimator.temperature] if estimator.temperature else 1.0
    found: dict[str, np.ndarray | None] = {}
    for label, law, functional, scale in (
        (own, estimator.target, estimator.functional, divisor),
        (CONDITIONAL_POISSON, CONDITIONAL_POISSON, "mean_of_f", 1.0),
    ):
        if label not in found:
            exact = gradient(law, functional, ops, objective, extension, theta / scale, parameters, k)
            found[label] = None if exact is None else exact / scale
    return found


def gradient(
    law: str,
    functional: str,
    ops: Ops,
    objective: Objective,
    extension: str,
    theta: np.ndarray,
    parameters: Parameters,
    k: int,
) -> np.ndarray | None:
    """Returns the exact gradient with respect to theta `[n]` of E f(z), or of f(E z); None if out of reach.

    Args:
      law: `conditional_poisson` or `plackett_luce`.
      functional: `mean_of_f` or `f_of_mean`.
      ops: a backend in float64.
      objective, extension, parameters: f.
      theta: `[n]` float64.
      k: 0 <= k <= n.
    """
    n = theta.shape[-1]
    enumerable = math.comb(n, k) <= LIMIT and (law == CONDITIONAL_POISSON or n <= plackett_luce.MAX_ITEMS)
    on_device = {name: ops.asarray(value) for name, value in parameters.items()}
    if functional == "mean_of_f" and law == CONDITIONAL_POISSON and objective.linear is not None and not enumerable:
        product = subsets.covariance_product(ops, ops.asarray(theta), k, ops.asarray(objective.linear(parameters)))
        return np.asarray(product)
    if not enumerable:
        return None
    if functional == "mean_of_f" and law == CONDITIONAL_POISSON:
        return _by_enumeration(_values(ops, objective, extension, on_device, n, k), theta, n, k)
    function = _value_and_grad(law, functional, ops, objective, extension, k)
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
def _value_and_grad(
    law: str, functional: str, ops: Ops, objective: Objective, extension: str, k: int
) -> Callable[..., tuple[Any, Any]]:
    """Returns `(theta, parameters) -> (value, gradient)`, compiled once for all seeds."""

    def expected(theta: Any, parameters: Parameters) -> Any:
        xp = ops.xp
        f = objective.extensions[extension]
        if functional == "f_of_mean":
            mean = (plackett_luce if law == "plackett_luce" else subsets).marginals(ops, theta, k)
            return f(xp, mean, parameters)
        states = ops.asarray(subsets.enumerate(theta.shape[-1], k))
        return xp.sum(plackett_luce.probabilities(ops, theta, k) * f(xp, states, parameters))

    return ops.compile(ops.value_and_grad(expected))
