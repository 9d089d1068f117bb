"""The results store: what is saved comes back, nothing acknowledged is lost, what is stored is not computed again."""

from __future__ import annotations

import json
import math
import signal
import sqlite3
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from reports_store import cell_of

from benchmarks.harness import engine
from benchmarks.harness.cell import Effort
from benchmarks.harness.store import COLUMNS, Measurement, Store

ROOT = Path(__file__).parent.parent
CONTRACT = (  # of a row, as `export` prints it
    "experiment estimator params law target objective extension logits n k seed samples replicates backend device "
    "dtype metric value std_error exact status cell run"
).split()
CELL = cell_of("simple", {"step_size": 2.5, "central": False, "logits": "theta"})
MEASURED = [
    Measurement("conditional_poisson", "bias", 0.25, 0.0, True),
    Measurement("conditional_poisson", "error", 0.1 + 0.2, 1e-17, False),
    Measurement("plackett_luce", "bias", None, None, False),
]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "new" / "folder" / "results.sqlite") as opened:
        opened.begin_run("run-1", "2026-01-02T03:04:05+00:00", {"command": "a test"})
        yield opened


def save(store, cell, measurements=MEASURED, *, fingerprint="code-1", run="run-1", **more):
    law = "conditional_poisson"
    store.save(cell, measurements, law=law, fingerprint=fingerprint, run=run, seconds=0.5, **more)


class TestRows:
    def test_the_columns_are_the_contract_the_reason_and_those_of_time(self, store):
        assert [*CONTRACT, "reason", "batch", "mode", "threads", "environment"] == COLUMNS
        view = sqlite3.connect(store.path).execute("SELECT * FROM rows")
        assert [column[0] for column in view.description] == COLUMNS

    def test_what_is_saved_comes_back(self, store):
        save(store, CELL)
        store.enrol("figure1", [CELL])
        rows = store.rows()
        assert [(r["target"], r["metric"], r["value"], r["std_error"], bool(r["exact"])) for r in rows] == [
            tuple(m)[:5] for m in MEASURED
        ]
        for row in rows:
            assert list(row) == COLUMNS
            assert json.loads(row["params"]) == dict(CELL.params)
            for field in fields(CELL):
                if field.name != "params":
                    assert row[field.name] == getattr(CELL, field.name)
            assert (row["experiment"], row["law"], row["status"]) == ("figure1", "conditional_poisson", "ok")
            assert (row["cell"], row["run"], row["reason"]) == (CELL.key, "run-1", "")

    def test_a_new_process_reads_them(self, store):
        save(store, CELL)
        store.enrol("figure1", [CELL])
        with Store(store.path) as again:
            assert again.rows() == store.rows()

    def test_a_failed_cell_is_one_row_with_its_reason(self, store):
        save(store, CELL, [], reason="ValueError: no such luck")
        store.enrol("figure1", [CELL])
        (row,) = store.rows()
        assert (row["status"], row["reason"]) == ("failed", "ValueError: no such luck")
        assert (row["metric"], row["value"], row["exact"], row["estimator"]) == ("", None, 0, "simple")

    def test_an_unknown_cell_has_no_row(self, store):
        store.enrol("figure1", [CELL])
        assert store.rows() == []

    def test_a_later_result_replaces_an_earlier_one_whole(self, store):
        store.enrol("figure1", [CELL])
        save(store, CELL)
        save(store, CELL, [], reason="KeyError: gone")
        assert [row["status"] for row in store.rows()] == ["failed"]
        save(store, CELL, MEASURED[:1])
        assert [row["value"] for row in store.rows()] == [0.25]

    def test_two_experiments_share_a_cell(self, store):
        save(store, CELL, MEASURED[:1])
        store.enrol("figure1", [CELL])
        store.enrol("sweep", [CELL])
        store.enrol("sweep", [CELL])  # once more changes nothing
        assert [row["experiment"] for row in store.rows()] == ["figure1", "sweep"]
        assert [row["experiment"] for row in store.rows("sweep")] == ["sweep"]
        assert store.rows("figure3") == []
        count = sqlite3.connect(store.path).execute("SELECT count(*) FROM cell").fetchone()
        assert count == (1,)

    def test_rows_come_in_one_order_however_they_were_saved(self, store):
        cells = [cell_of(name, seed=seed, n=n) for name in ("ste", "simple") for seed in (3, 11, 2) for n in (10, 9)]
        for cell in cells:
            save(store, cell)
        store.enrol("figure1", cells)
        order = [(row["estimator"], row["n"], row["seed"], row["target"], row["metric"]) for row in store.rows()]
        assert order == sorted(order)


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
        with Store(earlier) as store:
            (row,) = store.rows()
            assert store.done() == {CELL.key: ("f", None, None)}
        assert list(row) == COLUMNS
        assert (row["value"], row["replicates"], row["batch"], row["mode"]) == (0.5, CELL.replicates, None, "")

    def test_it_takes_new_results(self, earlier):
        with Store(earlier) as store:
            store.enrol("figure1", [CELL])
            save(store, CELL)
            assert len(store.rows()) == len(MEASURED)

    def test_it_is_renewed_once(self, earlier):
        Store(earlier).__exit__()
        before = earlier.stat().st_mtime_ns
        with Store(earlier) as store:
            assert len(store.rows()) == 1
        assert earlier.stat().st_mtime_ns == before

    def test_one_that_has_today_s_rows_but_not_today_s_cells_gets_them(self, store):
        save(store, CELL)
        for column in ("spent", "half_width"):
            store._connection.execute(f"ALTER TABLE cell DROP COLUMN {column}")
        with Store(store.path) as renewed:
            assert renewed.done() == {CELL.key: ("code-1", None, None)}


