"""One backend against another: the same cells, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from benchmarks.results import agreement

from ..data import PROBLEM
from ..form import numbers
from .board import TARGET, Board

_KEYS = ["experiment", "label", *PROBLEM, "params", "samples", "seed", "metric"]
_UNITS = {"sampled": " combined standard errors", "exact": ""}


def compare(boards: Sequence[Board]) -> pd.DataFrame:
    """Returns the largest difference between two series, over seeds and metrics, for each experiment and method.

    A pair is `exact` if both values are, and `sampled` otherwise. The largest difference is the one nearest its limit,
    or furthest beyond.

    Returns:
      A row for each experiment and method, disagreements first: `experiment`, `label`, `agree`; and for each kind of
      pair their number (`sampled`, `exact`), the largest difference (`…_gap`, see `agreement.Gap`), its limit
      (`…_limit`), and its metric and seed (`…_where`).
    """
    parts = [pairs for board in boards for pairs in _pairs(board)]
    both = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if both.empty:
        return both
    both["kind"] = (both["exact"] & both["exact_b"]).map({True: "exact", False: "sampled"})
    independent = both["dtype"] != both["dtype_b"]
    count = int((independent & (both["kind"] == "sampled")).sum())
    gaps = [_gap(row, count) for row in both.to_dict("records")]
    both = both.assign(gap=[gap.size for gap in gaps], limit=[gap.limit for gap in gaps])
    both["share"] = both["gap"] / both["limit"]
    lines = []
    for (experiment, label), group in both.groupby(["experiment", "label"], sort=True):
        line: dict[str, Any] = {"experiment": experiment, "label": label}
        line["agree"] = bool((group["gap"] <= group["limit"]).all())
        for kind in _UNITS:
            part = group[group["kind"] == kind]
            line |= {kind: len(part), f"{kind}_gap": math.nan, f"{kind}_limit": math.nan, f"{kind}_where": ""}
            if len(part):
                worst = part.loc[part["share"].idxmax()]
                line |= {f"{kind}_gap": float(worst["gap"]), f"{kind}_limit": float(worst["limit"])}
                line[f"{kind}_where"] = f"{worst['metric']}, seed {worst['seed']}" if worst["gap"] > 0 else ""
        lines.append(line)
    return pd.DataFrame(lines).sort_values(["agree", "experiment", "label"], ignore_index=True)


def _pairs(board: Board) -> list[pd.DataFrame]:
    """Returns the values that two series share, a table for each two series."""
    rows = board.selected
    rows = rows[(rows["target"] == TARGET) & rows["value"].notna() & rows["std_error"].notna()]
    rows = rows[rows["metric"] != "bias_floor"]  # a function of the other metrics, without a standard error of its own
    columns = [*_KEYS, "value", "std_error", "exact", "dtype"]
    parts = [rows.loc[rows["series"] == name, columns] for name in board.series]
    return [one.merge(other, on=_KEYS, suffixes=("", "_b")) for one, other in combinations(parts, 2)]


def _gap(row: dict[Any, Any], independent: int) -> agreement.Gap:
    if row["kind"] == "exact":
        double = row["dtype"] == row["dtype_b"] == "float64"
        return agreement.exact_gap(row["value"], row["value_b"], double=double)
    error = math.hypot(row["std_error"], row["std_error_b"])
    own_noise = independent if row["dtype"] != row["dtype_b"] else 0
    return agreement.sampled_gap(row["value"], row["value_b"], error, independent=own_noise)


def verdict(pairs: pd.DataFrame) -> str:
    """Returns a sentence on how much the backends differ."""
    if pairs.empty:
        return "No cell of this store was computed by two backends, so there is nothing to compare."
    parts = []
    for kind, unit in _UNITS.items():
        if count := int(pairs[kind].sum()):
            worst = pairs.loc[(pairs[f"{kind}_gap"] / pairs[f"{kind}_limit"]).idxmax()]
            gap, limit = (numbers.rounded(worst[f"{kind}_{name}"], 2) for name in ("gap", "limit"))
            parts.append(
                f"the worst of {count:,} {kind} differences is {gap}{unit} (more than {limit} would be suspicious)"
            )
    wrong = list(pairs.loc[~pairs["agree"], "label"].unique())
    head = "The backends agree" if not wrong else "The backends disagree on " + ", ".join(wrong)
    return f"{head}: {', '.join(parts)}."
