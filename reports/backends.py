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

    Columns: `sampled` (pairs compared), of the worst of these `z` (its difference in combined standard errors),
    `z_limit` and `z_where`; `exact` (pairs), of the worst of these `difference` (relative to the value where that
    exceeds 1), `difference_limit` and `difference_where`; `agree`. The worst is what comes nearest its own limit, or
    furthest beyond.
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
    double = (both[["dtype", "dtype_b"]] == "float64").all(axis=1)
    both["difference_limit"] = double.map({True: NEARLY, False: _SINGLE})
    strangers = both["dtype"] != both["dtype_b"]
    both["z_limit"] = strangers.map({True: bound(int((strangers & ~finite).sum())), False: _COMMON})
    found = []
    for (experiment, label), group in both.groupby(["experiment", "label"], sort=True):
        line: dict[str, Any] = {"experiment": experiment, "label": label, "agree": True}
        for kind, part, name in (
            ("sampled", group[~group["finite"]], "z"),
            ("exact", group[group["finite"]], "difference"),
        ):
            line |= {kind: len(part), name: math.nan, f"{name}_limit": math.nan, f"{name}_where": ""}
            if len(part):
                worst = part.loc[(part[name] / part[f"{name}_limit"]).idxmax()]
                line |= {name: float(worst[name]), f"{name}_limit": float(worst[f"{name}_limit"])}
                line[f"{name}_where"] = f"{worst['metric']}, seed {worst['seed']}" if worst[name] > 0 else ""
                line["agree"] &= bool(worst[name] <= worst[f"{name}_limit"])
        found.append(line)
    return pd.DataFrame(found).sort_values(["agree", "experiment", "label"], ignore_index=True)


def bound(comparisons: int) -> float:
    """Returns the z that the largest of so many independent comparisons exceeds once in a thousand times by chance."""
    return NormalDist().inv_cdf(1 - 0.001 / (2 * max(comparisons, 1)))


def verdict(pairs: pd.DataFrame) -> str:
    """Returns the sentence on how far the backends lie apart."""
    if pairs.empty:
        return "No cell of this store was computed by two backends, so there is nothing to compare."
    parts = []
    for kind, name, unit in (("sampled", "z", " combined standard errors"), ("exact", "difference", "")):
        if count := int(pairs[kind].sum()):
            worst = pairs.loc[(pairs[name] / pairs[f"{name}_limit"]).idxmax()]
            limit = f"more than {worst[f'{name}_limit']:.2g} would be suspicious"
            parts.append(f"the worst of {count:,} {kind} differences is {worst[name]:.2g}{unit} ({limit})")
    wrong = list(pairs.loc[~pairs["agree"], "label"].unique())
    head = "The backends agree" if not wrong else "The backends disagree on " + ", ".join(wrong)
    return f"{head}: {', '.join(parts)}."