class TestKeys:
    @pytest.mark.parametrize("field", [field.name for field in fields(CELL)])
    def test_every_field_of_a_cell_counts(self, field):
        value = getattr(CELL, field)
        other = (("step_size", 2.0),) if field == "params" else value + 1 if isinstance(value, int) else value + "x"
        assert replace(CELL, **{field: other}).key != CELL.key

    def test_it_is_the_same_in_every_process_and_version(self):
        # A result is found again only under its key. Whoever changes `SCHEMA` or the fields changes this one, too.
        assert cell_of("simple").key == "46670daf88a404833e90"

    def test_an_integer_and_a_float_parameter_differ(self):
        assert cell_of("simple", {"x": 1}).key != cell_of("simple", {"x": 1.0}).key


WRITER = """
import sys
sys.path[:0] = ["tests"]
from reports_store import cell_of
from benchmarks.harness.store import Measurement, Store
with Store(sys.argv[1]) as store:
    store.begin_run("run-1", "now", {})
    for seed in range(100_000):
        cell = cell_of("simple", seed=seed)
        rows = [Measurement("conditional_poisson", f"metric_{i}", seed + i / 8, 0.5, False) for i in range(11)]
        store.enrol("figure1", [cell])
        store.save(cell, rows, law="conditional_poisson", fingerprint="f", run="run-1", seconds=0.1)
        print(seed, flush=True)
"""


