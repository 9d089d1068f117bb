"""Measures quality cells: each becomes an outcome with its metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

import subsetgrad
from subsetgrad import subsets

from .. import backends, objectives
from ..results.cell import Cell
from ..results.outcome import Measurement, Outcome, Report, failed
from .metrics import exact_measurements, sampled_measurements
from .moments import exact_moments, has_exact, sampled_moments
from .noise_source import NoiseSource
from .problem import Method, draw_problem
from .true_gradients import references


def measure(cells: Sequence[Cell], effort: None, report: Report) -> Iterator[Outcome]:
    """Yields the outcome of each cell, computed one after another; a cell that raises fails, and the others follow.

    Args:
      cells: cells of quality.
      effort: None, because the cell has the number of replicates.
      report: shows the estimator that is being measured.
    """
    del effort
    for cell in cells:
        report.doing(cell.estimator)
        start = time.perf_counter()
        try:
            measurements = quality_of(cell)
        except Exception as error:  # an estimator may raise any exception, which is stored with the cell
            yield failed(cell, time.perf_counter() - start, error)
        else:
            yield Outcome(cell, time.perf_counter() - start, measurements)


def quality_of(cell: Cell) -> list[Measurement]:
    """Returns the quality metrics of a cell, against the estimator's target and the conditional Poisson.

    They are exact if the estimate takes few enough values to sum over, and sampled otherwise.

    Raises:
      ValueError: the cell does not define a problem, or no exact gradient is known at its size.
      Exception: the estimator raised it.
    """
    estimator = subsetgrad.get(cell.estimator)
    backends.check(estimator, cell.backend, cell.n, cell.k)
    ops = backends.load(cell.backend, cell.device, cell.dtype)
    objective = objectives.get(cell.objective)
    problem = draw_problem(objective, cell.extension, cell.logits, n=cell.n, k=cell.k, seed=cell.seed)
    method = Method(estimator, estimator.resolve_params(dict(cell.params)), cell.samples)
    subsets.check(ops, ops.asarray(problem.theta), cell.k)
    gradients = references(problem, method, backends.load(cell.backend, cell.device, "float64"))
    if all(gradient is None for gradient in gradients.values()):
        raise ValueError(
            f"n={cell.n}, k={cell.k}: the exact gradient of {cell.objective} cannot be computed; use a smaller n"
        )
    targets = {name: np.zeros(cell.n) if gradient is None else gradient for name, gradient in gradients.items()}
    stacked = np.stack(list(targets.values()))
    if has_exact(problem, method):
        moments = exact_moments(problem, method, ops, stacked)
        return exact_measurements(moments, targets, cell.replicates, float(np.finfo(cell.dtype).eps))
    batches = sampled_moments(problem, method, ops, NoiseSource(cell.seed), cell.replicates, stacked)
    return sampled_measurements(batches, targets, cell.replicates)
