"""What the tests of estimator families ask alike: one curved objective, and one estimate as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import oracles

from subsetgrad import get
from subsetgrad.base import evaluate


@dataclass(frozen=True)
class Curved:
    """f(z) = sin(a·z) + Σ c_i z_i³ + constant, of points `[..., n]`: its slope differs from point to point."""

    a: np.ndarray
    c: np.ndarray
    constant: float = 0.0

    def _of(self, xp, z, a, c):
        return xp.sin(xp.sum(a * z, axis=-1)) + xp.sum(c * z**3, axis=-1) + self.constant

    def __call__(self, z):
        """Returns `[...]` f, on numpy."""
        return self._of(np, z, self.a, self.c)

    def on(self, ops):
        """Returns f, on a backend."""
        a, c = ops.asarray(self.a), ops.asarray(self.c)
        return lambda z: self._of(ops.xp, z, a, c)

    def slope(self, z):
        """Returns `[n]` ∇f at one point, by finite differences."""
        return oracles.finite_difference(self, z)


def estimated(ops, name, theta, draws, f, *, k, state=None, **params):
    """Returns points `[M, B, n]`, weights `[M, B]` and gradient `[B, n]` as numpy, and the next state.

    Args:
      name, params: the estimator, and those parameters that are not its defaults.
      theta, draws, state: numpy, or of the backend.
      f: of the backend, as `Curved.on` returns it.
    """
    record = get(name)
    arrays = {key: ops.asarray(value) for key, value in draws.items()}
    state = None if state is None else {key: ops.asarray(value) for key, value in state.items()}
    params = record.resolve_params(params)
    *found, state = evaluate(record, ops, ops.asarray(theta), arrays, f, k=k, params=params, state=state)
    return (*map(np.asarray, found), state)
