"""Rows from a results store: read, named, selected and averaged over seeds.

Every figure and table works on what this module returns, so that "the same cells" means the same thing everywhere. A
*problem* is what an estimator is judged on, a *method* an estimator with its parameters and samples, a *series* a
backend with its device. Rows of timing cells (time and memory) are kept apart from the others from the start: what is
measured with a clock is neither averaged nor ranked with what is measured against a gradient.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import pathname2url

import numpy as np
import pandas as pd

PROBLEM = ["objective", "extension", "logits", "n", "k"]
METHOD = ["estimator", "params", "samples"]
TARGET = "conditional_poisson"  # what the paper's figures and the leaderboard judge against
Z95 = 1.959964  # half of a 95 % interval, in standard errors
# What the rows of timing cells have in addition; a store of an earlier version lacks the columns.
TIMING: dict[str, Any] = {"batch": np.nan, "mode": "", "threads": np.nan, "environment": ""}
_TEXTS = ["law", "objective", "extension", "logits", "mode", "environment", "reason"]  # may be empty there
_NUMBERS = ["n", "k", "seed", "samples", "replicates"]
_ORDER = ["experiment", *METHOD, *PROBLEM, "seed", "backend", "device", "dtype", "replicates", "target", "metric"]


class StoreError(ValueError):
    """The store is missing, empty, or something else."""


@dataclass(frozen=True)
class Run:
    """One run of the benchmarks: its name, start, number of cells on the page, and its provenance as flat text."""

    name: str
    started: str
    cells: int
    facts: dict[str, str]


@dataclass(frozen=True)
class Results:
    """A store's rows and the runs that made them.

    Attributes:
      rows: the view `rows` but for timing cells, with the derived columns `label` (estimator, and what tells its
        variants apart), `series` (backend and device) and `plug_in`.
      timings: the rows of timing cells, with the same derived columns; often empty.
      runs: the runs that contributed cells, oldest first.
      store: the path as the user gave it.
    """

    rows: pd.DataFrame
    timings: pd.DataFrame
    runs: tuple[Run, ...]
    store: str

    def only(self, experiment: str) -> Results:
        """Returns the results of one experiment."""
        rows, timings = (part[part["experiment"] == experiment] for part in (self.rows, self.timings))
        return replace(self, rows=rows, timings=timings)


def read(path: str | Path) -> Results:
    """Returns the rows and runs of the store at `path`, which is opened read-only.

    Raises:
      StoreError: if the file is missing, is not a results store, or holds no rows.
    """
    path = Path(path)
    remedy = "make one with `python -m benchmarks run`, or name another file with --store"
    if not path.is_file():
        raise StoreError(f"{path} does not exist; {remedy}")
    try:
        try:
            rows, runs = _query(path, "mode=ro")
        except sqlite3.OperationalError:
            # A write-ahead-log store in a folder that we may not write to opens only so.
            rows, runs = _query(path, "mode=ro&immutable=1")
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is not a results store ({error}); {remedy}") from error
    if rows.empty:
        raise StoreError(f"{path} holds no cells; {remedy}")
    cells = rows.groupby("run")["cell"].nunique()
    return Results(
        prepare(rows),
        prepare_timings(rows),
        tuple(
            Run(name, started, int(cells[name]), _facts(provenance))
            for name, started, provenance in sorted(runs, key=lambda run: (run[1], run[0]))
            if name in cells.index
        ),
        str(path),
    )


def _query(path: Path, options: str) -> tuple[pd.DataFrame, list[tuple[str, str, str]]]:
    with closing(sqlite3.connect(f"file:{pathname2url(str(path.absolute()))}?{options}", uri=True)) as connection:
        cursor = connection.execute("SELECT * FROM rows")
        rows = pd.DataFrame(cursor.fetchall(), columns=[column[0] for column in cursor.description])
        return rows, connection.execute("SELECT run, started, provenance FROM run").fetchall()


def _facts(provenance: str) -> dict[str, str]:
    """Returns a provenance record as flat text: nested keys are joined, empty ones dropped."""
    facts: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{prefix} {key}".strip(), item)
        elif isinstance(value, bool):
            facts[prefix] = "yes" if value else "no"
        elif isinstance(value, list) and value:
            facts[prefix] = ", ".join(map(str, value))
        elif value not in (None, "", []):
            facts[prefix] = f"{value:.6g}" if isinstance(value, float) else str(value)

    try:
        walk("", json.loads(provenance))
    except json.JSONDecodeError:
        facts["provenance"] = provenance
    return facts


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of `rows` that are no timings, in canonical order and with the derived columns.

    Rows that have them come back as they are.
    """
    if "label" in rows:
        return rows
    rows = _derived(_whole(rows[~_timed(rows)])).drop(columns=list(TIMING), errors="ignore")
    return rows.assign(label=_labels(rows))


