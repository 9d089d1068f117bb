"""Weighted coverage: the total weight of the points that no chosen item covers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Objective, Parameters


def _coverage(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum(p["w"] * xp.prod(1 - z[..., :, None] * p["covered"], axis=-2), axis=-1)


def _draw(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    return {"w": np.abs(rng.randn(2 * n)), "covered": (rng.rand(n, 2 * n) < 0.3).astype(float)}


COVERAGE = Objective("coverage", _draw, {"multilinear": _coverage})
