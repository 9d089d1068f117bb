"""The record of an objective: a set function with named smooth extensions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = Any
Parameters = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Objective:
    """A function of k-hot vectors, extended to the points between them.

    Attributes:
      name: id in results.
      draw: `(RandomState, n) -> parameters`, float64 numpy arrays.
      extensions: name -> `(xp, z [..., n], parameters) -> [...]`. All agree on k-hot z. The first is the default.
      degree: `affine` or `quadratic` if every extension is such a function of z, else `any`. An estimator that claims
        to be unbiased for functions of this degree is unbiased on this objective.
      linear: `parameters -> c [n]` with f(z) = c·z + const on k-hot vectors; None if f is not affine there.
      pairwise: `parameters -> (c [n], Q [n, n])` with f(z) = c·z + ½ zᵀQz + const on k-hot vectors; None if f is not
        quadratic there.
    """

    name: str
    draw: Callable[[np.random.RandomState, int], dict[str, np.ndarray]]
    extensions: Mapping[str, Callable[[Any, Array, Parameters], Array]]
    degree: str = "any"
    linear: Callable[[Parameters], Array] | None = None
    pairwise: Callable[[Parameters], tuple[Array, Array]] | None = None

    def extension(self, name: str) -> str:
        """Returns the extension's name, the default one for an empty name.

        Raises:
          ValueError: no such extension.
        """
        if not name:
            return next(iter(self.extensions))
        if name not in self.extensions:
            raise ValueError(f"objective {self.name} has no extension {name!r}; choose {', '.join(self.extensions)}")
        return name


def linear_form(xp: Any, z: Array, c: Array) -> Array:
    """Returns c·z over the last axis."""
    return xp.sum(z * c, axis=-1)


def quadratic_form(xp: Any, z: Array, q: Array) -> Array:
    """Returns ½ zᵀQz over the last axis."""
    return xp.sum((z @ q) * z, axis=-1) / 2