class TestDurability:
    def test_a_kill_loses_no_acknowledged_cell(self, tmp_path):
        path = tmp_path / "results.sqlite"
        with subprocess.Popen(  # noqa: S603  # our own code
            [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as writer:
            for _ in range(60):
                writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
            acknowledged = 60 + len([line for line in writer.stdout.read().split("\n") if line])
        assert writer.returncode == -signal.SIGKILL
        with Store(path) as store:
            rows = store.rows()
            assert store.done().keys() >= {cell_of("simple", seed=seed).key for seed in range(acknowledged)}
        by_seed = {}
        for row in rows:
            by_seed.setdefault(row["seed"], []).append(row["value"])
        # Every cell is there whole or not at all.
        assert set(range(acknowledged)) <= set(by_seed) <= set(range(acknowledged + 1))
        for seed, values in by_seed.items():
            assert values == pytest.approx(sorted(seed + i / 8 for i in range(11)), abs=2)
            assert len(values) == 11
        assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_a_reader_looks_on_while_a_writer_writes(self, store):
        save(store, CELL)
        with Store(store.path) as reader:
            store.enrol("figure1", [CELL])
            assert len(reader.rows()) == 3
            save(store, cell_of("ste"))
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
        with Store(path) as store:
            assert store.rows() == []


def resume(store, cells, fingerprint="code-1", *, force=False):
    """Returns the names of the estimators that were computed, in order."""
    codes = {cell.estimator: fingerprint for cell in cells}
    missing = engine.todo(cells, store, codes, force=force)
    outcomes = []
    laws = dict.fromkeys(codes, "conditional_poisson")
    failures = engine.run(missing, store, laws=laws, fingerprints=codes, run="run-1", report=outcomes.append)
    assert failures == sum(bool(outcome.reason) for outcome in outcomes)
    return [outcome.cell.estimator for outcome in outcomes]


class TestResume:
    cells = tuple(cell_of(name) for name in ("simple", "sfe", "ste"))

    @pytest.fixture(autouse=True)
    def measured(self, monkeypatch):
        monkeypatch.setattr(engine, "quality_of", lambda cell: MEASURED)

    def test_what_is_stored_is_not_computed_again(self, store):
        assert resume(store, self.cells[:2]) == ["simple", "sfe"]
        assert resume(store, self.cells) == ["ste"]
        assert resume(store, self.cells) == []

    def test_other_code_computes_again(self, store):
        resume(store, self.cells)
        assert resume(store, self.cells, "code-2") == ["simple", "sfe", "ste"]
        assert resume(store, self.cells, "code-2") == []
        assert {found.fingerprint for found in store.done().values()} == {"code-2"}

    def test_force_computes_again(self, store):
        resume(store, self.cells)
        assert resume(store, self.cells, force=True) == ["simple", "sfe", "ste"]

    def test_a_failure_is_stored_tried_again_and_stops_nothing(self, store, monkeypatch):
        def failing(cell):
            if cell.estimator == "sfe":
                raise FloatingPointError("it overflowed")
            return MEASURED

        monkeypatch.setattr(engine, "quality_of", failing)
        store.enrol("figure1", self.cells)
        assert resume(store, self.cells) == ["simple", "sfe", "ste"]
        (failed,) = [row for row in store.rows() if row["status"] == "failed"]
        assert (failed["estimator"], failed["reason"]) == ("sfe", "FloatingPointError: it overflowed")
        assert resume(store, self.cells) == ["sfe"]
        monkeypatch.setattr(engine, "quality_of", lambda cell: MEASURED)
        assert resume(store, self.cells) == ["sfe"]
        assert {row["status"] for row in store.rows()} == {"ok"}

    def test_an_interrupt_keeps_what_was_done(self, store, monkeypatch):
        def interrupted(cell):
            if cell.estimator == "ste":
                raise KeyboardInterrupt
            return MEASURED

        monkeypatch.setattr(engine, "quality_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            resume(store, self.cells)
        monkeypatch.setattr(engine, "quality_of", lambda cell: MEASURED)
        assert resume(store, self.cells) == ["ste"]


class TestEffort:
    """What counts as measured well enough, when more is asked for than was asked before."""

    @pytest.mark.parametrize(
        ("spent", "half_width", "good"),
        [
            (3.0, 0.5, True),  # as much was spent
            (0.6, 0.02, True),  # it is as narrow
            (0.0, 0.01, True),
            (0.6, 0.021, False),
            (0.0, 0.03, False),  # it ended at another target
            (0.6, None, False),
            (3.0, None, True),
            (0.0, None, False),  # what it lacked may be there now
            (math.inf, None, True),  # too much memory is too much
            (None, None, False),  # from before this was stored
        ],
    )
    def test_a_result_is_good_if_it_is_narrow_or_as_much_was_spent(self, store, spent, half_width, good):
        save(store, CELL, spent=spent, half_width=half_width)
        asked = {CELL: Effort(3.0, 0.02)}
        missing = engine.todo([CELL], store, {"simple": "code-1"}, force=False, efforts=asked)
        assert (missing == []) == good
        assert engine.todo([CELL], store, {"simple": "code-2"}, force=False, efforts=asked) == [CELL]


class TestForecast:
    def test_kinds_not_yet_seen_count_as_the_mean_of_the_others(self):
        cells = [cell_of(name, seed=seed) for name in ("simple", "sfe", "ste") for seed in range(3)]
        forecast = engine.Forecast(cells)
        assert forecast.seconds_left() is None
        forecast.note(engine.Outcome(cells[0], 1.0, ""))
        assert forecast.seconds_left() == pytest.approx(2 * 1 + 3 * 1 + 3 * 1)
        forecast.note(engine.Outcome(cells[3], 3.0, ""))
        assert forecast.seconds_left() == pytest.approx(2 * 1 + 2 * 3 + 3 * 2)


class TestForgetting:
    def test_an_estimator_leaves_one_experiment_and_stays_in_the_other(self, store):
        other = cell_of("sfe")
        for cell in (CELL, other):
            save(store, cell)
            store.enrol("figure1", [cell])
        store.enrol("sweep", [CELL])
        assert store.forget("figure1", "simple") == 1
        assert {(row["experiment"], row["estimator"]) for row in store.rows()} == {
            ("figure1", "sfe"),
            ("sweep", "simple"),
        }
        assert store.forget("figure1", "simple") == 0

    def test_a_cell_of_no_experiment_is_computed_again(self, store):
        save(store, CELL)
        store.enrol("figure1", [CELL])
        store.forget("figure1", "simple")
        assert store.done() == {}
        assert store.rows() == []
