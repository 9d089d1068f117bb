"""Enumeration of all k-subsets, for exact gradients and exact moments."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np

from .checks import check_k

LIMIT = 200_000  # subsets
MAX_NUMBERS = 20_000_000  # entries of the returned array, 160 MB


@lru_cache(maxsize=8)
def enumerate(n: int, k: int) -> np.ndarray:
    """Returns all k-hot vectors of length n, as a read-only numpy array.

    Args:
      n: items, at least 1.
      k: 0 <= k <= n.

    Returns:
      `[C(n, k), n]` float64, in lexicographic order of the chosen items.

    Raises:
      TypeError, ValueError: n or k out of range, or more than `LIMIT` subsets.
    """
    if n < 1:
        raise ValueError(f"n={n} is not a number of items; it must be at least 1")
    check_k(k, n)
    count = math.comb(n, k)
    if count > LIMIT:
        raise ValueError(f"enumerating C({n}, {k}) = {count:,} subsets; the limit is {LIMIT:,}. Use a smaller n or k")
    if count * n > MAX_NUMBERS:
        raise ValueError(
            f"enumerating C({n}, {k}) = {count:,} subsets of n={n} items takes too much memory; use a smaller n"
        )
    indices = np.fromiter(itertools.chain.from_iterable(itertools.combinations(range(n), k)), np.intp, count * k)
    states = np.zeros((count, n))
    np.put_along_axis(states, indices.reshape(count, k), 1.0, axis=1)
    states.flags.writeable = False
    return states
