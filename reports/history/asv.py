"""The measurements of asv, commit by commit, as a frame. This module reads asv's files, and does not need asv.

A results folder holds `benchmarks.json`, with the unit and the version of each benchmark, and for each measured commit
a file `<machine>/<commit>-<environment>.json`. In that file each benchmark is a list in the order of `result_columns`,
without the empty values at its end. `result` has a value for every combination of the lists in `params`, in the order
of `itertools.product`: null where the case failed, NaN where it was skipped. For times, `stats_ci_99_a` and
`stats_ci_99_b` are the ends of 99 % intervals in the same order.
"""

from __future__ import annotations

import ast
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..data import StoreError

COLUMNS = "commit date benchmark params value unit low high machine environment".split()


class NoResultsError(StoreError):
    """The folder does not exist, or asv has measured nothing yet."""


def read(folder: str | Path) -> pd.DataFrame:
    """Returns asv's results, a row for each value, in the order of the commits' dates.

    Columns: `commit` (its full hash), `date` (of the commit, UTC), `benchmark` (`bench_estimators.Total.time_total`),
    `params` (its parameters, joined by commas; empty without any), `value`, `unit` (`seconds` for times), `low` and
    `high` (of the 99 % interval of a median; NaN where there is none, as for metrics), `machine`, `environment`.
    Numbers of two machines or environments cannot be compared. A case that failed or was skipped has no row. Neither
    has a benchmark that no longer exists or has a new version.

    Raises:
      NoResultsError: the folder does not belong to asv, or holds no results.
      StoreError: a file in it has another form than asv gives it.
    """
    folder = Path(folder)
    remedy = "make one with `nox -s asv`"
    if not (folder / "benchmarks.json").is_file():
        raise NoResultsError(f"{folder} is not a results folder of asv: it has no benchmarks.json; {remedy}")
    files = sorted(file for file in folder.glob("*/*.json") if file.name != "machine.json")
    benchmarks = _load(folder / "benchmarks.json")
    rows = [row for file in files for row in _rows_of(file, benchmarks)]
    if not rows:
        raise NoResultsError(f"{folder} holds no results; {remedy}")
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame["date"] = pd.to_datetime(frame["date"], unit="ms", utc=True)
    return frame.sort_values(["date", "commit", "machine", "environment"], kind="stable", ignore_index=True)


def _load(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StoreError(f"{file} is not a file of asv: {error}; remove it, or run asv again") from error
    if not isinstance(document, dict):
        raise StoreError(f"{file} is not a file of asv: it holds a {type(document).__name__}; remove it")
    return document


def _rows_of(file: Path, benchmarks: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    document = _load(file)
    try:
        return list(_rows(document, benchmarks))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise StoreError(f"{file} has not the form of asv's files ({reason}); remove it, or run asv again") from error


def _rows(document: Mapping[str, Any], benchmarks: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Yields the rows of one file, in the order of `COLUMNS`."""
    for name, entry in document.get("results", {}).items():
        about = benchmarks.get(name)
        case = dict(zip(document["result_columns"], entry or [], strict=False))
        if about is None or case.get("result") is None or case.get("version", about["version"]) != about["version"]:
            continue
        combinations = list(itertools.product(*(case.get("params") or [])))
        ends = (case.get(end) or [None] * len(combinations) for end in ("stats_ci_99_a", "stats_ci_99_b"))
        for params, value, low, high in zip(combinations, case["result"], *ends, strict=True):
            if value is None or math.isnan(value):
                continue
            yield (
                document["commit_hash"],
                int(document["date"]),
                name,
                ", ".join(map(_plain, params)),
                float(value),
                about["unit"],
                math.nan if low is None else float(low),
                math.nan if high is None else float(high),
                document["params"]["machine"],
                document["env_name"],
            )


def _plain(text: str) -> str:
    """Returns a parameter as text without quotes: asv stores its `repr`."""
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        return text
