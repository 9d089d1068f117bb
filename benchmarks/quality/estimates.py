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
      draws: of every row; if `raw`, the numbers behind the draws, as `draws.raw_draws` makes them.
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
        # An estimate that is 0 in exact arithmetic (equal subsets, say) may come out as rounding of values of order n.
        # With continuous noise nothing cancels exactly, and a steep softmax makes true gradients as small as that.
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

    `raw` says whether it takes the numbers behind the draws or the draws.
    """

    def estimate(theta: Array, draws: Mapping[str, Array], parameters: Parameters, state: Any) -> Estimate:
        def f(z: Array) -> Array:
            return objective.extensions[extension](ops.xp, z, parameters)

        settings: dict[str, Any] = {"k": k, "params": dict(params)}
        if raw:
            draws = resolve_draws(estimator.draws_for(**settings), ops, theta, draws, f, **settings)
        return evaluate(estimator, ops, theta, draws, f, **settings, state=state)

    return ops.compile(estimate)
