"""A results store as `reports` reads it: rows with derived columns, the runs, and the text of the experiments.

A *problem* is an objective with its extension, logits, n and k; a *method* is an estimator with its parameters and
samples; a *series* is a backend on a device. Rows of quality and rows of cost are separated here, so that no value
measured by a clock is averaged or ranked with a value measured against a gradient.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import pathname2url

import pandas as pd

from benchmarks.results.names import COLUMNS, COST, QUALITY

PROBLEM = ["objective", "extension", "logits", "n", "k"]
METHOD = ["estimator", "params", "samples"]
Z95 = 1.959964  # half of a 95 % interval, in standard errors
COST_COLUMNS = ["batch", "mode", "threads", "environment"]
_ORDER = ["experiment", *METHOD, *PROBLEM, "seed", "backend", "device", "dtype", "replicates", "target", "metric"]


class StoreError(ValueError):
    """The store is missing, empty, or another kind of file."""


@dataclass(frozen=True)
class Run:
    """One run of the benchmarks: its name, its start, how many stored cells it computed, its provenance as text."""

    name: str
    started: str
    cells: int
    facts: dict[str, str]


@dataclass(frozen=True)
class About:
    """The text that a run stored about an experiment.

    Attributes:
      name, kind: as in the experiment's rows.
      heading, reading: title of its section, and advice on how to read it.
      annotations: JSON objects, each with a `type`: `number` or `bars` (see `benchmarks.experiments.published`),
        `reference` (estimators that are the exact gradient), `highlight` (estimators to draw in colour), `comparison`
        (an estimator and its baselines), `complexity` (as a source states it for an algorithm).
    """

    name: str
    kind: str
    heading: str
    reading: str = ""
    annotations: tuple[Mapping[str, Any], ...] = ()

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """Returns the annotations of one type, without their field `type`."""
        return [
            {name: value for name, value in entry.items() if name != "type"}
            for entry in self.annotations
            if entry["type"] == kind
        ]


@dataclass(frozen=True)
class Results:
    """A store's rows, the runs that made them, and the text of its experiments.

    Attributes:
      rows: the rows of quality, with the derived columns `label` (the estimator, with the parameters in which its
        variants differ), `series` (backend and device) and `plug_in` (whether the estimator comes from outside the
        package, which a colon in its name shows).
      timings: the rows of cost, with the same derived columns and `COST_COLUMNS`; often empty.
      runs: the runs that contributed cells, oldest first.
      experiments: by name, sorted. An experiment that has rows and no stored text gets its name as heading. One that
        has stored text and no rows is included.
      store: the path as the user gave it.
    """

    rows: pd.DataFrame
    timings: pd.DataFrame
    runs: tuple[Run, ...]
    experiments: Mapping[str, About]
    store: str

    def only(self, experiment: str) -> Results:
        """Returns the results of one experiment."""
        rows, timings = (part[part["experiment"] == experiment] for part in (self.rows, self.timings))
        return replace(self, rows=rows, timings=timings)

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """Returns the annotations of one type, of all experiments."""
        return [entry for about in self.experiments.values() for entry in about.entries(kind)]


def read(path: str | Path) -> Results:
    """Returns the content of the store at `path`, which is opened read-only.

    Raises:
      StoreError: the file is missing, is not a results store of this version, or holds no rows.
    """
    path = Path(path)
    remedy = "make one with `python -m benchmarks run`, or name another file with --store"
    if not path.is_file():
        raise StoreError(f"{path} does not exist; {remedy}")
    try:
        try:
            rows, runs, described = _query(path, "mode=ro")
        except sqlite3.OperationalError:
            # A store with a write-ahead log opens only like this in a folder without write permission.
            rows, runs, described = _query(path, "mode=ro&immutable=1")
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is not a results store of this version ({error}); {remedy}") from error
    if missing := [name for name in COLUMNS if name not in rows.columns]:
        raise StoreError(f"{path} is not a results store of this version (no column {missing[0]}); {remedy}")
    if rows.empty:
        raise StoreError(f"{path} holds no cells; {remedy}")
    cells = rows.groupby("run")["cell"].nunique()
    about = {name: About(name, kind, str(name)) for name, kind in rows[["experiment", "kind"]].itertuples(index=False)}
    for name, kind, heading, reading, entries in described:
        about[name] = About(name, kind, heading, reading, tuple(json.loads(entries)))
    return Results(
        prepare(rows[rows["kind"] == QUALITY]).drop(columns=COST_COLUMNS),
        _prepare_timings(rows[rows["kind"] == COST]),
        tuple(
            Run(name, started, int(cells[name]), _facts(provenance))
            for name, started, provenance in sorted(runs, key=lambda run: (run[1], run[0]))
            if name in cells.index
        ),
        dict(sorted(about.items())),
        str(path),
    )


def _query(path: Path, options: str) -> tuple[pd.DataFrame, list[Any], list[Any]]:
    """Returns the view `rows`, and the tables `run` and `experiment`."""
    with closing(sqlite3.connect(f"file:{pathname2url(str(path.absolute()))}?{options}", uri=True)) as connection:
        cursor = connection.execute("SELECT * FROM rows")
        rows = pd.DataFrame(cursor.fetchall(), columns=[column[0] for column in cursor.description])
        described = connection.execute("SELECT experiment, kind, heading, reading, annotations FROM experiment")
        return rows, connection.execute("SELECT run, started, provenance FROM run").fetchall(), described.fetchall()


def _facts(provenance: str) -> dict[str, str]:
    """Returns a provenance record as flat text: nested keys are joined, empty values are left out."""
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

    walk("", json.loads(provenance))
    return facts


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns rows of the store's view, sorted in a fixed order and with the derived columns."""
    rows = _derived(rows)
    return rows.assign(label=_labels(rows, rows["experiment"]))


