"""Objectives of no fixed degree: smooth, a small network, and one with a kink."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Array, Objective, Parameters, linear_form, quadratic_form


def _smooth(xp: Any, z: Array, p: Parameters) -> Array:
    logarithm = xp.log1p((linear_form(xp, z, p["a"]) - 1) ** 2)
    return logarithm + quadratic_form(xp, z, p["q"]) + xp.cos(linear_form(xp, z, p["b"]))


def _draw_smooth(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    q = rng.randn(n, n) / np.sqrt(n)
    return {"a": rng.randn(n), "b": rng.randn(n), "q": q + q.T}


def _network(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum(xp.tanh(z @ p["w1"] + p["b1"]) * p["w2"], axis=-1)


def _draw_network(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    return {"w1": rng.randn(n, 16) / np.sqrt(n) * 2, "b1": rng.randn(16), "w2": rng.randn(16)}


def _absolute(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.abs(linear_form(xp, z, p["a"]) - 1)


SMOOTH = Objective("smooth", _draw_smooth, {"direct": _smooth})
NETWORK = Objective("network", _draw_network, {"direct": _network})
ABSOLUTE = Objective("absolute", lambda rng, n: {"a": rng.randn(n)}, {"direct": _absolute})
