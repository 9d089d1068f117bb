"""Declared randomness: what an estimator may draw, and how the draws are made from a source of random numbers.

An estimator names its draws; drawing is somebody else's work. The raw numbers behind a draw are the noise itself, or
the uniforms of an exact sample, so that they can be handed to both backends, or to a compiled function, as arrays.
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
    """An exact sample of the conditional Poisson law, `[S, B, n]`.

    Attributes:
      logits: None for the law of theta; else `(ops, theta, draws, f, *, k, **params) -> [S, B, n]`, the logits of
        the law given the draws before it.
      sampler: `(ops, logits, k, uniforms) -> [S, B, n]`, which makes the sample from uniforms of that shape. The law is
        the same for all; it is there so that another exact sampler can be run and timed.
    """

    logits: Callable[..., Array] | None = None
    sampler: Callable[..., Array] = subsets.sample


SUBSET = Subset()
Draws = Mapping[str, Subset | Noise]


def sum_of_gamma_draws(k: int, *, kappa: float, tau: float, terms: int, **_: Any) -> Draws:
    """Returns one additive sum-of-gamma noise; kappa = 0 means κ = k, as its authors advise."""
    return {"noise": sum_of_gamma(kappa or max(k, 1), tau, terms)}


def raw_draws(declared: Draws, draw: Draw, xp: Any, *, samples: int, rows: int, n: int) -> dict[str, Array]:
    """Returns the random numbers behind each declared draw: the noise itself, or uniforms `[S, B, n]` for a subset.

    Args:
      declared: of `Estimator.draws_for`.
      draw: `ops.draw(key)` or `noise.numpy_draw(generator, dtype)`.
      xp: the namespace of the arrays that `draw` makes.
      samples, rows, n: S, B and n.
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
    """Returns the draws from their raw numbers, in the order declared: later subsets may depend on earlier draws.

    Args:
      declared: of `Estimator.draws_for`.
      ops, theta: `[B, n]`.
      raw: see `raw_draws`.
      f: the objective; None where it is not known, for draws that do not depend on it.
      k, params: items chosen, and all parameters of the estimator.
    """
    draws: dict[str, Array] = {}
    for name, declaration in declared.items():
        if not isinstance(declaration, Subset):
            draws[name] = raw[name]
            continue
        logits = theta if declaration.logits is None else declaration.logits(ops, theta, draws, f, k=k, **params)
        draws[name] = declaration.sampler(ops, logits, k, raw[name])
    return draws
