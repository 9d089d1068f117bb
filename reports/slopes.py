"""How time and memory grow: families of sizes along which one number changes, and slopes on logarithms.

A family is chosen once for all estimators and backends, from the sizes that the store has, so that its lines compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .load import Z95

# The 97.5 % points of Student's t with 1, 2, … degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
_FRACTIONS = (2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100)
_FEWEST = 3  # sizes that make a line: two always do


@dataclass(frozen=True)
class Family:
    """Sizes along which one number changes.

    Attributes:
      axis: `n` or `k`.
      held: what stays, as a heading says it: `k = 10`, `k = n/2`, `n = 1024`.
      sizes: the pairs (n, k), smallest first.
    """

    axis: str
    held: str
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Slope:
    """The exponent of a power law, fitted over the largest sizes.

    Attributes:
      value, std_error: from scatter about the line, or where that is larger from the errors of the values.
      low, high: its 95 % interval; wide with three points, whose scatter has one degree of freedom.
      sizes: the sizes that were used.
    """

    value: float
    std_error: float
    low: float
    high: float
    sizes: tuple[int, ...]


def families(timed: Mapping[str, Iterable[tuple[int, int]]]) -> list[Family]:
    """Returns the families of three sizes or more: against n at one k and at one share k/n, against k at one n.

    Of each kind the one that serves most estimators, each of them three sizes; of equal ones that with most sizes, then
    with the larger k, share or n. So a form that stops at n = 1000 is compared where it still goes.

    Args:
      timed: estimator -> its pairs (n, k).
    """
    own = [set(sizes) for sizes in timed.values()]
    pairs = sorted(set().union(*own))

    def serves(family: Family) -> tuple[int, int]:
        return sum(len(sizes & set(family.sizes)) >= _FEWEST for sizes in own), len(family.sizes)

    ks, ns = (sorted({pair[place] for pair in pairs}) for place in (1, 0))
    at_k = [Family("n", f"k = {k}", tuple(pair for pair in pairs if pair[1] == k)) for k in ks]
    at_share = [_share(pairs, part) for part in reversed(_FRACTIONS)]
    at_n = [Family("k", f"n = {n}", tuple(pair for pair in pairs if pair[0] == n)) for n in ns]
    best = [max(reversed(kind), key=serves, default=None) for kind in (at_k, at_share, at_n)]
    return [family for family in best if family is not None and len(family.sizes) >= _FEWEST]


def _share(pairs: Sequence[tuple[int, int]], part: int) -> Family:
    """Returns the sizes whose k is n/part to rounding, and within a fifth: 1 of 10 items is no sixteenth."""
    own: dict[int, int] = {}
    for n, k in pairs:
        if k in (n // part, -(-n // part)) and abs(k - n / part) <= min(
            abs(own.get(n, math.inf) - n / part), n / part / 5
        ):
            own[n] = k
    exact = all(k * part == n for n, k in own.items())
    return Family("n", f"k = n/{part}" + ("" if exact else ", rounded"), tuple(sorted(own.items())))


def fit(sizes: Sequence[float], values: Sequence[float], std_errors: Sequence[float]) -> Slope | None:
    """Returns the slope of log value against log size by least squares; None with fewer than three sizes.

    Of the sizes the larger half counts, at least four where there are four: small sizes measure the cost of a call.
    """
    order = np.argsort(sizes)
    keep = order[-max(4, math.ceil(len(order) / 2)) :]
    if len(keep) < _FEWEST:
        return None
    x = np.log(np.asarray(sizes, float)[keep])
    y = np.log(np.asarray(values, float)[keep])
    relative = np.nan_to_num(np.asarray(std_errors, float)[keep] / np.asarray(values, float)[keep])
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    value = float(weights @ y)
    residuals = y - y.mean() - value * (x - x.mean())
    freedom = len(keep) - 2
    scatter = math.sqrt(float(residuals @ residuals) / freedom * float(weights @ weights))
    measured = float(np.linalg.norm(weights * relative))
    reach = max((_T[freedom - 1] if freedom <= len(_T) else Z95) * scatter, Z95 * measured)
    used = tuple(int(sizes[place]) for place in keep)
    return Slope(value, max(scatter, measured), value - reach, value + reach, used)
