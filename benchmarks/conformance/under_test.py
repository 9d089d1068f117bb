"""An estimator under test: one small problem of each kind on one backend, and the comparisons that checks make."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from subsetgrad import Estimator, Subset
from subsetgrad.draws import Draws, raw_draws
from subsetgrad.noise import numpy_draw
from subsetgrad.ops import Array, Ops

from .. import objectives
from ..quality.moments import (
    Question,
    compiled,
    exact_moments,
    has_exact,
    sampled_moments,
)
from ..quality.noise_source import NoiseSource
from ..quality.true_gradients import references, target_label

N = 6
ROWS = 4  # the same in all checks, so that they share what is compiled
REPLICATES = 20_000
# Beyond this many standard errors a claim is refuted: some 2,000 comparisons in all, so that a sound estimator fails
# the whole suite with probability under 1e-6 (and seeds are fixed).
SIGMAS = 6.0


class NotApplicableError(Exception):
    """Raised by a check that the record gives nothing to test, with the reason."""


@dataclass(frozen=True)
class Subject:
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
        """How many estimates a statistical check takes: fewer where each holds many noises."""
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
        """Returns a state for the rows of theta: the first one, each entry moved off 0 so that it matters."""
        if self.estimator.initial_state is None:
            return None
        return {name: value + 0.5 for name, value in self.estimator.initial_state(self.ops, theta).items()}

    def estimate(
        self, theta: np.ndarray, raw: dict[str, np.ndarray], objective: str = "smooth", k: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
        """Returns points, weights, gradient and next state as numpy arrays."""
        ops = self.ops
        f = objectives.get(objective)
        function = compiled(
            self.estimator,
            tuple(self.params.items()),
            ops,
            f,
            f.extension(""),
            self.k if k is None else k,
            True,
        )
        on_device = ops.asarray(theta)
        arrays = {name: ops.asarray(value) for name, value in raw.items()}
        parameters = {name: ops.asarray(value) for name, value in self.parameters(objective).items()}
        points, weights, gradient, state = function(on_device, arrays, parameters, self.state(on_device))
        return np.asarray(points), np.asarray(weights), np.asarray(gradient), state

    def parameters(self, objective: str) -> dict[str, np.ndarray]:
        """Returns the objective's parameters."""
        return objectives.problem(objectives.get(objective), "normal", N, 3)[1]

    def objective(self, name: str) -> Callable[[Array], Array]:
        """Returns the objective as a function of points on this backend."""
        f = objectives.get(name)
        parameters = {key: self.ops.asarray(value) for key, value in self.parameters(name).items()}
        return lambda z: f.extensions[f.extension("")](self.ops.xp, z, parameters)

    def question(self, objective: str, samples: int, k: int | None = None) -> Question:
        """Returns the harness's question for this problem."""
        f = objectives.get(objective)
        return Question(
            self.estimator,
            self.params,
            self.ops,
            f,
            f.extension(""),
            self.theta(1)[0],
            self.parameters(objective),
            self.k if k is None else k,
            samples,
        )


def rounding(subject: Subject) -> float:
    """Returns the relative difference that rounding may make."""
    return 1e-9 if subject.ops.dtype == "float64" else 1e-3


def own_reference(subject: Subject, question: Question) -> np.ndarray:
    """Returns the exact gradient `[n]` of the estimator's own target."""
    found = references(
        subject.estimator,
        subject.params,
        subject.ops,
        question.objective,
        question.extension,
        question.theta,
        question.parameters,
        question.k,
    )[target_label(subject.estimator)]
    if found is None:
        raise NotApplicableError(f"no exact gradient of {target_label(subject.estimator)} is known")
    return found


def expected_estimate(question: Question, exact: np.ndarray, replicates: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns E ĝ and its standard error, `[n]` each."""
    if has_exact(question):
        return exact_moments(question, exact[None]).mean, np.zeros(question.n)
    batches = sampled_moments(question, NoiseSource(11, "conformance"), replicates, exact[None]).mean
    return batches.mean(axis=0), batches.std(axis=0, ddof=1) / np.sqrt(len(batches))


def mean_matches(subject: Subject, question: Question, label: str) -> None:
    """Raises AssertionError unless E ĝ is the exact gradient, coordinate by coordinate."""
    exact = own_reference(subject, question)
    mean, std_error = expected_estimate(question, exact, subject.replicates)
    tolerance = SIGMAS * std_error + 1e-9 * max(1.0, np.abs(exact).max())
    worst = int(np.argmax(np.abs(mean - exact) / tolerance))
    ratio = float(mean @ exact / (exact @ exact))
    assert np.all(np.abs(mean - exact) <= tolerance), (
        f"{label}: E ĝ[{worst}] = {mean[worst]:.6g} ± {std_error[worst]:.2g}, exact gradient {exact[worst]:.6g} "
        f"(E ĝ·∇/‖∇‖² = {ratio:.4f})"
    )


def compare(found: np.ndarray, expected: np.ndarray, label: str) -> None:
    """Raises unless the means of `found [R, m]` agree with `expected [m]` within their standard errors."""
    mean = found.mean(axis=0)
    std_error = found.std(axis=0, ddof=1) / np.sqrt(len(found))
    tolerance = SIGMAS * std_error + 1e-5
    worst = int(np.argmax(np.abs(mean - expected) / tolerance))
    assert np.all(np.abs(mean - expected) <= tolerance), (
        f"{label}: entry {worst} is {mean[worst]:.4f} ± {std_error[worst]:.4f}, expected {expected[worst]:.4f}"
    )
