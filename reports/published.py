"""Published numbers against ours: when two numbers agree, and which of ours belongs to which of theirs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from math import hypot, sqrt
from typing import Any

import pandas as pd

from .load import TARGET, prepare, select
from .numbers import NUMBERS, PAPER_FIGURES, PROBLEMS, SEEDS, Number

__all__ = ["NUMBERS", "PAPER_FIGURES", "PROBLEMS", "SEEDS", "Number", "agreement", "compare", "matching"]


def agreement(number: Number, value: float, std_error: float = 0.0) -> bool:
    """Returns whether `value` with its standard error agrees with a published number.

    An exact number must be met within one unit of its last digit, a plotted one within what the figure can be read to;
    what sampling leaves open in `value` (four standard errors) is added. A sampled number must be met within four
    standard errors of both together, the rounding of the print included.
    """
    if number.kind == "sampled":
        # A rounded digit is uniform within its unit: standard deviation unit/√12.
        tolerance = 4 * hypot(number.std_error, std_error, number.unit / sqrt(12))
    else:
        tolerance = number.unit + 4 * std_error
    return abs(value - number.value) <= tolerance * (1 + 1e-9)


def matching(rows: pd.DataFrame, experiment: str, estimator: str, params: Mapping[str, Any]) -> pd.DataFrame:
    """Returns the experiment's rows of one estimator whose parameters include `params`."""
    rows = rows[(rows["experiment"] == experiment) & (rows["estimator"] == estimator)]
    if not params:
        return rows
    fits = {text: params.items() <= json.loads(text).items() for text in rows["params"].unique()}
    return rows[rows["params"].map(fits).astype(bool)]


def compare(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per published number and series of the store: ours, its standard error, and whether they agree.

    Args:
      frame: rows as the store's view gives them, or as `load.read` returns them.

    Returns:
      The number's fields, `index` (its place in `NUMBERS`), `series`, `ours`, `ours_se` and `agrees`: True, False, or
      None where the store lacks the cells (all seeds are needed for a mean).
    """
    rows = prepare(frame)
    rows = select(rows)
    rows = rows[(rows["target"] == TARGET) & rows["value"].notna()]
    all_series = sorted(rows["series"].unique(), key=lambda name: (not name.startswith("torch"), name))
    parts = dict(iter(rows.groupby(["experiment", "estimator", "metric", "objective"])))
    names = [each.name for each in fields(Number)]
    found = []
    for index, number in enumerate(NUMBERS):
        part = parts.get((number.experiment, number.estimator, number.metric, number.objective))
        own = rows[:0] if part is None else _rows_of(number, part)
        for series in all_series:
            ours, ours_se = _statistic(number, own[own["series"] == series])
            agrees = None if ours is None else agreement(number, ours, ours_se)
            record = {name: getattr(number, name) for name in names}
            found.append({"index": index, **record, "series": series, "ours": ours, "ours_se": ours_se})
            found[-1]["agrees"] = agrees
    columns = ["index", *names, "series", "ours", "ours_se", "agrees"]
    return pd.DataFrame(found, columns=columns).astype({"agrees": object})


def _rows_of(number: Number, rows: pd.DataFrame) -> pd.DataFrame:
    problem = PROBLEMS[number.experiment]
    own = matching(rows, number.experiment, number.estimator, number.params)
    own = own[(own["n"] == problem["n"]) & (own["k"] == problem["k"]) & (own["samples"] == number.samples)]
    if number.replicates is not None:
        own = own[own["replicates"] == number.replicates]
    return own if number.seed is None else own[own["seed"] == number.seed]


def _statistic(number: Number, own: pd.DataFrame) -> tuple[float | None, float]:
    """Returns our value of the statistic and its standard error; None where a cell is missing or one too many."""
    wanted = [number.seed] if number.seed is not None else list(PROBLEMS[number.experiment]["seeds"])
    own = own[own["seed"].isin(wanted)]
    if sorted(own["seed"]) != sorted(wanted):
        return None, 0.0
    values, errors = own["value"].to_numpy(float), own["std_error"].fillna(0.0).to_numpy(float)
    if number.statistic == "spread":
        spread = float(values.std(ddof=1))
        slopes = (values - values.mean()) / ((len(values) - 1) * spread) if spread else 0 * values
        return spread, float(hypot(*(slopes * errors)))
    return float(values.mean()), float(hypot(*errors)) / len(values)
