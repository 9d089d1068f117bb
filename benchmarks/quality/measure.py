"""Measures quality cells: each becomes an outcome with its metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

import subsetgrad
from subsetgrad import Estimator, subsets

from .. import backends, objectives
from ..results.cell import Cell
from ..results.outcome import Outcome, Report, failed
from ..results.store import Measurement
from .metrics import exact_measurements, sampled_measurements
from .moments import (
    Question,
    exact_moments,
    has_exact,
    sampled_moments,
)
from .noise_source import NoiseSource
from .true_gradients import references


def measure(cells: Sequence[Cell], effort: None, report: Report) -> Iterator[Outcome]:
    """Yields the outcome of each cell, computed one after another; a cell that raises fails, and the rest go on.

    Args:
      cells: cells of quality.
      effort: None: the cell itself says how many replicates to draw.
      report: shows the cell that is being computed.
    """
    del effort
    for cell in cells:
        report.doing(cell.estimator)
        start = time.perf_counter()
        try:
            measurements = quality_of(cell)
        except Exception as error:  # an estimator may raise anything: its reason is stored with the cell
            yield failed(cell, time.perf_counter() - start, error)
        else:
            yield Outcome(cell, time.perf_counter() - start, measurements)


def quality_of(cell: Cell) -> list[Measurement]:
    """Returns the quality metrics of a cell, against the estimator's target and the conditional Poisson.

    Exact where the estimate takes few enough values, else sampled. Nothing is stored here.

    Raises:
      ValueError: the cell does not define a problem, or its size is out of reach.
      Exception: whatever the estimator raises.
    """
    question = question_of(cell)
    reference_ops = backends.load(cell.backend, cell.device, "float64")
    exact = references(
        question.estimator,
        dict(question.params),
        reference_ops,
        question.objective,
        question.extension,
        question.theta,
        question.parameters,
        cell.k,
    )
    if all(gradient is None for gradient in exact.values()):
        raise ValueError(f"n={cell.n}, k={cell.k}: no exact gradient of {cell.objective} within reach; use a smaller n")
    known = {target: np.zeros(cell.n) if gradient is None else gradient for target, gradient in exact.items()}
    stacked = np.stack(list(known.values()))
    if has_exact(question):
        moments = exact_moments(question, stacked)
        return exact_measurements(moments, known, cell.replicates, float(np.finfo(cell.dtype).eps))
    batches = sampled_moments(question, NoiseSource(cell.seed), cell.replicates, stacked)
    return sampled_measurements(batches, known, cell.replicates)


def question_of(cell: Cell) -> Question:
    """Returns what the cell asks, its problem drawn and checked."""
    estimator: Estimator = subsetgrad.get(cell.estimator)
    backends.check(estimator, cell.backend, cell.n, cell.k)
    objective = objectives.get(cell.objective)
    ops = backends.load(cell.backend, cell.device, cell.dtype)
    theta, parameters = objectives.problem(objective, cell.logits, cell.n, cell.seed)
    subsets.check(ops, ops.asarray(theta), cell.k)
    return Question(
        estimator,
        estimator.resolve_params(dict(cell.params)),
        ops,
        objective,
        objective.extension(cell.extension),
        theta,
        parameters,
        cell.k,
        cell.samples,
    )
