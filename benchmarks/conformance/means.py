"""The mean of an estimate against the exact gradient, within standard errors where it is sampled."""

from __future__ import annotations

import numpy as np

from ..quality.moments import exact_moments, has_exact, sampled_moments
from ..quality.noise_source import NoiseSource
from ..quality.problem import Problem
from ..quality.true_gradients import references, target_label
from .candidate import Candidate, NotApplicableError

# A claim is refuted beyond this many standard errors. The suite makes some 2,000 comparisons, so a correct estimator
# fails it with a probability under 1e-5. Seeds are fixed.
SIGMAS = 6.0


def target_gradient(candidate: Candidate, problem: Problem) -> np.ndarray:
    """Returns the exact gradient `[n]` of the estimator's target.

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
