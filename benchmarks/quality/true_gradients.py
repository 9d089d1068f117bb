"""Exact gradients, to which estimators are compared: in float64, and computed without the estimators' code.

They are sums over all subsets where C(n, k) allows it. At larger sizes the gradient is exact where the objective is
affine on k-hot vectors, where it is pairwise and n²k is at most `MAX_NUMBERS`, and for f at the conditional Poisson's
mean.
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

from ..objectives.base import Objective, Parameters
from ..results.names import CONDITIONAL_POISSON, PLACKETT_LUCE
from .problem import Method, Problem

MAX_NUMBERS = 5_000_000  # in the table of all subsets or of all pairs: 40 MB


def target_label(estimator: Estimator) -> str:
    """Returns the name of the estimator's target in rows: its law, and its functional unless that is E f."""
    return estimator.target if estimator.functional == "mean_of_f" else f"{estimator.functional}:{estimator.target}"


def references(problem: Problem, method: Method, ops: Ops) -> dict[str, np.ndarray | None]:
    """Returns target -> exact gradient `[n]`, for the estimator's own target and for the conditional Poisson.

    A gradient is None if no exact form is known, or if none can be computed at this size.

    Args:
      problem, method: the problem, and the estimator with its parameters.
      ops: a backend in float64.
    """
    estimator = method.estimator
    target = Law(estimator.target, estimator.functional)
    if estimator.law_logits is not None:
        target = target._replace(logits=estimator.law_logits, params=tuple(method.params.items()))
    laws = {CONDITIONAL_POISSON: Law(CONDITIONAL_POISSON)}
    laws = {target_label(estimator): target} | {k: v for k, v in laws.items() if k != target_label(estimator)}
    return {label: gradient(law, problem, ops) for label, law in laws.items()}


class Law(NamedTuple):
    """The expectation that is differentiated.

    Attributes:
      name: the law, one of `subsetgrad.base.LAWS`.
      functional: `mean_of_f`, E f(z), or `f_of_mean`, f(E z).
      logits: `(ops, theta, **params) -> logits` of the law; None if these are theta.
      params: of `logits`, as pairs.
    """

    name: str
    functional: str = "mean_of_f"
    logits: Callable[..., Any] | None = None
    params: tuple[tuple[str, Any], ...] = ()


def gradient(law: Law, problem: Problem, ops: Ops) -> np.ndarray | None:
    """Returns the exact gradient with respect to theta `[n]`; None as in `references`."""
    n, k, objective = problem.n, problem.k, problem.objective
    if law.name not in (CONDITIONAL_POISSON, PLACKETT_LUCE):
        return None  # other laws have no exact form here
    if k in (0, n):
        return np.zeros(n)  # a single subset: nothing depends on theta
    enumerable = math.comb(n, k) <= LIMIT and math.comb(n, k) * n <= MAX_NUMBERS
    by_subsets = law.name == PLACKETT_LUCE or law.functional == "mean_of_f"
    plain = law.name == CONDITIONAL_POISSON and law.functional == "mean_of_f" and law.logits is None
    theta = ops.asarray(problem.theta)
    if plain and enumerable:
        values = np.asarray(problem.f(ops)(ops.asarray(subsets.enumerate(n, k))))
        return _covariance_with_values(values, problem.theta, k)
    if plain and objective.linear is not None:
        return np.asarray(subsets.covariance_product(ops, theta, k, ops.asarray(objective.linear(problem.parameters))))
    if plain and objective.pairwise is not None and n * n * (k + 1) <= MAX_NUMBERS:
        return np.asarray(_pairwise(ops, objective.pairwise, k)(theta, problem.device_parameters(ops))[1])
    if (by_subsets and not enumerable) or (law.name == PLACKETT_LUCE and n > plackett_luce.MAX_ITEMS):
        return None
    function = _value_and_grad(law, ops, objective, problem.extension, k)
    return np.asarray(function(theta, problem.device_parameters(ops))[1])


def _covariance_with_values(values: np.ndarray, theta: np.ndarray, k: int) -> np.ndarray:
    """Returns Cov(f, z) from the values of f at all subsets, in numpy."""
    states = subsets.enumerate(len(theta), k)
    chosen = states > 0
    log_weight = np.where(chosen, theta, 0.0).sum(axis=-1)
    probability = np.exp(log_weight - log_weight.max())
    probability /= probability.sum()
    centred = probability * (values - probability @ values)
    result: np.ndarray = centred @ (states - probability @ states)
    return result


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
