"""The named noises, each with its exact mean and variance. One definition serves numpy, torch and jax."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .ops import Array

Draw = Callable[..., Array]  # (primitive, shape, parameter=None) -> array: see `Ops.draw`

# Smaller exponential numbers are replaced by this one, so that −log of them stays finite in float32.
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Noise:
    """Independent noise for each sample, row and item.

    Attributes:
      name: the distribution with its parameters; noises with the same `(name, axes)` have the same distribution.
      mean: of one entry, exact.
      variance: of one entry, exact.
      transform: `(xp, draw, shape) -> array` of that shape, made from the primitives of `draw`.
      axes: extra axes between rows and items, so that a draw has shape `[S, B, *axes, n]`.
    """

    name: str
    mean: float
    variance: float
    transform: Callable[[Any, Draw, tuple[int, ...]], Array]
    axes: tuple[int, ...] = ()

    def with_axes(self, *axes: int) -> Noise:
        """Returns the same noise with extra axes between rows and items."""
        return replace(self, axes=axes)

    def shape(self, samples: int, rows: int, n: int) -> tuple[int, ...]:
        """Returns the shape of a draw, `[S, B, *axes, n]`."""
        return (samples, rows, *self.axes, n)


def _gumbel(xp: Any, draw: Draw, shape: tuple[int, ...]) -> Array:
    # −log of an exponential number is finite, where −log(−log(uniform)) is infinite at uniform = 0.
    return -xp.log(_exponential(xp, draw, shape))


def _exponential(xp: Any, draw: Draw, shape: tuple[int, ...]) -> Array:
    exponential = draw("exponential", shape)
    return xp.where(exponential > _SMALLEST, exponential, _SMALLEST)


GUMBEL = Noise("gumbel", mean=float(np.euler_gamma), variance=math.pi**2 / 6, transform=_gumbel)
EXPONENTIAL = Noise("exponential", mean=1.0, variance=1.0, transform=_exponential)
NORMAL = Noise("normal", mean=0.0, variance=1.0, transform=lambda _, draw, shape: draw("normal", shape))


def sum_of_gamma(kappa: float, tau: float = 1.0, terms: int = 10) -> Noise:
    """Returns the sum-of-gamma noise ε = (τ/κ) (Σ_{i<=s} Γ_i − log s), Γ_i ~ Gamma(shape 1/κ, scale κ/i).

    The sum of κ independent copies tends to Gumbel(0, τ) as s grows.

    Args:
      kappa: κ > 0, usually the subset size k.
      tau: τ > 0, the scale.
      terms: s >= 1, the number of terms.

    Raises:
      ValueError: an argument out of range.

    Source: Niepert et al. 2021 (I-MLE). The scale κ/i is the rate i/κ; two published codes confuse the two.
    """
    for name, value in (("kappa", kappa), ("tau", tau), ("terms", terms)):
        if not value > 0:
            raise ValueError(f"{name}={value!r} of the sum-of-gamma noise must be positive")
    index = np.arange(1, int(terms) + 1)

    def transform(_: Any, draw: Draw, shape: tuple[int, ...]) -> Array:
        total = 0.0
        for i in index:  # one term at a time, so that only one array is held in memory
            total = total + draw("gamma", shape, 1 / kappa) * (kappa / float(i))
        return (total - math.log(terms)) * (tau / kappa)

    return Noise(
        name=f"sum_of_gamma(kappa={kappa:g},tau={tau:g},terms={int(terms)})",
        mean=tau / kappa * float(np.sum(1 / index) - math.log(terms)),
        variance=tau**2 / kappa * float(np.sum(1 / index**2)),
        transform=transform,
    )


def numpy_draw(generator: np.random.Generator, dtype: str) -> Draw:
    """Returns numpy's counterpart of `ops.draw(key)`, which gives the same numbers for every backend."""
    numpy_dtype: Any = np.dtype(dtype)

    def primitive(name: str, shape: tuple[int, ...], parameter: float = 0.0) -> np.ndarray:
        if name == "uniform":
            return generator.random(shape, dtype=numpy_dtype)
        if name == "exponential":
            return generator.standard_exponential(shape, dtype=numpy_dtype)
        if name == "normal":
            return generator.standard_normal(shape, dtype=numpy_dtype)
        return generator.standard_gamma(parameter, shape, dtype=numpy_dtype)

    return primitive
