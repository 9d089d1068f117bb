"""The results store, a SQLite file. Each cell (one point of an experiment) is saved in a transaction of its own.

If the process is killed, only the cell that is being computed is lost. The view `rows` defines the columns of a result
row; `export` prints this view, and `reports` reads it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .cell import AnyCell
from .outcome import End, Outcome

# Increase it with every change of the tables. A store of another version is refused and not converted.
VERSION = 3
# In one transaction, so that no other process sees a part of the tables.
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS run (run TEXT PRIMARY KEY, started TEXT NOT NULL, provenance TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cell (
  key TEXT PRIMARY KEY, kind TEXT NOT NULL, spec TEXT NOT NULL, law TEXT NOT NULL, status TEXT NOT NULL,
  reason TEXT NOT NULL, fingerprint TEXT NOT NULL, run TEXT NOT NULL REFERENCES run, seconds REAL NOT NULL,
  ended TEXT, budget_seconds REAL, half_width REAL);
CREATE TABLE IF NOT EXISTS measurement (
  key TEXT NOT NULL REFERENCES cell ON DELETE CASCADE, target TEXT NOT NULL, metric TEXT NOT NULL, value REAL,
  std_error REAL, exact INTEGER NOT NULL, readings INTEGER, PRIMARY KEY (key, target, metric)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS experiment (
  experiment TEXT PRIMARY KEY, kind TEXT NOT NULL, heading TEXT NOT NULL, reading TEXT NOT NULL,
  annotations TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS membership (
  experiment TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (experiment, key)) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS rows AS SELECT
  membership.experiment AS experiment, spec ->> 'estimator' AS estimator, spec -> 'params' AS params, law,
  coalesce(target, '') AS target, coalesce(spec ->> 'objective', '') AS objective,
  coalesce(spec ->> 'extension', '') AS extension, spec ->> 'logits' AS logits, spec ->> 'n' AS n, spec ->> 'k' AS k,
  spec ->> 'seed' AS seed, spec ->> 'samples' AS samples,
  coalesce(spec ->> 'replicates', measurement.readings, 0) AS replicates, spec ->> 'backend' AS backend,
  spec ->> 'device' AS device, spec ->> 'dtype' AS dtype, coalesce(metric, '') AS metric, value, std_error,
  coalesce(exact, 0) AS exact, status, cell.key AS cell, cell.run AS run, reason,
  spec ->> 'batch' AS batch, coalesce(spec ->> 'mode', '') AS mode, spec ->> 'threads' AS threads,
  coalesce(spec ->> 'environment', '') AS environment, kind
FROM membership JOIN cell USING (key) LEFT JOIN measurement USING (key);
"""
_END_TABLES = f"PRAGMA user_version = {VERSION}; COMMIT;"
_TABLE_NAMES = {"run", "cell", "measurement", "membership", "experiment"}
_MAGIC = b"SQLite format 3\0"


class Done(NamedTuple):
    """A stored cell that did not fail.

    Attributes:
      fingerprint: of the code that computed it.
      end: what ended the measurement; None for a cell of kind `quality`, and for a skipped cell that may work in a
        later run.
      budget_seconds: the budget, if it ended the measurement; else None.
      half_width: the largest relative half width among the cell's steps: half of a step's interval divided by its
        median. None if a step has fewer than 10 readings, and for a cell of kind `quality`.
    """

    fingerprint: str
    end: End | None
    budget_seconds: float | None
    half_width: float | None


