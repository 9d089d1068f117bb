"""The file of a results store: no saved cell is lost, and files of other kinds are not changed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from reports_store import cell_of
from stored import CELL, save

from benchmarks.results.store import VERSION, Store

ROOT = Path(__file__).parents[2]


def test_a_store_of_another_version_is_refused_and_not_changed(opened):
    save(opened, CELL)
    opened._connection.execute(f"PRAGMA user_version = {VERSION - 1}")
    with pytest.raises(ValueError, match=rf"of version {VERSION - 1}; this program needs version {VERSION} .* --store"):
        Store(opened.path)
    opened._connection.execute(f"PRAGMA user_version = {VERSION}")
    with Store(opened.path) as again:
        assert CELL.key in again.done()


WRITER = """
import sys
sys.path[:0] = ["tests/support"]
from reports_store import cell_of
from benchmarks.results.outcome import Measurement, Outcome
from benchmarks.results.store import Store
with Store(sys.argv[1]) as store:
    store.begin_run("run-1", "now", {})
    for seed in range(100_000):
        cell = cell_of("simple", seed=seed)
        rows = [Measurement("conditional_poisson", f"metric_{i}", seed + i / 8, 0.5, False) for i in range(11)]
        store.enrol("figure1", [cell])
        store.save(Outcome(cell, 0.1, rows), law="conditional_poisson", fingerprint="f", run="run-1")
        print(seed, flush=True)
"""


class TestDurability:
    def test_a_kill_loses_no_saved_cell(self, tmp_path):
        path = tmp_path / "results.sqlite"
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as writer:
            for _ in range(60):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            saved = 60 + len([line for line in writer.stdout.read().split("\n") if line])
        assert writer.returncode == -signal.SIGKILL
        with Store(path) as opened:
            rows = opened.rows()
            assert opened.done().keys() >= {cell_of("simple", seed=seed).key for seed in range(saved)}
            assert opened._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        by_seed = {}
        for row in rows:
            by_seed.setdefault(row["seed"], []).append(row["value"])
        # Every cell has all its rows or none.
        assert set(range(saved)) <= set(by_seed) <= set(range(saved + 1))
        for seed, values in by_seed.items():
            assert sorted(values) == [seed + i / 8 for i in range(11)]

    def test_a_reader_can_read_while_a_writer_writes(self, opened):
        save(opened, CELL)
        with Store(opened.path) as reader:
            opened.enrol("figure1", [CELL])
            assert len(reader.rows()) == 3
            save(opened, cell_of("ste"))
            assert len(reader.done()) == 2

    @pytest.mark.parametrize(
        "content", [b"not a database, though it is long enough to be taken for one" * 20, b"x", b"SQLite"]
    )
    def test_a_file_that_is_not_a_store_is_refused_and_not_changed(self, tmp_path, content):
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
