"""An estimator under test, with a small problem of each objective on one backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from subsetgrad import Estimator, Subset
from subsetgrad.base import Estimate, evaluate
from subsetgrad.draws import Draws, raw_draws, resolve_draws
from subsetgrad.noise import numpy_draw
from subsetgrad.ops import Array, Ops

from .. import objectives
from ..quality.estimates import compiled
from ..quality.problem import Method, Problem, draw_problem

N = 6
ROWS = 4  # the same in all checks, so that a compiled function serves them all
REPLICATES = 20_000


class NotApplicableError(Exception):
    """Raised by a check for which the record makes no claim to test, with the reason."""


@dataclass(frozen=True)
class Candidate:
    """An estimator on a backend, with a small problem of each objective.

    Attributes:
      estimator: the record, at its default parameters.
      ops: the backend.
    """

    estimator: Estimator
    ops: Ops

    @property
    def k(self) -> int:
        """The subset size of the checks."""
        return 1 if self.estimator.k == 1 else 3

    @cached_property
    def params(self) -> dict[str, Any]:
        """The default parameters."""
        return self.estimator.resolve_params({})

    @cached_property
    def replicates(self) -> int:
        """The number of estimates in a statistical check; fewer if each needs many random numbers."""
        numbers = [math.prod(draw.axes) for draw in self.declared().values() if not isinstance(draw, Subset)]
        return min(REPLICATES, max(REPLICATES // 10, 2_000_000 // max(numbers, default=1)))

    @property
    def rounding(self) -> float:
        """The relative difference that rounding may make."""
        return 1e-9 if self.ops.dtype == "float64" else 1e-3

    def declared(self, k: int | None = None) -> Draws:
        """Returns the declared draws; `k` is the subset size of the checks by default."""
        return self.estimator.draws_for(self.k if k is None else k, self.params)

    def theta(self, rows: int) -> np.ndarray:
        """Returns `[rows, n]` logits, all different."""
        return np.random.RandomState(7).randn(rows, N) * 1.5

    def raw(self, rows: int, samples: int | None = None, seed: int = 0, k: int | None = None) -> dict[str, np.ndarray]:
        """Returns the random numbers from which the draws are made, the same for both backends."""
        return raw_draws(
            self.declared(k),
            numpy_draw(np.random.default_rng(seed), self.ops.dtype),
            np,
            samples=self.estimator.samples(samples or 2),
            rows=rows,
            n=N,
        )

    def state(self, theta: Array) -> Any:
        """Returns a state for the rows of theta: the initial one plus 0.5, because a state of 0 could hide an error."""
        if self.estimator.initial_state is None:
            return None
        return {name: value + 0.5 for name, value in self.estimator.initial_state(self.ops, theta).items()}

    def estimate(
        self, theta: np.ndarray, raw: dict[str, np.ndarray], objective: str = "smooth", k: int | None = None
    ) -> Estimate:
        """Returns the estimate of each row of theta, by a compiled function, as numpy arrays."""
        ops, problem = self.ops, self.problem(objective, k)
        function = compiled(
            self.estimator, tuple(self.params.items()), ops, problem.objective, problem.extension, problem.k, True
        )
        logits = ops.asarray(theta)
        arrays = {name: ops.asarray(value) for name, value in raw.items()}
        estimate = function(logits, arrays, problem.device_parameters(ops), self.state(logits))
        points, weights, gradient = (np.asarray(array) for array in estimate[:3])
        return Estimate(points, weights, gradient, estimate.state)

    def device_inputs(self, rows: int) -> tuple[Array, dict[str, Array]]:
        """Returns `theta` and `raw` as arrays of the backend."""
        raw = {name: self.ops.asarray(value) for name, value in self.raw(rows).items()}
        return self.ops.asarray(self.theta(rows)), raw

    def draws(self, theta: Array, raw: dict[str, Array], f: Callable[[Array], Array]) -> dict[str, Array]:
        """Returns the draws that are made of the random numbers `raw`."""
        return resolve_draws(self.declared(), self.ops, theta, raw, f, k=self.k, params=self.params)

    def evaluate(self, theta: Array, draws: dict[str, Array], f: Callable[[Array], Array]) -> Estimate:
        """Returns the estimate for any function f, not compiled."""
        state = self.state(theta)
        return evaluate(self.estimator, self.ops, theta, draws, f, k=self.k, params=self.params, state=state)

    def problem(self, objective: str, k: int | None = None) -> Problem:
        """Returns the problem of an objective, at the first row of `theta`."""
        k = self.k if k is None else k
        problem = draw_problem(objectives.get(objective), "", "normal", n=N, k=k, seed=3)
        return replace(problem, theta=self.theta(1)[0])

    def objective(self, name: str) -> Callable[[Array], Array]:
        """Returns the objective as a function of points on this backend."""
        return self.problem(name).f(self.ops)

    def method(self, samples: int) -> Method:
        """Returns the estimator at its default parameters."""
        return Method(self.estimator, self.params, samples)
