"""The results store: saved results come back as rows, under keys that do not change, until they are removed."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
from reports_store import cell_of
from stored import CELL, MEASURED, differing, save

from benchmarks.results.names import COLUMNS
from benchmarks.results.store import Store

FIRST_COLUMNS = (  # of a row, as `export` prints it; scripts of users may depend on their order
    "experiment estimator params law target objective extension logits n k seed samples replicates backend device "
    "dtype metric value std_error exact status cell run"
).split()


class TestRows:
    def test_the_columns_are_in_this_order(self, opened):
        assert [*FIRST_COLUMNS, "reason", "batch", "mode", "threads", "environment", "kind"] == COLUMNS
        view = opened._connection.execute("SELECT * FROM rows")
        assert [column[0] for column in view.description] == COLUMNS

    def test_saved_results_come_back_as_rows(self, opened):
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

    def test_a_second_connection_reads_them(self, opened):
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

    def test_a_cell_without_a_result_has_no_row(self, opened):
        opened.enrol("figure1", [CELL])
        assert opened.rows() == []

    def test_a_later_result_replaces_all_of_an_earlier_one(self, opened):
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
        opened.enrol("sweep", [CELL])  # a second time changes nothing
        assert [row["experiment"] for row in opened.rows()] == ["figure1", "sweep"]
        assert [row["experiment"] for row in opened.rows("sweep")] == ["sweep"]
        assert opened.rows("figure3") == []
        count = opened._connection.execute("SELECT count(*) FROM cell").fetchone()
        assert count == (1,)

    def test_the_order_of_rows_does_not_depend_on_the_order_of_saving(self, opened):
        cells = [cell_of(name, seed=seed, n=n) for name in ("ste", "simple") for seed in (3, 11, 2) for n in (10, 9)]
        for cell in cells:
            save(opened, cell)
        opened.enrol("figure1", cells)
        order = [(row["estimator"], row["n"], row["seed"], row["target"], row["metric"]) for row in opened.rows()]
        assert order == sorted(order)


class TestKeys:
    @pytest.mark.parametrize("field", [field.name for field in fields(CELL)])
    def test_it_depends_on_every_field_of_a_cell(self, field):
        assert differing(CELL, field).key != CELL.key

    def test_it_is_the_same_in_every_process_and_version(self):
        # A change of `schema` or of the fields changes the key, and stored results are then computed again.
        assert cell_of("simple").key == "46670daf88a404833e90"

    def test_an_integer_and_a_float_parameter_give_different_keys(self):
        assert cell_of("simple", {"x": 1}).key != cell_of("simple", {"x": 1.0}).key


class TestForgetting:
    def test_an_estimator_is_removed_from_one_experiment_only(self, opened):
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

    def test_a_cell_that_is_in_no_experiment_is_deleted(self, opened):
        save(opened, CELL)
        opened.enrol("figure1", [CELL])
        opened.forget("figure1", "simple")
        assert opened.done() == {}
        assert opened.rows() == []
