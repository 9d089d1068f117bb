"""Shared by the tests of estimator families: a curved objective, and estimates as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import oracles

from subsetgrad import get
from subsetgrad.base import evaluate


@dataclass(frozen=True)
class Curved:
    """f(z) = sin(a·z) + Σ c_i z_i³ + constant, for points `[..., n]`; its gradient differs from point to point."""

    a: np.ndarray
    c: np.ndarray
    constant: float = 0.0

    def _of(self, xp, z, a, c):
        return xp.sin(xp.sum(a * z, axis=-1)) + xp.sum(c * z**3, axis=-1) + self.constant

    def __call__(self, z):
        """Returns f at numpy points, `[...]`."""
        return self._of(np, z, self.a, self.c)

    def on(self, ops):
        """Returns f as a function on the arrays of a backend."""
        a, c = ops.asarray(self.a), ops.asarray(self.c)
        return lambda z: self._of(ops.xp, z, a, c)

    def slope(self, z):
        """Returns ∇f at one point, `[n]`, by finite differences."""
        return oracles.finite_difference(self, z)


def estimated(ops, name, theta, draws, f, *, k, state=None, **params):
    """Returns points `[M, B, n]`, weights `[M, B]` and gradient `[B, n]` as numpy arrays, and the next state.

    Args:
      ops: the backend.
      name: of the estimator.
      theta: `[B, n]`, of numpy or of the backend.
      draws: arrays of numpy or of the backend.
      f: on arrays of the backend, for example from `Curved.on`.
      k: items chosen.
      state: arrays of numpy or of the backend, or None.
      **params: the parameters that differ from their defaults.
    """
    record = get(name)
    arrays = {key: ops.asarray(value) for key, value in draws.items()}
    state = None if state is None else {key: ops.asarray(value) for key, value in state.items()}
    params = record.resolve_params(params)
    *values, state = evaluate(record, ops, ops.asarray(theta), arrays, f, k=k, params=params, state=state)
    return (*map(np.asarray, values), state)
