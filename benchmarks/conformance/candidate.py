"""An estimator under test: one small problem of each kind on one backend, and the comparisons that checks make."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from subsetgrad import Estimator, Subset
from subsetgrad.base import Estimate
from subsetgrad.draws import Draws, raw_draws
from subsetgrad.noise import numpy_draw
from subsetgrad.ops import Array, Ops

from .. import objectives
from ..quality.estimates import compiled
from ..quality.moments import exact_moments, has_exact, sampled_moments
from ..quality.noise_source import NoiseSource
from ..quality.problem import Method, Problem, draw_problem
from ..quality.true_gradients import references, target_label

N = 6
ROWS = 4  # the same in all checks, so that they share what is compiled
REPLICATES = 20_000
# A claim is refuted beyond this many standard errors. The suite makes some 2,000 comparisons, so that a sound estimator
# fails it with a probability under 1e-5; seeds are fixed.
SIGMAS = 6.0


class NotApplicableError(Exception):
    """Raised by a check that the record gives nothing to test, with the reason."""


@dataclass(frozen=True)
class Candidate:
    """An estimator on a backend, with one small problem of each kind.

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
        """How many estimates a statistical check takes; fewer if each needs many random numbers."""
        noises = [math.prod(draw.axes) for draw in self.declared().values() if not isinstance(draw, Subset)]
        return min(REPLICATES, max(REPLICATES // 10, 2_000_000 // max(noises, default=1)))

    def declared(self, k: int | None = None) -> Draws:
        """Returns the declared draws, at the subset size of the checks unless another is given."""
        return self.estimator.draws_for(self.k if k is None else k, self.params)

    def theta(self, rows: int) -> np.ndarray:
        """Returns `[rows, n]` logits, no two alike."""
        return np.random.RandomState(7).randn(rows, N) * 1.5

    def raw(self, rows: int, samples: int | None = None, seed: int = 0, k: int | None = None) -> dict[str, np.ndarray]:
        """Returns the numbers behind the draws, the same for both backends."""
        return raw_draws(
            self.declared(k),
            numpy_draw(np.random.default_rng(seed), self.ops.dtype),
            np,
            samples=self.estimator.samples(samples or 2),
            rows=rows,
            n=N,
        )

    def state(self, theta: Array) -> Any:
        """Returns a state for the rows of theta: the initial one plus 0.5, since an entry of 0 could hide an error."""
        if self.estimator.initial_state is None:
            return None
        return {name: value + 0.5 for name, value in self.estimator.initial_state(self.ops, theta).items()}

    def estimate(
        self, theta: np.ndarray, raw: dict[str, np.ndarray], objective: str = "smooth", k: int | None = None
    ) -> Estimate:
        """Returns the estimate of each row of theta, its arrays in numpy."""
        ops, problem = self.ops, self.problem(objective, k)
        function = compiled(
            self.estimator, tuple(self.params.items()), ops, problem.objective, problem.extension, problem.k, True
        )
        logits = ops.asarray(theta)
        arrays = {name: ops.asarray(value) for name, value in raw.items()}
        estimate = function(logits, arrays, problem.device_parameters(ops), self.state(logits))
        points, weights, gradient = (np.asarray(array) for array in estimate[:3])
        return Estimate(points, weights, gradient, estimate.state)

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


def rounding(candidate: Candidate) -> float:
    """Returns the relative difference that rounding may make."""
    return 1e-9 if candidate.ops.dtype == "float64" else 1e-3


def target_gradient(candidate: Candidate, problem: Problem) -> np.ndarray:
    """Returns the exact gradient `[n]` of the estimator's own target.

    Raises:
      NotApplicableError: no exact gradient of that target is known.
    """
    label = target_label(candidate.estimator)
    gradient = references(problem, candidate.method(1), candidate.ops)[label]
    if gradient is None:
        raise NotApplicableError(f"no exact gradient of {label} is known")
    return gradient


def expected_estimate(
    candidate: Candidate, problem: Problem, samples: int, exact: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns E ĝ and its standard error, `[n]` each; `exact` is the gradient of the target."""
    method = candidate.method(samples)
    if has_exact(problem, method):
        return exact_moments(problem, method, candidate.ops, exact[None]).mean, np.zeros(problem.n)
    source = NoiseSource(11, "conformance")
    batches = sampled_moments(problem, method, candidate.ops, source, candidate.replicates, exact[None]).mean
    return batches.mean(axis=0), batches.std(axis=0, ddof=1) / np.sqrt(len(batches))


def assert_mean_is_exact(candidate: Candidate, problem: Problem, samples: int, label: str) -> None:
    """Raises AssertionError unless E ĝ is the exact gradient, coordinate by coordinate."""
    exact = target_gradient(candidate, problem)
    mean, std_error = expected_estimate(candidate, problem, samples, exact)
    tolerance = SIGMAS * std_error + 1e-9 * max(1.0, np.abs(exact).max())
    worst = int(np.argmax(np.abs(mean - exact) / tolerance))
    ratio = float(mean @ exact / (exact @ exact))
    assert np.all(np.abs(mean - exact) <= tolerance), (
        f"{label}: E ĝ[{worst}] = {mean[worst]:.6g} ± {std_error[worst]:.2g}, exact gradient {exact[worst]:.6g} "
        f"(E ĝ·∇/‖∇‖² = {ratio:.4f})"
    )


def assert_means_agree(observed: np.ndarray, expected: np.ndarray, label: str) -> None:
    """Raises AssertionError unless the means of `observed [R, m]` are `expected [m]` within their standard errors."""
    mean = observed.mean(axis=0)
    std_error = observed.std(axis=0, ddof=1) / np.sqrt(len(observed))
    tolerance = SIGMAS * std_error + 1e-5
    worst = int(np.argmax(np.abs(mean - expected) / tolerance))
    assert np.all(np.abs(mean - expected) <= tolerance), (
        f"{label}: entry {worst} is {mean[worst]:.4f} ± {std_error[worst]:.4f}, expected {expected[worst]:.4f}"
    )
