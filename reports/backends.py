"""One backend against another: the same cells, metric by metric."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist
from typing import Any

import pandas as pd

from .load import PROBLEM, TARGET, select, series_of
from .tables import NEARLY

_SINGLE = 1e-4  # the same in single precision
# In standard errors. Backends of one dtype compute on the same random numbers: only choices within rounding of a tie
# may fall another way, a few in ten thousand replicates.
_COMMON = 0.1


def compare(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns, per experiment and method, how far the series lie apart at most, over seeds and metrics.

    Columns: `sampled` (pairs compared), `z` (largest difference in combined standard errors) and where; `exact`
    (pairs), `difference` (largest, relative to the value where that exceeds 1) and where; `agree`.
    """
    chosen = select(rows)
    chosen = chosen[(chosen["target"] == TARGET) & chosen["value"].notna() & chosen["std_error"].notna()]
    chosen = chosen[chosen["metric"] != "bias_floor"]  # follows from the others, and has no standard error of its own
    keys = ["experiment", "label", *PROBLEM, "params", "samples", "seed", "metric"]
    parts = []
    for a, b in combinations(series_of(rows), 2):
        columns = [*keys, "value", "std_error", "exact", "dtype"]
        one, other = (chosen.loc[chosen["series"] == name, columns] for name in (a, b))
        parts.append(one.merge(other, on=keys, suffixes=("", "_b")))
    both = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if both.empty:
        return both
    gap = (both["value"] - both["value_b"]).abs()
    error = (both["std_error"] ** 2 + both["std_error_b"] ** 2) ** 0.5
    scale = both[["value", "value_b"]].abs().max(axis=1).clip(lower=1)
    both["finite"] = finite = both["exact"] & both["exact_b"]
    both["z"] = (gap / error.where(error > 0)).fillna((gap > NEARLY * scale).map({True: math.inf, False: 0.0}))
    both["difference"] = gap / scale
    allowed = (both[["dtype", "dtype_b"]] == "float64").all(axis=1).map({True: NEARLY, False: _SINGLE})
    both["limit"] = _COMMON
    both["limit"] = both["limit"].where(both["dtype"] == both["dtype_b"], bound(int((~finite).sum())))
    both["ok"] = (both["difference"] <= allowed).where(finite, both["z"] <= both["limit"])
    found = []
    for (experiment, label), group in both.groupby(["experiment", "label"], sort=True):
        exact, sampled = group[group["finite"]], group[~group["finite"]]
        line: dict[str, Any] = {"experiment": experiment, "label": label}
        line |= {"sampled": len(sampled), "exact": len(exact), "agree": bool(group["ok"].all())}
        line["limit"] = float(sampled["limit"].max()) if len(sampled) else float("nan")
        for part, name in ((sampled, "z"), (exact, "difference")):
            worst = part.iloc[int(part[name].to_numpy().argmax())] if len(part) else None
            line[name] = float("nan") if worst is None else float(worst[name])
            alike = worst is None or not line[name] > 0
            line[f"{name}_where"] = "" if worst is None or alike else f"{worst['metric']}, seed {worst['seed']}"
        found.append(line)
    return pd.DataFrame(found).sort_values(["agree", "experiment", "label"], ignore_index=True)


def bound(comparisons: int) -> float:
    """Returns the z that the largest of so many independent comparisons exceeds once in a thousand times by chance."""
    return NormalDist().inv_cdf(1 - 0.001 / (2 * max(comparisons, 1)))


def verdict(pairs: pd.DataFrame) -> str:
    """Returns the sentence on how far the backends lie apart."""
    if pairs.empty:
        return "No cell of this store was computed by two backends, so there is nothing to compare."
    sampled, exact = int(pairs["sampled"].sum()), int(pairs["exact"].sum())
    parts = []
    if sampled:
        parts.append(
            f"the largest of {sampled:,} sampled differences is {pairs['z'].max():.2g} combined standard errors "
            f"({pairs['limit'].max():.1f} would be suspicious)"
        )
    if exact:
        parts.append(f"the largest of {exact:,} exact ones {pairs['difference'].max():.1g}")
    wrong = list(pairs.loc[~pairs["agree"], "label"].unique())
    head = "The backends agree" if not wrong else "The backends disagree on " + ", ".join(wrong)
    return f"{head}: {', '.join(parts)}."
