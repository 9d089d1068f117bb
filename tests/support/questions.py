"""Small problems with a method, on torch in float64, and their metrics from exact and from sampled moments."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from benchmarks import objectives
from benchmarks.quality import true_gradients
from benchmarks.quality.metrics import exact_measurements, sampled_measurements
from benchmarks.quality.moments import exact_moments, sampled_moments
from benchmarks.quality.noise_source import NoiseSource
from benchmarks.quality.problem import Method, Problem, draw_problem
from subsetgrad import get
from subsetgrad import ops as ops_module
from subsetgrad.ops import Ops


class Question(NamedTuple):
    """A problem, a method and a backend: the first arguments of the functions that measure quality."""

    problem: Problem
    method: Method
    ops: Ops

    def draws(self, source, rows, chunk):
        """Returns the raw draws of one chunk."""
        problem, method, ops = self
        declared = method.declared(problem.k)
        return source.draws(declared, ops, samples=method.samples, rows=rows, n=problem.n, chunk=chunk)


def question_about(estimator, *, n=6, k=3, objective="smooth", extension="", seed=0, samples=1, **params):
    """Returns the question about an estimator, which need not be registered."""
    problem = draw_problem(objectives.get(objective), extension, "normal", n=n, k=k, seed=seed)
    method = Method(estimator, estimator.resolve_params(params), estimator.samples(samples))
    return Question(problem, method, ops_module.load("torch:cpu", "float64"))


def question_of(name, **settings):
    """Returns a question and its exact gradients by target; `settings` as in `question_about`."""
    question = question_about(get(name), **settings)
    return question, true_gradients.references(*question)


def stacked(gradients):
    """Returns the exact gradients `[targets, n]`."""
    return np.stack(list(gradients.values()))


def exact_rows(question, gradients, replicates=10_000):
    """Returns metric -> measurement for the conditional Poisson, from exact moments."""
    rows = exact_measurements(exact_moments(*question, stacked(gradients)), gradients, replicates, 2.2e-16)
    return {row.metric: row for row in rows if row.target == "conditional_poisson"}


def sampled_rows(question, gradients, replicates=10_000, seed=0):
    """Returns metric -> measurement for the conditional Poisson, from replicates."""
    batches = sampled_moments(*question, NoiseSource(seed, "test"), replicates, stacked(gradients))
    rows = sampled_measurements(batches, gradients, replicates)
    return {row.metric: row for row in rows if row.target == "conditional_poisson"}
