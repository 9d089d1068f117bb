"""The timings to show, chosen from those of a store, and the ratio of one to another.

A *setup* is an environment (a machine with its versions of libraries), a number of threads and a law of the logits.
Seconds of two setups are never in one figure or table. An *engine* is a series and a mode of execution, `torch:cpu
eager`. A *size* is a batch, n and k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..data import METHOD, Z95, Results, Run, torch_first

SIZE = ["batch", "n", "k"]
_SETUP = ["environment", "threads", "logits"]


@dataclass(frozen=True)
class Timings:
    """The timings of one setup.

    Attributes:
      table: one row for each method, size, engine and metric. `value` is a median in seconds, or a number of bytes;
        `std_error` is its standard error; `repeats` is the number of readings. It has `label`, `engine`, `series`,
        `mode` and `plug_in`, too.
      missing: the rows of cells that were skipped or failed, and of measured cells with a remark (for example that the
        budget was spent); with the derived column `engine`.
      setup: in words.
      run: the latest run in this setup.
      set_aside: the other setups, a sentence each.
    """

    table: pd.DataFrame
    missing: pd.DataFrame
    setup: str
    run: Run | None
    set_aside: tuple[str, ...]


def choose(results: Results) -> Timings:
    """Returns the timings of the setup with most cells, among those of the environment that was measured last."""
    rows = results.timings.drop_duplicates(["cell", "metric"])
    started = {run.name: run.started for run in results.runs}
    rows = rows.assign(
        engine=(rows["series"] + " " + rows["mode"]).str.strip(),
        begun=rows["run"].map(lambda name: started.get(name, "")),
    )
    setups = rows.groupby(_SETUP, sort=True).agg(cells=("cell", "nunique"), begun=("begun", "max")).reset_index()
    setups["latest"] = setups.groupby("environment")["begun"].transform("max")
    setups = setups.sort_values(["latest", "environment", "cells", "begun"], ascending=False, kind="stable")
    logits = setups["logits"].nunique() > 1
    words = [
        f"{_in_words(setup, logits)} ({setup['cells']} cells, last run {setup['begun'] or 'unknown'})"
        for setup in setups.to_dict("records")
    ]
    first = setups.iloc[0]
    here = rows[(rows[_SETUP] == first[_SETUP]).all(axis=1)]
    latest = here.loc[here["begun"] == first["begun"], "run"].max()
    missing = here[(here["status"] != "ok") | (here["reason"] != "")]
    run = next((run for run in results.runs if run.name == latest), None)
    return Timings(_measured(here), missing, _in_words(first, logits), run, tuple(words[1:]))


def _in_words(setup: Mapping[str, Any], logits: bool) -> str:
    """Returns a setup in words, with its logits where those of other setups differ."""
    words = [f"environment {setup['environment']}", f"{setup['threads']} thread{'s' if setup['threads'] != 1 else ''}"]
    return ", ".join([*words, f"{setup['logits']} logits"] if logits else words)


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows that have a value. The standard error of peak memory is 0, because bytes are counted."""
    ok = rows[(rows["status"] == "ok") & (rows["metric"] != "") & rows["value"].notna()]
    ok = ok.assign(std_error=ok["std_error"].fillna(ok["metric"].map({"peak_bytes": 0.0})), repeats=ok["replicates"])
    keys = [*METHOD, "label", "plug_in", *SIZE, "backend", "device", "dtype", "series", "mode", "engine", "metric"]
    return ok[[*keys, "value", "std_error", "repeats"]].sort_values(keys, ignore_index=True)


def engines(table: pd.DataFrame) -> list[str]:
    """Returns the engines, the one with most methods first."""
    counts = table.groupby("engine")["label"].nunique()
    return sorted(counts.index, key=lambda engine: (-counts[engine], torch_first(engine)))


