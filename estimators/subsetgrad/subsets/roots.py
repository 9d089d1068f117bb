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


def power(ops: Ops, k: Array, count: int) -> Array:
    """Returns ω^(-mk) for integers k `[1, ...]`, `[count//2 + 1, 1, ...]`: conjugate values of a count that is k."""
    numbers = ops.constant(column, 0, count, k.ndim + 1)
    return evaluate(ops, ops.xp.astype(numbers == k % count, k.dtype), count, conjugate=True)


def column(first: int, last: int, axes: int) -> np.ndarray:
    """Returns the numbers first .. last − 1 along the first of so many axes."""
    return np.arange(first, last, dtype=float).reshape(-1, *(1,) * (axes - 1))


def _forward(size: int, count: int) -> np.ndarray:
    angles = _angles(_order(count), np.arange(size), count)
    return np.concatenate([np.cos(angles), np.sin(angles)])


def _backward(first: int, last: int, count: int) -> np.ndarray:
    m = _order(count)
    angles = _angles(m, np.arange(first, last), count)
    # The values at m = 0 and, for an even count, at −1 stand for themselves, the others for a conjugate, too.
    times = np.where((m == 0) | (2 * m == count), 1.0, 2.0)[:, None] / count
    return np.concatenate([times * np.cos(angles), times * np.sin(angles)]).T


def _order(count: int) -> np.ndarray:
    """Returns 0 .. count//2, the last first, each far from the one before.

    A coefficient is a sum over the roots in this order, of terms that go round in circles. In the order of the circle
    partial sums grow to a third of the largest coefficient, and their rounding with them: the largest relative errors
    of marginals (see `shapes`) were twice to five times as large.
    """
    size = count // 2 + 1
    stride = next(s for s in range(round(0.382 * size), size + 1) if math.gcd(s, size) == 1)
    return (size - 1 - np.arange(size) * stride) % size


def _angles(m: np.ndarray, j: np.ndarray, count: int) -> np.ndarray:
    # Modulo first: an argument of the cosine stays below 2π, with full accuracy.
    return np.asarray(2 * np.pi * ((m[:, None] * j) % count) / count)
