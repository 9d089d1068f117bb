"""One cell of quality to its rows."""

from __future__ import annotations

import numpy as np

import subsetgrad
from subsetgrad import subsets

from .. import backends, objectives
from ..results.cell import Cell
from ..results.store import Measurement
from .metrics import exact_measurements, sampled_measurements
from .moments import exact_moments, has_exact, sampled_moments
from .noise_source import NoiseSource
from .problem import Method, draw_problem
from .true_gradients import references


def quality_of(cell: Cell) -> list[Measurement]:
    """Returns the quality metrics of a cell, against the estimator's target and the conditional Poisson.

    Exact where the estimate takes few enough values, else sampled. Nothing is stored here.

    Raises:
      ValueError: the cell does not define a problem, or no exact gradient is known at its size.
      Exception: any that the estimator raises.
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
        raise ValueError(f"n={cell.n}, k={cell.k}: no exact gradient of {cell.objective} within reach; use a smaller n")
    targets = {name: np.zeros(cell.n) if gradient is None else gradient for name, gradient in gradients.items()}
    stacked = np.stack(list(targets.values()))
    if has_exact(problem, method):
        moments = exact_moments(problem, method, ops, stacked)
        return exact_measurements(moments, targets, cell.replicates, float(np.finfo(cell.dtype).eps))
    batches = sampled_moments(problem, method, ops, NoiseSource(cell.seed), cell.replicates, stacked)
    return sampled_measurements(batches, targets, cell.replicates)
