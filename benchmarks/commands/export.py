"""Writes the rows of a store to other formats."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any, TextIO

from ..results.names import COLUMNS
from ..results.store import Store


def export(store: Path, format_: str, experiment: str | None, out: Path | None) -> None:
    """Writes the rows as csv, jsonl or parquet, to a file or to standard output.

    Raises:
      ValueError: the store is absent or empty, or parquet has no file to write to.
      ImportError: parquet needs pandas and pyarrow, and one of them is not installed.
    """
    if not store.exists():
        raise ValueError(f"{store} does not exist; python -m benchmarks run makes it, or name another with --store")
    with Store(store) as opened:
        rows = opened.rows(experiment)
    if not rows:
        raise ValueError(f"{store} has no rows" + (f" of experiment {experiment!r}" if experiment else ""))
    if format_ == "parquet":
        _parquet(rows, out)
    elif out is None:
        _write(rows, format_, sys.stdout)
    else:
        with out.open("w", newline="") as file:
            _write(rows, format_, file)


def _write(rows: list[dict[str, Any]], format_: str, file: TextIO) -> None:
    if format_ == "jsonl":
        for row in rows:
            decoded = row | {"params": json.loads(row["params"]), "exact": bool(row["exact"])}
            file.write(json.dumps(decoded) + "\n")
        return
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _parquet(rows: list[dict[str, Any]], out: Path | None) -> None:
    if out is None:
        raise ValueError("parquet is a binary format: name a file with --out")
    if importlib.util.find_spec("pyarrow") is None or importlib.util.find_spec("pandas") is None:
        raise ImportError("parquet needs pandas and pyarrow: pip install 'subsetgrad[parquet]'")
    import pandas

    pandas.DataFrame(rows, columns=COLUMNS).to_parquet(out, index=False)
