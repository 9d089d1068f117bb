"""Rows of logits, ordinary and extreme, by name."""

from __future__ import annotations

import numpy as np

SIX = "ordinary equal far_apart low some_missing just_k"


def rows(n, k, names=SIX, dtype="float64"):
    """Returns `[R, n]` float64 logits that are exact in `dtype`; at least k of each row are finite.

    Args:
      n: items.
      k: items chosen; n and k determine the seed.
      names: of the rows, in order: `ordinary`, `steep`, `two_groups` (one nearly always chosen), `equal`, `far_apart`
        (by hundreds), `farther_apart` (by ten thousands), `low`, `high` and `very_high` (far from 0), `some_missing`
        (some items are never chosen), `just_k` (only k items can be chosen).
      dtype: the logits are rounded to this dtype.
    """
    rng = np.random.default_rng(10 * n + k)
    ordinary, just_k = rng.normal(size=n), np.full(n, -np.inf)
    just_k[rng.permutation(n)[:k]] = rng.normal(size=k)
    spread, item = rng.uniform(-1, 1, n), np.arange(n)
    by_name = {
        "ordinary": ordinary,
        "steep": 5 * ordinary,
        "two_groups": np.where(item < n // 10, 16.0, 0.0) + ordinary / 10,
        "equal": np.zeros(n),
        "far_apart": 300 * spread,
        "farther_apart": 1e4 * spread,
        "low": ordinary - 40,
        "high": 3 * ordinary + 1e3,
        "very_high": 1e4 + np.round(ordinary, 3),
        "some_missing": np.where(item < (n - k + 1) // 2, -np.inf, ordinary),
        "just_k": just_k,
    }
    return np.array([by_name[name] for name in names.split()]).astype(dtype).astype("float64")
