"""Products of long polynomials, as values at roots of unity.

A node holds its generating function at the N-th roots of unity ω^m, m = 0 .. N//2 (the rest are conjugates): a product
is pointwise, and a change of representation one matrix product. N need not exceed the degree. The tilt puts the mean
of the count Σ at k, so P(Σ = k ± N) is negligible beside P(Σ = k) from L/3 + √(L²/9 + 2L·min(k, n−k)) on, L = log 1/ε
(Bernstein's inequality: the variance is below min(k, n−k)), and counts that are equal modulo N need not be told apart;
N is that, rounded up, and 2. So it grows as √k and not as k, and the work as n√k at worst; values are bounded by 1 and
carry an absolute accuracy of rounding, which beside a P(Σ = k) of at least about 1/√(2πk) is a relative one.
"""

from __future__ import annotations

import math

import numpy as np

from ..ops import Array, Ops
from .polynomials import apply

# log 1/ε for what is folded onto k from k ± N, an order below the rounding of the sum itself.
_TAIL = {"float32": math.log(1e8), "float64": math.log(1e17)}


def enough(dtype: str, n: int, k: int) -> int:
    """Returns N, how many roots tell k from the other likely counts; at most n + 1, which tell all."""
    tail, variance = _TAIL[dtype], min(k, n - k)
    return min(math.ceil(tail / 3 + math.sqrt(tail * tail / 9 + 2 * tail * variance)) + 2, n + 1)


def evaluate(ops: Ops, x: Array, count: int, *, conjugate: bool = False) -> Array:
    """Returns the values `[count//2 + 1, nodes, ...]` of the coefficients `x [w, nodes, ...]` at ω^m, or at ω^-m."""
    both = apply(ops, ops.constant(_forward, x.shape[0], count), x)
    real, imaginary = both[: count // 2 + 1], both[count // 2 + 1 :]
    return ops.complex(real, -imaginary if conjugate else imaginary)


def coefficients(ops: Ops, values: Array, count: int, first: int, last: int, *, conjugate: bool = False) -> Array:
    """Returns the coefficients first .. last − 1 of what `evaluate` gave; those of counts equal modulo N are added."""
    xp = ops.xp
    imaginary = xp.imag(values)
    both = xp.concat([xp.real(values), -imaginary if conjugate else imaginary], axis=0)
    return apply(ops, ops.constant(_backward, first, last, count), both)


def power(ops: Ops, k: int, count: int, axes: int) -> Array:
    """Returns ω^(-mk), the conjugate values of the law of a count that is k, `[count//2 + 1, 1, ...]` with `axes`."""
    both = ops.constant(_power, k % count, count)
    real, imaginary = both[: count // 2 + 1], both[count // 2 + 1 :]
    return ops.xp.reshape(ops.complex(real, -imaginary), (-1, *(1,) * (axes - 1)))


def _power(k: int, count: int) -> np.ndarray:
    angles = _angles(np.arange(count // 2 + 1), np.array([k]), count)[:, 0]
    return np.concatenate([np.cos(angles), np.sin(angles)])


def _forward(size: int, count: int) -> np.ndarray:
    angles = _angles(np.arange(count // 2 + 1), np.arange(size), count)
    return np.concatenate([np.cos(angles), np.sin(angles)])


def _backward(first: int, last: int, count: int) -> np.ndarray:
    m = np.arange(count // 2 + 1)
    angles = _angles(m, np.arange(first, last), count)
    # The values at m = 0 and, for an even count, at −1 stand for themselves, the others for a conjugate, too.
    times = np.where((m == 0) | (2 * m == count), 1.0, 2.0)[:, None] / count
    return np.concatenate([times * np.cos(angles), times * np.sin(angles)]).T


def _angles(m: np.ndarray, j: np.ndarray, count: int) -> np.ndarray:
    # Modulo first: an argument of the cosine stays below 2π, with full accuracy.
    return np.asarray(2 * np.pi * ((m[:, None] * j) % count) / count)