def prepare_timings(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of timing cells, as `prepare` does the others, with `batch mode threads environment`."""
    rows = rows[_timed(rows)]
    missing = {name: value for name, value in TIMING.items() if name not in rows}
    rows = rows.assign(**missing).fillna(dict.fromkeys(_TEXTS, ""))
    rows = _derived(_whole(rows.assign(batch=pd.to_numeric(rows["batch"]).astype("int64"))))
    # What one experiment calls `softsub`, another may run in two variants: one name for both, whoever asked.
    return rows.assign(label=_labels(rows.assign(experiment="")))


def _timed(rows: pd.DataFrame) -> pd.Series[bool]:
    """Returns which rows are of timing cells: those with a batch, whatever the metric is called."""
    return rows["batch"].notna() if "batch" in rows else pd.Series(False, index=rows.index)


def _whole(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns `rows` with whole numbers as such, which a gap in rows of the other kind had made floats."""
    return rows.astype({name: "int64" for name in _NUMBERS if rows[name].notna().all()})


def _derived(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(
        value=pd.to_numeric(rows["value"]),
        std_error=pd.to_numeric(rows["std_error"]),
        exact=rows["exact"].astype(bool),
        params=[json.dumps(json.loads(text or "{}"), sort_keys=True) for text in rows["params"]],
        metric=rows["metric"].fillna(""),
        target=rows["target"].fillna(""),
        plug_in=rows["estimator"].astype(str).str.contains(":", regex=False),
        series=rows["backend"] + ":" + rows["device"],
    )
    if rows["dtype"].nunique() > 1:
        rows["series"] += " " + rows["dtype"]
    return rows.sort_values(_ORDER, kind="stable", ignore_index=True)


def _labels(rows: pd.DataFrame) -> pd.Series[str]:
    """Returns each row's estimator, with the parameters in which its variants differ inside the experiment."""
    names: dict[tuple[Any, ...], str] = {}
    methods = rows[["experiment", *METHOD]].drop_duplicates()
    for (experiment, estimator), variants in methods.groupby(["experiment", "estimator"]):
        params = {text: json.loads(text) for text in variants["params"]}
        keys = sorted({key for values in params.values() for key in values})
        differing = [key for key in keys if len({json.dumps(values.get(key)) for values in params.values()}) > 1]
        for text, samples in zip(variants["params"], variants["samples"], strict=True):
            told = [f"{key}={params[text][key]}" for key in differing if key in params[text]]
            told += [f"S={samples}"] if variants["samples"].nunique() > 1 else []
            names[experiment, estimator, text, samples] = f"{estimator} [{', '.join(told)}]" if told else str(estimator)
    keys_of_rows = zip(rows["experiment"], rows["estimator"], rows["params"], rows["samples"], strict=True)
    return pd.Series([names[key] for key in keys_of_rows], index=rows.index)


def select(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns the ok rows with one budget a method, problem and series: most seeds first, then most replicates.

    A store that saw a quick and then a thorough preset holds both; a mean over a mixture would be neither.
    """
    ok = rows[(rows["status"] == "ok") & (rows["metric"] != "")]
    group = ["experiment", *PROBLEM, *METHOD, "series"]
    budgets = ok.groupby([*group, "replicates"], dropna=False)["seed"].nunique().rename("seeds").reset_index()
    best = budgets.sort_values(["seeds", "replicates"]).drop_duplicates(group, keep="last")
    return ok.merge(best[[*group, "replicates"]], on=[*group, "replicates"], how="inner")


def summarise(rows: pd.DataFrame, target: str = TARGET) -> pd.DataFrame:
    """Returns one row per problem, method, series and metric: the mean over seeds and its two uncertainties.

    Columns beside the keys: `value` (the mean), `spread` (standard deviation over seeds, ddof 1: how much problems
    differ), `std_error` (of the mean, from the cells' own: what sampling leaves open), `exact`, `seeds`, `defined` (the
    seeds at which the metric is defined; the mean is over these).
    """
    chosen = select(rows).loc[lambda selected: selected["target"] == target]
    defined = chosen["value"].notna()
    chosen = chosen.assign(
        square=chosen["std_error"].where(defined) ** 2,
        unknown=defined & chosen["std_error"].isna(),
    )
    keys = ["experiment", *PROBLEM, *METHOD, "label", "law", "plug_in", "series", "replicates", "metric"]
    table = chosen.groupby(keys, dropna=False, sort=True).agg(
        value=("value", "mean"),
        spread=("value", "std"),
        square=("square", "sum"),
        unknown=("unknown", "any"),
        exact=("exact", "all"),
        seeds=("value", "size"),
        defined=("value", "count"),
    )
    error = table["square"] ** 0.5 / table["defined"]
    table["std_error"] = error.mask(table["unknown"] | (table["defined"] == 0))
    return table.drop(columns=["square", "unknown"]).reset_index()


def problems(rows: pd.DataFrame, experiment: str) -> list[tuple[str, pd.DataFrame]]:
    """Returns the experiment's problems, each with a name that says what tells it from the others, and its rows."""
    rows = rows[rows["experiment"] == experiment]
    told = [name for name in PROBLEM if rows[name].nunique() > 1]
    found = []
    for key, group in rows.groupby(PROBLEM, sort=True):
        named = zip(PROBLEM, key, strict=True)
        found.append((", ".join(f"{name} {value}" for name, value in named if name in told), group))
    return found


def series_of(rows: pd.DataFrame) -> list[str]:
    """Returns the series, the one that covers most methods first: it is the one that single-valued tables quote."""
    ok = rows[rows["status"] == "ok"] if "status" in rows else rows
    counts = ok.groupby("series")["label"].nunique()
    # torch before jax where both cover the same; by name, so that two builds agree.
    return sorted(counts.index, key=lambda name: (-counts[name], not str(name).startswith("torch"), name))
