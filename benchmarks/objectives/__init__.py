"""Set functions with named smooth extensions, on which estimators are judged.

An objective's parameters are drawn by numpy from the problem's seed and handed to the backend as arrays, so that a
compiled function serves every seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from subsetgrad.parameters import find_record

Array = Any
Parameters = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Objective:
    """A function of k-hot vectors, extended to points between them.

    Attributes:
      name: id in results.
      draw: `(RandomState, n) -> parameters`, float64 numpy arrays.
      extensions: name -> `(xp, z [..., n], parameters) -> [...]`; all agree on k-hot z. The first is the default.
      degree: `affine` or `quadratic` where every extension is such a function of z, else `any`: what an estimator
        must be unbiased for to be unbiased here.
      linear: for an objective affine on k-hot vectors: `parameters -> c [n]`, f(z) = c·z + const there.
      pairwise: for one quadratic there: `parameters -> (c [n], Q [n, n])`, f(z) = c·z + ½ zᵀQz + const.
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


def _distance_square(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum((z - p["b"]) ** 2, axis=-1)


def _distance_linear(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum(z * (1 - 2 * p["b"]), axis=-1) + xp.sum(p["b"] ** 2, axis=-1)


def _distance(name: str, draw: Callable[[np.random.RandomState, int], np.ndarray]) -> Objective:
    """The paper's toy, ‖z − b‖²: affine on k-hot vectors, so SIMPLE's bias there is its extension's."""
    return Objective(
        name=name,
        draw=lambda rng, n: {"b": draw(rng, n)},
        extensions={"square": _distance_square, "linear": _distance_linear},
        degree="quadratic",
        linear=lambda p: -2 * p["b"],
    )


def _affine(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum(z * p["c"], axis=-1)


def _quadratic_form(xp: Any, z: Array, q: Array) -> Array:
    return xp.sum((z @ q) * z, axis=-1) / 2


def _draw_pairwise(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    q = rng.randn(n, n) / np.sqrt(n)
    q = q + q.T
    np.fill_diagonal(q, 0.0)
    return {"c": rng.randn(n), "q": q}


def _draw_smooth(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    q = rng.randn(n, n) / np.sqrt(n)
    return {"a": rng.randn(n), "b": rng.randn(n), "q": q + q.T}


def _smooth(xp: Any, z: Array, p: Parameters) -> Array:
    inner = xp.sum(z * p["a"], axis=-1) - 1
    return xp.log1p(inner**2) + _quadratic_form(xp, z, p["q"]) + xp.cos(xp.sum(z * p["b"], axis=-1))


def _coverage(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum(p["w"] * xp.prod(1 - z[..., :, None] * p["covered"], axis=-2), axis=-1)


def _draw_coverage(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    return {"w": np.abs(rng.randn(2 * n)), "covered": (rng.rand(n, 2 * n) < 0.3).astype(float)}


def _network(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.sum(xp.tanh(z @ p["w1"] + p["b1"]) * p["w2"], axis=-1)


def _draw_network(rng: np.random.RandomState, n: int) -> dict[str, np.ndarray]:
    return {"w1": rng.randn(n, 16) / np.sqrt(n) * 2, "b1": rng.randn(16), "w2": rng.randn(16)}


def _hinge(xp: Any, z: Array, p: Parameters) -> Array:
    return xp.abs(xp.sum(z * p["a"], axis=-1) - 1)


OBJECTIVES: tuple[Objective, ...] = (
    _distance("distance", lambda rng, n: np.abs(rng.randn(n))),
    _distance("distance_signed", lambda rng, n: rng.randn(n)),
    Objective(
        "affine",
        lambda rng, n: {"c": rng.randn(n)},
        {"linear": _affine},
        degree="affine",
        linear=lambda p: p["c"],
    ),
    Objective(
        "pairwise",
        _draw_pairwise,
        {
            "multilinear": lambda xp, z, p: _affine(xp, z, p) + _quadratic_form(xp, z, p["q"]),
            "square": lambda xp, z, p: _affine(xp, z**2, p) + _quadratic_form(xp, z, p["q"]),
        },
        degree="quadratic",
        pairwise=lambda p: (p["c"], p["q"]),
    ),
    Objective("smooth", _draw_smooth, {"direct": _smooth}),
    Objective("coverage", _draw_coverage, {"multilinear": _coverage}),
    Objective("network", _draw_network, {"direct": _network}),
    Objective("absolute", lambda rng, n: {"a": rng.randn(n)}, {"direct": _hinge}),
)

LOGITS: Mapping[str, Callable[[np.random.RandomState, int], np.ndarray]] = {"normal": lambda rng, n: rng.randn(n)}


def get(name: str) -> Objective:
    """Returns the objective of that name.

    Raises:
      ValueError: no such objective.
    """
    return find_record("objective", name, OBJECTIVES)


def problem(objective: Objective, logits: str, n: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Returns theta `[n]` and the objective's parameters, drawn in that order from `RandomState(seed)`.

    The order and the generator are those of the authors' notebook, so that its seeds give its problems.
    """
    rng = np.random.RandomState(seed)
    theta = LOGITS[logits](rng, n)
    return theta, objective.draw(rng, n)
