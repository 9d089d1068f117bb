"""The results store: what is saved comes back in rows of known columns, under keys that last, until it is forgotten."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from reports_store import cell_of
from stored import CELL, MEASURED, differing, save

from benchmarks.results.names import COLUMNS
from benchmarks.results.store import Store

CONTRACT = (  # of a row, as `export` prints it
    "experiment estimator params law target objective extension logits n k seed samples replicates backend device "
    "dtype metric value std_error exact status cell run"
).split()


class TestRows:
    def test_the_columns_are_the_contract_the_reason_and_those_of_time(self, opened):
        assert [*CONTRACT, "reason", "batch", "mode", "threads", "environment", "kind"] == COLUMNS
        view = opened._connection.execute("SELECT * FROM rows")
        assert [column[0] for column in view.description] == COLUMNS

    def test_what_is_saved_comes_back(self, opened):
        save(opened, CELL)
        opened.enrol("figure1", [CELL])
        rows = opened.rows()
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

    def test_a_new_process_reads_them(self, opened):
        save(opened, CELL)
        opened.enrol("figure1", [CELL])
        with Store(opened.path) as again:
            assert again.rows() == opened.rows()

    def test_a_failed_cell_is_one_row_with_its_reason(self, opened):
        save(opened, CELL, [], reason="ValueError: no such luck")
        opened.enrol("figure1", [CELL])
        (row,) = opened.rows()
        assert (row["status"], row["reason"]) == ("failed", "ValueError: no such luck")
        assert (row["metric"], row["value"], row["exact"], row["estimator"]) == ("", None, 0, "simple")

    def test_an_unknown_cell_has_no_row(self, opened):
        opened.enrol("figure1", [CELL])
        assert opened.rows() == []

    def test_a_later_result_replaces_an_earlier_one_whole(self, opened):
        opened.enrol("figure1", [CELL])
        save(opened, CELL)
        save(opened, CELL, [], reason="KeyError: gone")
        assert [row["status"] for row in opened.rows()] == ["failed"]
        save(opened, CELL, MEASURED[:1])
        assert [row["value"] for row in opened.rows()] == [0.25]

    def test_two_experiments_share_a_cell(self, opened):
        save(opened, CELL, MEASURED[:1])
        opened.enrol("figure1", [CELL])
        opened.enrol("sweep", [CELL])
        opened.enrol("sweep", [CELL])  # once more changes nothing
        assert [row["experiment"] for row in opened.rows()] == ["figure1", "sweep"]
        assert [row["experiment"] for row in opened.rows("sweep")] == ["sweep"]
        assert opened.rows("figure3") == []
        count = opened._connection.execute("SELECT count(*) FROM cell").fetchone()
        assert count == (1,)

    def test_rows_come_in_one_order_however_they_were_saved(self, opened):
        cells = [cell_of(name, seed=seed, n=n) for name in ("ste", "simple") for seed in (3, 11, 2) for n in (10, 9)]
        for cell in cells:
            save(opened, cell)
        opened.enrol("figure1", cells)
        order = [(row["estimator"], row["n"], row["seed"], row["target"], row["metric"]) for row in opened.rows()]
        assert order == sorted(order)


class TestKeys:
    @pytest.mark.parametrize("field", [field.name for field in fields(CELL)])
    def test_every_field_of_a_cell_counts(self, field):
        assert differing(CELL, field).key != CELL.key

    def test_it_is_the_same_in_every_process_and_version(self):
        # A result is found again only under its key. Whoever changes `schema` or the fields changes this one, too.
        assert cell_of("simple").key == "46670daf88a404833e90"

    def test_an_integer_and_a_float_parameter_differ(self):
        assert cell_of("simple", {"x": 1}).key != cell_of("simple", {"x": 1.0}).key


class TestForgetting:
    def test_an_estimator_leaves_one_experiment_and_stays_in_the_other(self, opened):
        other = cell_of("sfe")
        for cell in (CELL, other):
            save(opened, cell)
            opened.enrol("figure1", [cell])
        opened.enrol("sweep", [CELL])
        assert opened.forget("figure1", "simple") == 1
        assert {(row["experiment"], row["estimator"]) for row in opened.rows()} == {
            ("figure1", "sfe"),
            ("sweep", "simple"),
        }
        assert opened.forget("figure1", "simple") == 0

    def test_a_cell_of_no_experiment_is_computed_again(self, opened):
        save(opened, CELL)
        opened.enrol("figure1", [CELL])
        opened.forget("figure1", "simple")
        assert opened.done() == {}
        assert opened.rows() == []
