"""Families of sizes along which n or k alone changes, and the exponent of a cost along a family.

The families are chosen once for all estimators and backends, from the sizes in the store, so that curves compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ..data import Z95

_SHARES = (2, 3, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100)
FEWEST = 3  # sizes in a fit: any two lie on a line


@dataclass(frozen=True)
class Family:
    """Sizes along which one number changes.

    Attributes:
      axis: `n` or `k`.
      held: the other number as a heading says it: `k = 10`, `k = n/2`, `n = 1024`.
      sizes: the pairs (n, k), smallest first.
    """

    axis: str
    held: str
    sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Slope:
    """The exponent of a power law, fitted over the largest sizes.

    Attributes:
      value: the exponent.
      std_error: from the scatter about the line, or from the errors of the values where that is larger.
      low, high: its 95 % interval; wide with three points, whose scatter has one degree of freedom.
      sizes: the sizes that the fit used.
    """

    value: float
    std_error: float
    low: float
    high: float
    sizes: tuple[int, ...]


def families(timed: Mapping[str, Iterable[tuple[int, int]]]) -> list[Family]:
    """Returns at most three families of three sizes or more: against n at one k, at one share k/n, against k at one n.

    Each is the one in which most estimators have three sizes, so that estimators which stop at small sizes compare
    where they were timed. Of several, it is the one with most sizes, then with the largest k, share or n.

    Args:
      timed: estimator -> its pairs (n, k).
    """
    each = [set(sizes) for sizes in timed.values()]
    pairs = sorted(set().union(*each))

    def serves(family: Family) -> tuple[int, int]:
        return sum(len(sizes & set(family.sizes)) >= FEWEST for sizes in each), len(family.sizes)

    ks, ns = (sorted({pair[index] for pair in pairs}) for index in (1, 0))
    at_k = [Family("n", f"k = {k}", tuple(pair for pair in pairs if pair[1] == k)) for k in ks]
    at_share = [_at_share(pairs, divisor) for divisor in reversed(_SHARES)]
    at_n = [Family("k", f"n = {n}", tuple(pair for pair in pairs if pair[0] == n)) for n in ns]
    best = [max(reversed(kind), key=serves, default=None) for kind in (at_k, at_share, at_n)]
    return [family for family in best if family is not None and len(family.sizes) >= FEWEST]


def _at_share(pairs: Sequence[tuple[int, int]], divisor: int) -> Family:
    """Returns the sizes whose k is n/divisor, rounded by at most a fifth: k = 1 at n = 10 is not n/16."""
    nearest: dict[int, int] = {}
    for n, k in pairs:
        share = n / divisor
        limit = min(share / 5, abs(nearest.get(n, math.inf) - share))
        if k in (math.floor(share), math.ceil(share)) and abs(k - share) <= limit:
            nearest[n] = k
    exact = all(k * divisor == n for n, k in nearest.items())
    return Family("n", f"k = n/{divisor}" + ("" if exact else ", rounded"), tuple(sorted(nearest.items())))


def fit(sizes: Sequence[float], values: Sequence[float], std_errors: Sequence[float]) -> Slope | None:
    """Returns the slope of log value against log size by least squares; None with fewer than three sizes.

    The fit uses the larger half of the sizes, and four at least: at small sizes the cost of a call dominates.
    """
    order = np.argsort(sizes)
    keep = order[-max(4, math.ceil(len(order) / 2)) :]
    if len(keep) < FEWEST:
        return None
    kept = np.asarray(values, float)[keep]
    x = np.log(np.asarray(sizes, float)[keep])
    line = stats.linregress(x, np.log(kept))
    relative = np.nan_to_num(np.asarray(std_errors, float)[keep] / kept)
    offsets = x - x.mean()
    measured = float(np.linalg.norm(offsets * relative) / (offsets @ offsets))
    half = max(float(stats.t.ppf(0.975, len(keep) - 2)) * line.stderr, Z95 * measured)
    used = tuple(int(sizes[index]) for index in keep)
    return Slope(float(line.slope), max(line.stderr, measured), line.slope - half, line.slope + half, used)
