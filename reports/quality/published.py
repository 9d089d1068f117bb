"""Published numbers against ours: which of our values belongs to each published number, and whether they agree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import hypot
from typing import Any

import pandas as pd

from benchmarks.results import agreement

from ..data import torch_first
from ..form import numbers as form
from .board import TARGET

_QUANTITY = ["experiment", "objective", "estimator", "variant", "metric", "statistic", "seed"]
_METRICS = {"error_std": "error, sd of single estimates"}


def matching(rows: pd.DataFrame, estimator: str, params: Mapping[str, Any]) -> pd.DataFrame:
    """Returns the rows of one estimator whose parameters include `params`."""
    rows = rows[rows["estimator"] == estimator]
    if not params:
        return rows
    fits = {text: params.items() <= json.loads(text).items() for text in rows["params"].unique()}
    return rows[rows["params"].map(fits).astype(bool)]


def compare(selected: pd.DataFrame, numbers: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns one row for each published number and series of the store.

    Args:
      selected: rows as `board.select` returns them.
      numbers: published numbers, with the fields of `benchmarks.experiments.published.Number`.

    Returns:
      The number's fields, `index` (its position in `numbers`), `series`, `ours` and `ours_se` (our value with its
      standard error), and `agrees`: True, False, or None where the store lacks a cell (a mean needs all seeds).
    """
    rows = selected[(selected["target"] == TARGET) & selected["value"].notna()]
    every_series = sorted(rows["series"].unique(), key=torch_first)
    parts = dict(iter(rows.groupby(["experiment", "estimator", "metric", "objective"])))
    compared = []
    for index, number in enumerate(numbers):
        part = parts.get(tuple(number[name] for name in ("experiment", "estimator", "metric", "objective")), rows[:0])
        cells = _cells_of(number, part)
        for series in every_series:
            ours, ours_se = _statistic(number, cells[cells["series"] == series])
            agrees = None if ours is None else agreement.meets_published(number, ours, ours_se)
            compared.append(
                {"index": index, **number, "series": series, "ours": ours, "ours_se": ours_se, "agrees": agrees}
            )
    names = list(numbers[0]) if numbers else []
    columns = ["index", *names, "series", "ours", "ours_se", "agrees"]
    return pd.DataFrame(compared, columns=columns).astype({"agrees": object})


def _cells_of(number: Mapping[str, Any], rows: pd.DataFrame) -> pd.DataFrame:
    rows = matching(rows, number["estimator"], number["params"])
    rows = rows[(rows["n"] == number["n"]) & (rows["k"] == number["k"]) & (rows["samples"] == number["samples"])]
    if number["replicates"] is not None:
        rows = rows[rows["replicates"] == number["replicates"]]
    return rows[rows["seed"].isin(_seeds(number))]


def _seeds(number: Mapping[str, Any]) -> list[int]:
    return list(number["seeds"]) if number["seed"] is None else [number["seed"]]


def _statistic(number: Mapping[str, Any], cells: pd.DataFrame) -> tuple[float | None, float]:
    """Returns our value of the statistic and its standard error; None unless there is one cell for each seed."""
    if sorted(cells["seed"]) != sorted(_seeds(number)):
        return None, 0.0
    values, errors = cells["value"].to_numpy(float), cells["std_error"].fillna(0.0).to_numpy(float)
    if number["statistic"] == "spread":
        spread = float(values.std(ddof=1))
        slopes = (values - values.mean()) / ((len(values) - 1) * spread) if spread else 0 * values
        return spread, float(hypot(*(slopes * errors)))
    return float(values.mean()), float(hypot(*errors)) / len(values)


def section(comparison: pd.DataFrame, numbers: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Returns the comparison for the page, a line for each quantity; None without published numbers."""
    if not numbers:
        return None
    series = list(comparison["series"].unique())
    sources = list(dict.fromkeys(number["source"] for number in numbers))
    origins = list(dict.fromkeys(number["origin"] for number in numbers))
    variant = [", ".join(f"{name} {value}" for name, value in params.items()) for params in comparison["params"]]
    lines = []
    for key, group in comparison.assign(variant=variant).groupby(_QUANTITY, dropna=False, sort=False):
        quoted = sorted((numbers[index] for index in group["index"].unique()), key=lambda number: number["std_error"])
        line: dict[str, Any] = dict(zip(_QUANTITY, key, strict=True))
        line["metric"] = _METRICS.get(line["metric"], line["metric"].replace("_", " "))
        line["seed"] = "all" if line["seed"] != line["seed"] else f"{line['seed']:.0f}"
        line["of_many"] = len(quoted[0]["seeds"]) > 1 and line["seed"] != "all"
        line["quoted"] = [[_printed(number) for number in quoted if number["origin"] == origin] for origin in origins]
        line["ours"] = [_ours(group[group["series"] == name].dropna(subset="ours")) for name in series]
        compared = group["agrees"].dropna()
        line["agrees"] = None if compared.empty else bool(compared.all())
        line["sources"] = sorted({sources.index(number["source"]) + 1 for number in quoted})
        lines.append(line)
    counted = comparison["agrees"].dropna()
    reading = sorted({number["unit"] for number in numbers if number["kind"] == "plotted"})
    return {
        "origins": origins,
        "series": series,
        "sources": sources,
        "agree": int(counted.sum()),
        "compared": len(counted),
        "absent": int(comparison["agrees"].isna().sum()),
        "reading": [form.rounded(unit) for unit in reading],
        "sigmas": form.rounded(agreement.SIGMAS),
        "wrong": [line for line in lines if line["agrees"] is False],
        "means": [line for line in lines if line["agrees"] is not None and not line["of_many"]],
        "single": [line for line in lines if line["agrees"] is not None and line["of_many"]],
        "missing": [line for line in lines if line["agrees"] is None],
    }


def headline(compared: Mapping[str, Any]) -> str:
    """Returns a sentence on how many comparisons agree."""
    return f"{compared['agree']} of {compared['compared']} comparisons with published numbers agree."


def _printed(number: Mapping[str, Any]) -> str:
    return form.published(number["value"], number["unit"], number["std_error"], number["kind"])


def _ours(rows: pd.DataFrame) -> str:
    if rows.empty:
        return ""
    return form.estimate(rows["ours"].iloc[0], rows["ours_se"].iloc[0], exact=bool((rows["ours_se"] == 0).all()))