def _prepare_timings(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns rows of cost as `prepare` does, but labels that are the same in all experiments.

    The times of all experiments are shown together, so variants are compared across all of them.
    """
    rows = _derived(rows.astype({"batch": "int64", "threads": "int64"}))
    return rows.assign(label=_labels(rows, pd.Series("", index=rows.index)))


def _derived(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(
        value=pd.to_numeric(rows["value"]),
        std_error=pd.to_numeric(rows["std_error"]),
        exact=rows["exact"].astype(bool),
        params=[json.dumps(json.loads(text), sort_keys=True) for text in rows["params"]],
        plug_in=rows["estimator"].astype(str).str.contains(":", regex=False),
        series=rows["backend"] + ":" + rows["device"],
    )
    if rows["dtype"].nunique() > 1:
        rows["series"] += " " + rows["dtype"]
    return rows.sort_values(_ORDER, kind="stable", ignore_index=True)


def _labels(rows: pd.DataFrame, scope: pd.Series[str]) -> pd.Series[str]:
    """Returns a label for each row: the estimator, with the parameters (and S) in which its variants differ.

    Variants are compared among the rows that have the same value of `scope`.
    """
    names: dict[tuple[Any, ...], str] = {}
    keys = pd.concat([scope.rename("scope"), rows[METHOD]], axis=1)
    for (inside, estimator), variants in keys.drop_duplicates().groupby(["scope", "estimator"]):
        params = {text: json.loads(text) for text in variants["params"]}
        every = sorted({name for values in params.values() for name in values})
        differing = [name for name in every if len({json.dumps(values.get(name)) for values in params.values()}) > 1]
        for text, samples in zip(variants["params"], variants["samples"], strict=True):
            parts = [f"{name}={params[text][name]}" for name in differing if name in params[text]]
            parts += [f"S={samples}"] if variants["samples"].nunique() > 1 else []
            names[inside, estimator, text, samples] = f"{estimator} [{', '.join(parts)}]" if parts else str(estimator)
    return pd.Series([names[key] for key in keys.itertuples(index=False, name=None)], index=rows.index)


def series_of(rows: pd.DataFrame) -> list[str]:
    """Returns the series, those with most methods first. Tables with one value for each method use the first series."""
    counts = rows[rows["status"] == "ok"].groupby("series")["label"].nunique()
    return sorted(counts.index, key=lambda name: (-counts[name], torch_first(name)))


def torch_first(name: str) -> tuple[bool, str]:
    """Returns a key that sorts series by name, torch's before the others."""
    return not name.startswith("torch"), name
