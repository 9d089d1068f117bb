"""Affine and pairwise objectives: their exact gradients need no enumeration, at any n."""

from __future__ import annotations

import numpy as np

from .base import Objective, linear_form, quadratic_form


def _draw_pairwise(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    q = rng.randn(n, n) / np.sqrt(n)
    q = q + q.T
    np.fill_diagonal(q, 0.0)
    return {"c": rng.randn(n), "q": q}


AFFINE = Objective(
    "affine",
    lambda rng, n: {"c": rng.randn(n)},
    {"linear": lambda xp, z, p: linear_form(xp, z, p["c"])},
    degree="affine",
    linear=lambda p: p["c"],
)
PAIRWISE = Objective(
    "pairwise",
    _draw_pairwise,
    {
        "multilinear": lambda xp, z, p: linear_form(xp, z, p["c"]) + quadratic_form(xp, z, p["q"]),
        "square": lambda xp, z, p: linear_form(xp, z**2, p["c"]) + quadratic_form(xp, z, p["q"]),
    },
    degree="quadratic",
    pairwise=lambda p: (p["c"], p["q"]),
)
