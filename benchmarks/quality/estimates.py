"""Many estimates of one gradient in one compiled call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from subsetgrad import Estimator
from subsetgrad.base import Estimate, evaluate
from subsetgrad.draws import resolve_draws
from subsetgrad.ops import Array, Ops

from ..objectives.base import Objective, Parameters
from .problem import Method, Problem


def gradients(
    problem: Problem, method: Method, ops: Ops, draws: Mapping[str, Array], rows: int, state: Any, *, raw: bool
) -> tuple[np.ndarray, Any]:
    """Returns `[rows, n]` estimates, float64, and the next state.

    Args:
      problem, method, ops: what is estimated, how, and on which backend.
      draws: the draws of all rows; if `raw`, the random numbers they are made from, see `draws.raw_draws`.
      rows: R, independent estimates.
      state: `[R]` arrays, or None for an estimator without state.

    Raises:
      ValueError: an estimate is not finite.
    """
    function = compiled(
        method.estimator, tuple(method.params.items()), ops, problem.objective, problem.extension, problem.k, raw
    )
    theta = ops.asarray(np.broadcast_to(problem.theta, (rows, problem.n)).copy())
    estimate = function(theta, draws, problem.device_parameters(ops), state)
    gradient = np.asarray(estimate.gradient, np.float64)
    bad = int(np.sum(~np.isfinite(gradient).all(axis=-1)))
    if bad:
        raise ValueError(f"{method.estimator.name} gave NaN or inf in {bad} of {rows} estimates")
    if method.draws_subsets_only(problem.k):
        # Set rounding errors to 0: an estimate that is 0 in exact arithmetic, for example from equal subsets, can come
        # out as a difference of rounded values of order n. With continuous noise, gradients that small can be correct.
        size = np.abs(gradient).max(axis=-1, keepdims=True)
        gradient = np.where(size > 10 * problem.n * np.finfo(ops.dtype).eps, gradient, 0.0)
    return gradient, estimate.state


@lru_cache(maxsize=256)
def compiled(
    estimator: Estimator,
    params: tuple[tuple[str, Any], ...],
    ops: Ops,
    objective: Objective,
    extension: str,
    k: int,
    raw: bool,
) -> Callable[..., Estimate]:
    """Returns `(theta [R, n], draws, parameters, state) -> Estimate`, compiled once for all seeds.

    If `raw`, the function takes the random numbers from which the draws are made, else the draws.
    """

    def estimate(theta: Array, draws: Mapping[str, Array], parameters: Parameters, state: Any) -> Estimate:
        def f(z: Array) -> Array:
            return objective.extensions[extension](ops.xp, z, parameters)

        settings: dict[str, Any] = {"k": k, "params": dict(params)}
        if raw:
            draws = resolve_draws(estimator.draws_for(**settings), ops, theta, draws, f, **settings)
        return evaluate(estimator, ops, theta, draws, f, **settings, state=state)

    return ops.compile(estimate)
