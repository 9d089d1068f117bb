"""The problem and the method, which are the arguments of everything that measures quality."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from subsetgrad import Estimator, Subset
from subsetgrad.draws import Draws
from subsetgrad.ops import Array, Ops

from ..objectives.base import Objective, Parameters

LOGITS: Mapping[str, Callable[[np.random.RandomState, int], np.ndarray]] = {"normal": lambda rng, n: rng.randn(n)}


@dataclass(frozen=True, eq=False)
class Problem:
    """A problem: the gradient of E f(z) with respect to one row of logits.

    Attributes:
      objective, extension: f.
      theta: `[n]` logits, float64.
      parameters: the objective's parameters, float64 numpy arrays.
      k: items chosen, 0 <= k <= n.
    """

    objective: Objective
    extension: str
    theta: np.ndarray
    parameters: Parameters
    k: int

    @property
    def n(self) -> int:
        """The number of items."""
        return int(self.theta.shape[-1])

    def device_parameters(self, ops: Ops) -> dict[str, Array]:
        """Returns the objective's parameters as arrays of a backend."""
        return {name: ops.asarray(value) for name, value in self.parameters.items()}

    def f(self, ops: Ops) -> Callable[[Array], Array]:
        """Returns the objective as a function of points `[..., n]` on a backend."""
        parameters = self.device_parameters(ops)
        return lambda z: self.objective.extensions[self.extension](ops.xp, z, parameters)


@dataclass(frozen=True, eq=False)
class Method:
    """An estimator with its settings.

    Attributes:
      estimator: the record.
      params: all its parameters.
      samples: S, samples averaged inside one estimate.
    """

    estimator: Estimator
    params: Mapping[str, Any]
    samples: int

    def declared(self, k: int) -> Draws:
        """Returns the draws that the estimator declares at these parameters."""
        return self.estimator.draws_for(k, self.params)

    def draws_subsets_only(self, k: int) -> bool:
        """Returns whether every draw is an exact subset, so that an estimate takes finitely many values."""
        return all(isinstance(declaration, Subset) for declaration in self.declared(k).values())


def draw_problem(objective: Objective, extension: str, logits: str, *, n: int, k: int, seed: int) -> Problem:
    """Returns the problem of a seed: theta and the objective's parameters, in that order, from `RandomState(seed)`.

    The order and the generator are those of the authors' notebook, so that its seeds give its problems.

    Args:
      objective, extension: f; an empty extension is the default one.
      logits: a name of `LOGITS`.
      n, k: items, items chosen.
      seed: at least 0.
    """
    rng = np.random.RandomState(seed)
    theta = LOGITS[logits](rng, n)
    return Problem(objective, objective.extension(extension), theta, objective.draw(rng, n), k)