def usual_engines(table: pd.DataFrame) -> list[str]:
    """Returns one engine for each backend and device: the one with most cells.

    By default `run scaling` measures most cells in the mode that users run.
    """
    chosen: dict[tuple[str, str], str] = {}
    cells = table.drop_duplicates(["label", "engine", *SIZE]).groupby("engine").size()
    for engine in sorted(cells.index, key=lambda engine: (-cells[engine], engine)):
        first = table[table["engine"] == engine].iloc[0]
        chosen.setdefault((first["backend"], first["device"]), engine)
    # torch before jax, and CPUs before GPUs
    return [chosen[key] for key in sorted(chosen, key=lambda key: (key[1] != "cpu", torch_first(key[0])))]


def size_of(batch: int, n: int, k: int) -> str:
    """Returns a size in words."""
    return f"batch {batch}, n = {n}, k = {k}"


def main_batch(table: pd.DataFrame) -> int:
    """Returns the batch with most pairs of n and k, at which growth with n and k is shown; the largest if several."""
    sizes = table.drop_duplicates(SIZE).groupby("batch").size()
    return int(max(sizes.index, key=lambda batch: (sizes[batch], batch)))


def variant(table: pd.DataFrame, estimator: str) -> str | None:
    """Returns the label of an estimator: of several variants, the one with most rows; None if it was not timed."""
    counts = table.loc[table["estimator"] == estimator, "label"].value_counts()
    return str(min(counts.index, key=lambda label: (-counts[label], label))) if len(counts) else None


def interval(values: pd.Series[float], std_errors: pd.Series[float]) -> tuple[pd.Series[float], pd.Series[float]]:
    """Returns the ends of 95 % intervals, computed on logarithms since times are positive; NaN for an unknown error."""
    factor = (Z95 * std_errors / values).clip(upper=20).map(math.exp)
    return values / factor, values * factor


def against(table: pd.DataFrame, one: str, other: str, by: str, metric: str = "total_seconds") -> pd.DataFrame:
    """Returns the ratio of a metric for `one` to the same metric for `other`, at each size.

    If `by` is the label, ratios are taken within each engine; if it is the engine, for each label.

    Args:
      table: as `Timings` has it.
      one, other: two labels, or two engines.
      by: `label` or `engine`.
      metric: the metric that is divided.

    Returns:
      `label engine batch n k`, and `value low high` of the ratio.
    """
    keys = [name for name in ("label", "engine", *SIZE) if name != by]
    rows = table[table["metric"] == metric]
    columns = [*keys, by, "value", "std_error"]
    both = rows.loc[rows[by] == one, columns].merge(rows.loc[rows[by] == other, columns], on=keys, suffixes=("", "_b"))
    spread = ((both["std_error"] / both["value"]) ** 2 + (both["std_error_b"] / both["value_b"]) ** 2) ** 0.5
    quotient = both["value"] / both["value_b"]
    low, high = interval(quotient, spread * quotient)
    ratios = both[[*keys, by]].assign(value=quotient, low=low, high=high)
    return ratios.sort_values([*SIZE, *keys], kind="stable", ignore_index=True)


@dataclass(frozen=True)
class Comparison:
    """An estimator that the findings about cost compare with baselines.

    Attributes:
      label: of the estimator; None if it was not timed.
      baselines: name of a baseline -> label of the estimator that was timed for it.
    """

    label: str | None
    baselines: Mapping[str, str]


def comparison(table: pd.DataFrame, entries: Sequence[Mapping[str, Any]]) -> Comparison:
    """Returns the first annotation of type `comparison`, with each estimator replaced by its label.

    A baseline lists several estimators. The first that was timed represents it; a baseline with none is left out.
    """
    if not entries:
        return Comparison(None, {})
    labels = {
        name: next((label for estimator in estimators if (label := variant(table, estimator))), None)
        for name, estimators in entries[0]["baselines"].items()
    }
    timed = {name: label for name, label in labels.items() if label}
    return Comparison(variant(table, entries[0]["estimator"]), timed)
