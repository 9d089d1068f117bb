"""What is asked of an estimator, on torch in float64, and the metrics that exact and sampled moments answer."""

from __future__ import annotations

import numpy as np

from benchmarks import objectives
from benchmarks.quality import true_gradients
from benchmarks.quality.metrics import exact_measurements, sampled_measurements
from benchmarks.quality.moments import Question, exact_moments, sampled_moments
from benchmarks.quality.noise_source import NoiseSource
from subsetgrad import get
from subsetgrad import ops as ops_module


def question_about(estimator, *, n=6, k=3, objective="smooth", extension="", seed=0, samples=1, **params):
    """Returns what is estimated, of a record and not of a name."""
    f, ops = objectives.get(objective), ops_module.load("torch:cpu", "float64")
    theta, parameters = objectives.problem(f, "normal", n, seed)
    resolved, samples = estimator.resolve_params(params), estimator.samples(samples)
    return Question(estimator, resolved, ops, f, f.extension(extension), theta, parameters, k, samples)


def question_of(name, **asked):
    """Returns what is estimated, and the exact gradients by target; `asked` as of `question_about`."""
    q = question_about(get(name), **asked)
    known = true_gradients.references(
        q.estimator, q.params, q.ops, q.objective, q.extension, q.theta, q.parameters, q.k
    )
    return q, known


def stacked(known):
    """Returns the exact gradients `[targets, n]`."""
    return np.stack(list(known.values()))


def exact_rows(asked, known, replicates=10_000):
    """Returns the measurements by metric, of the conditional Poisson, from finite sums."""
    found = exact_measurements(exact_moments(asked, stacked(known)), known, replicates, 2.2e-16)
    return {row.metric: row for row in found if row.target == "conditional_poisson"}


def sampled_rows(asked, known, replicates=10_000, seed=0):
    """Returns the measurements by metric, of the conditional Poisson, from replicates."""
    batches = sampled_moments(asked, NoiseSource(seed, "test"), replicates, stacked(known))
    found = sampled_measurements(batches, known, replicates)
    return {row.metric: row for row in found if row.target == "conditional_poisson"}
