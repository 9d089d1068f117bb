"""The paper's toy objective, ‖z − b‖² (Ahmed et al. 2023, Section 5.1).

It is affine on k-hot vectors, since z² = z there: the bias of SIMPLE on it comes from the extension alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .base import Array, Objective, Parameters, linear_form


def _square(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum((z - p["b"]) ** 2, axis=-1)


def _linear(xp: Any, z: Array, p: Parameters) -> Array:
    return linear_form(xp, z, 1 - 2 * p["b"]) + xp.sum(p["b"] ** 2, axis=-1)


def _distance(name: str, draw: Callable[[np.random.RandomState, int], np.ndarray]) -> Objective:
    return Objective(
        name=name,
        draw=lambda rng, n: {"b": draw(rng, n)},
        extensions={"square": _square, "linear": _linear},
        degree="quadratic",
        linear=lambda p: -2 * p["b"],
    )


# b = |N(0, I)| as the authors' notebook computes it, and b ~ N(0, I) as the paper's text has it.
DISTANCE = _distance("distance", lambda rng, n: np.abs(rng.randn(n)))
DISTANCE_SIGNED = _distance("distance_signed", lambda rng, n: rng.randn(n))
