"""The file of a results store: nothing acknowledged is lost, earlier stores are renewed, other files are left alone."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from reports_store import cell_of
from stored import CELL, MEASURED, save

from benchmarks.results.store import COLUMNS, Store

ROOT = Path(__file__).parents[2]


EARLIER = """
CREATE TABLE run (run TEXT PRIMARY KEY, started TEXT NOT NULL, provenance TEXT NOT NULL);
CREATE TABLE cell (
  key TEXT PRIMARY KEY, spec TEXT NOT NULL, law TEXT NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL,
  fingerprint TEXT NOT NULL, run TEXT NOT NULL REFERENCES run, seconds REAL NOT NULL);
CREATE TABLE measurement (
  key TEXT NOT NULL REFERENCES cell ON DELETE CASCADE, target TEXT NOT NULL, metric TEXT NOT NULL, value REAL,
  std_error REAL, exact INTEGER NOT NULL, PRIMARY KEY (key, target, metric)) WITHOUT ROWID;
CREATE TABLE membership (
  experiment TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (experiment, key)) WITHOUT ROWID;
CREATE VIEW rows AS SELECT membership.experiment AS experiment FROM membership;
INSERT INTO run VALUES ('run-1', 'then', '{}');
"""


class TestEarlierStores:
    """A store from before cells of time: neither readings nor their columns."""

    @pytest.fixture
    def earlier(self, tmp_path):
        path = tmp_path / "earlier.sqlite"
        connection = sqlite3.connect(path)
        connection.executescript(EARLIER)
        spec = json.dumps(CELL.spec(), sort_keys=True)
        connection.execute("INSERT INTO cell VALUES (?, ?, 'map', 'ok', '', 'f', 'run-1', 1)", (CELL.key, spec))
        connection.execute("INSERT INTO measurement VALUES (?, 'map', 'bias', 0.5, 0.1, 0)", (CELL.key,))
        connection.execute("INSERT INTO membership VALUES ('figure1', ?)", (CELL.key,))
        connection.commit()
        connection.close()
        return path

    def test_its_rows_are_read_with_the_columns_of_today(self, earlier):
        with Store(earlier) as opened:
            (row,) = opened.rows()
            assert opened.done() == {CELL.key: ("f", None, None)}
        assert list(row) == COLUMNS
        assert (row["value"], row["replicates"], row["batch"], row["mode"]) == (0.5, CELL.replicates, None, "")

    def test_it_takes_new_results(self, earlier):
        with Store(earlier) as opened:
            opened.enrol("figure1", [CELL])
            save(opened, CELL)
            assert len(opened.rows()) == len(MEASURED)

    def test_it_is_renewed_once(self, earlier):
        Store(earlier).__exit__()
        before = earlier.stat().st_mtime_ns
        with Store(earlier) as opened:
            assert len(opened.rows()) == 1
        assert earlier.stat().st_mtime_ns == before

    def test_one_that_has_today_s_rows_but_not_today_s_cells_gets_them(self, opened):
        save(opened, CELL)
        for column in ("spent", "half_width"):
            opened._connection.execute(f"ALTER TABLE cell DROP COLUMN {column}")
        with Store(opened.path) as renewed:
            assert renewed.done() == {CELL.key: ("code-1", None, None)}


WRITER = """
import sys
sys.path[:0] = ["tests"]
from reports_store import cell_of
from benchmarks.results.store import Measurement, Store
with Store(sys.argv[1]) as store:
    store.begin_run("run-1", "now", {})
    for seed in range(100_000):
        cell = cell_of("simple", seed=seed)
        rows = [Measurement("conditional_poisson", f"metric_{i}", seed + i / 8, 0.5, False) for i in range(11)]
        store.enrol("figure1", [cell])
        store.save(cell, rows, law="conditional_poisson", fingerprint="f", run="run-1", status="ok", seconds=0.1)
        print(seed, flush=True)
"""


class TestDurability:
    def test_a_kill_loses_no_acknowledged_cell(self, tmp_path):
        path = tmp_path / "results.sqlite"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as writer:
            for _ in range(60):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            acknowledged = 60 + len([line for line in writer.stdout.read().split("\n") if line])
        assert writer.returncode == -signal.SIGKILL
        with Store(path) as opened:
            rows = opened.rows()
            assert opened.done().keys() >= {cell_of("simple", seed=seed).key for seed in range(acknowledged)}
            assert opened._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        by_seed = {}
        for row in rows:
            by_seed.setdefault(row["seed"], []).append(row["value"])
        # Every cell is there whole or not at all.
        assert set(range(acknowledged)) <= set(by_seed) <= set(range(acknowledged + 1))
        for seed, values in by_seed.items():
            assert sorted(values) == [seed + i / 8 for i in range(11)]

    def test_a_reader_looks_on_while_a_writer_writes(self, opened):
        save(opened, CELL)
        with Store(opened.path) as reader:
            opened.enrol("figure1", [CELL])
            assert len(reader.rows()) == 3
            save(opened, cell_of("ste"))
            assert len(reader.done()) == 2

    @pytest.mark.parametrize(
        "content", [b"not a database, though it is long enough to be taken for one" * 20, b"x", b"SQLite"]
    )
    def test_a_file_that_is_no_store_is_refused_and_left_alone(self, tmp_path, content):
        path = tmp_path / "notes.txt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"notes\.txt is not a results store .*; name another file with --store"):
            Store(path)
        assert path.read_bytes() == content

    def test_a_database_of_another_kind_is_refused(self, tmp_path):
        path = tmp_path / "other.sqlite"
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE cell (name TEXT)")
        other.close()
        before = path.read_bytes()
        with pytest.raises(ValueError, match="is not a results store \\(a database of another kind\\)"):
            Store(path)
        assert path.read_bytes() == before

    def test_an_empty_file_becomes_a_store(self, tmp_path):
        path = tmp_path / "results.sqlite"
        path.touch()
        with Store(path) as opened:
            assert opened.rows() == []
