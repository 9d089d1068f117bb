"""Declared randomness: an estimator declares what it draws, and the caller makes the draws.

The raw numbers of a draw are the noise itself, or the uniform numbers of an exact sample. They are plain arrays, so the
same numbers can be given to both backends, or to a compiled function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import subsets
from .noise import Draw, Noise, sum_of_gamma
from .ops import Array, Ops

Objective = Callable[[Array], Array]


@dataclass(frozen=True)
class Subset:
    """The declaration of an exact sample of the conditional Poisson law, `[S, B, n]`.

    Attributes:
      logits: None for the law of theta; else `(ops, theta, draws, f, *, k, **params) -> [S, B, n]`, the logits of the
        law given the draws declared earlier.
      sampler: `(ops, logits, k, uniforms) -> [S, B, n]`, which makes the sample from uniform numbers of that shape.
        Every sampler must have the same law; another one can be declared in order to time it.
    """

    logits: Callable[..., Array] | None = None
    sampler: Callable[..., Array] = subsets.sample


SUBSET = Subset()
Draws = Mapping[str, Subset | Noise]


def sum_of_gamma_draws(k: int, *, kappa: float, tau: float, terms: int, **_: Any) -> Draws:
    """Returns the declaration of one additive sum-of-gamma noise; kappa = 0 means κ = k, as its authors advise."""
    return {"noise": sum_of_gamma(kappa or max(k, 1), tau, terms)}


def raw_draws(declared: Draws, draw: Draw, xp: Any, *, samples: int, rows: int, n: int) -> dict[str, Array]:
    """Returns the raw numbers of each declared draw: the noise itself, or uniforms `[S, B, n]` for a subset.

    Args:
      declared: from `Estimator.draws_for`.
      draw: `ops.draw(key)` or `noise.numpy_draw(generator, dtype)`.
      xp: the namespace of the arrays that `draw` returns.
      samples: S.
      rows: B.
      n: items.
    """
    raw = {}
    for name, declaration in declared.items():
        if isinstance(declaration, Subset):
            raw[name] = draw("uniform", (samples, rows, n))
        else:
            raw[name] = declaration.transform(xp, draw, declaration.shape(samples, rows, n))
    return raw


def resolve_draws(
    declared: Draws,
    ops: Ops,
    theta: Array,
    raw: Mapping[str, Array],
    f: Objective | None,
    *,
    k: int,
    params: Mapping[str, Any],
) -> dict[str, Array]:
    """Returns the draws made from their raw numbers, in the order declared; a subset may depend on earlier draws.

    Args:
      declared: from `Estimator.draws_for`.
      ops: the backend.
      theta: `[B, n]`.
      raw: from `raw_draws`.
      f: the objective; may be None if no draw depends on it.
      k: items chosen.
      params: all parameters of the estimator.
    """
    draws: dict[str, Array] = {}
    for name, declaration in declared.items():
        if not isinstance(declaration, Subset):
            draws[name] = raw[name]
            continue
        logits = theta if declaration.logits is None else declaration.logits(ops, theta, draws, f, k=k, **params)
        draws[name] = declaration.sampler(ops, logits, k, raw[name])
    return draws