class Store:
    """A results file. A new one is created with its folder.

    Args:
      path: the SQLite file.

    Raises:
      ValueError: the file exists and is not a results store, or is one of another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            with self.path.open("rb") as file:
                start = file.read(len(_MAGIC))
            # Checked here, because SQLite would overwrite a file that is shorter than a database header.
            if start not in (b"", _MAGIC):
                raise self._refusal("not a database")
        try:
            self._connection = sqlite3.connect(self.path)
        except sqlite3.OperationalError as error:
            raise self._refusal(str(error)) from error
        try:
            tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if tables and not tables >= _TABLE_NAMES - {"experiment"}:
                self._connection.close()
                raise self._refusal("a database of another kind")
            if tables and version != VERSION:
                self._connection.close()
                raise ValueError(
                    f"{self.path} is a results store of version {version}; this program needs version {VERSION} "
                    "and cannot convert others: run again, and name a new file with --store"
                )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("PRAGMA foreign_keys=ON")
            if not tables:
                self._connection.executescript(_TABLES + _END_TABLES)
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise self._refusal(str(error)) from error

    def _refusal(self, reason: str) -> ValueError:
        return ValueError(f"{self.path} is not a results store ({reason}); name another file with --store")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def begin_run(self, run: str, started: str, provenance: Mapping[str, Any]) -> None:
        """Stores the provenance of the results that a run will add."""
        with self._connection:
            self._connection.execute("INSERT INTO run VALUES (?, ?, ?)", (run, started, json.dumps(provenance)))

    def finish_run(self, run: str, provenance: Mapping[str, Any]) -> None:
        """Replaces the provenance that `begin_run` stored by the final one, which has the duration, too."""
        with self._connection:
            self._connection.execute("UPDATE run SET provenance = ? WHERE run = ?", (json.dumps(provenance), run))

    def done(self) -> dict[str, Done]:
        """Returns the key and the `Done` record of every stored cell that did not fail."""
        cells = self._connection.execute(
            "SELECT key, fingerprint, ended, budget_seconds, half_width FROM cell WHERE status != 'failed'"
        )
        return {key: Done(code, End(ended) if ended else None, *rest) for key, code, ended, *rest in cells}

    def save(self, outcome: Outcome, *, law: str, fingerprint: str, run: str) -> None:
        """Stores a cell's result in one transaction; replaces an earlier result of the cell.

        Args:
          outcome: the cell and its result.
          law: the distribution of the estimator's samples, `Estimator.law`; a column of the cell's rows.
          fingerprint: hash of the code that computed the result.
          run: id of the run that computed it.
        """
        cell = outcome.cell
        spec = json.dumps(cell.spec(), sort_keys=True)
        with self._connection:
            self._connection.execute("DELETE FROM cell WHERE key = ?", (cell.key,))
            self._connection.execute(
                "INSERT INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(cell.key, cell.kind, spec, law, outcome.status, outcome.reason, fingerprint, run),
                    *(outcome.seconds, outcome.end, outcome.budget_seconds, outcome.half_width),
                ),
            )
            self._connection.executemany(
                "INSERT INTO measurement VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((cell.key, *measurement) for measurement in outcome.measurements),
            )

    def describe(self, experiment: str, kind: str, heading: str, reading: str, annotations: Iterable[Any] = ()) -> None:
        """Stores the text that a page shows with an experiment's rows; replaces an earlier one.

        Args:
          experiment, kind: its name, and one of `names.KINDS`.
          heading: the heading of its section.
          reading: a sentence or two on how to read its figures.
          annotations: published numbers and other entries for the page, as JSON data.
        """
        with self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO experiment VALUES (?, ?, ?, ?, ?)",
                (experiment, kind, heading, reading, json.dumps(list(annotations))),
            )

    def enrol(self, experiment: str, cells: Iterable[AnyCell]) -> None:
        """Adds cells to an experiment."""
        with self._connection:
            self._connection.executemany(
                "INSERT OR IGNORE INTO membership VALUES (?, ?)", ((experiment, cell.key) for cell in cells)
            )

    def forget(self, experiment: str, estimator: str) -> int:
        """Removes an estimator's cells from an experiment, and so from the page; returns how many.

        A cell that is then in no experiment is deleted.
        """
        with self._connection:
            removed = self._connection.execute(
                "DELETE FROM membership WHERE experiment = ? AND key IN "
                "(SELECT key FROM cell WHERE spec ->> 'estimator' = ?)",
                (experiment, estimator),
            ).rowcount
            self._connection.execute("DELETE FROM cell WHERE key NOT IN (SELECT key FROM membership)")
        return int(removed)

    def rows(self, experiment: str | None = None) -> list[dict[str, Any]]:
        """Returns the rows of one experiment, or of all, in an order that does not depend on the order of saving."""
        cursor = self._connection.execute(
            "SELECT * FROM rows WHERE experiment = coalesce(?, experiment) ORDER BY "
            "experiment, estimator, params, objective, extension, n, k, seed, backend, device, dtype, "
            "samples, batch, mode, threads, environment, replicates, target, metric",
            (experiment,),
        )
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]
