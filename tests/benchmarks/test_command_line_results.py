"""`python -m benchmarks export` and `compare`, which read stored results."""

from __future__ import annotations

import csv
import importlib.util
import io
import json

import pytest
from command_line import FEW, call, words

from benchmarks.commands import export
from benchmarks.quality import measure
from benchmarks.results.names import COLUMNS
from benchmarks.results.outcome import Measurement


@pytest.fixture
def filled(store, computed):
    """Returns the path of a store with two cells, whose measurements all give 0.25."""
    call("run", "figure1", "-e", "simple,imle_gumbel", *FEW[:2], "--seeds", "1234", "--store", store)
    return store


class TestExport:
    def test_csv_begins_with_the_names_of_the_columns(self, filled):
        result = call("export", "--store", filled)
        assert result.exit_code == 0
        rows = list(csv.DictReader(io.StringIO(result.output)))
        assert list(rows[0]) == COLUMNS
        assert [(row["estimator"], row["value"], row["exact"]) for row in rows] == [
            ("imle_gumbel", "0.25", "1"),
            ("simple", "0.25", "1"),
        ]

    def test_each_line_is_a_json_object(self, filled, tmp_path):
        out = tmp_path / "rows.jsonl"
        assert call("export", "--format", "jsonl", "--out", out, "--store", filled).exit_code == 0
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [list(row) for row in rows] == [COLUMNS] * 2
        assert rows[0]["params"] == {"step_size": 2.5} and rows[0]["exact"] is True and rows[0]["seed"] == 1234

    def test_it_writes_one_experiment_only(self, filled):
        call("run", "figure3", "-e", "simple", *FEW[:2], "--store", filled)
        assert call("export", "--experiment", "figure3", "--store", filled).output.count("\n") == 2
        result = call("export", "--experiment", "figure9", "--store", filled)
        assert result.exit_code == 1 and "has no rows of experiment 'figure9'" in result.output

    def test_an_absent_store_is_an_error_and_is_not_created(self, store):
        result = call("export", "--store", store)
        assert result.exit_code == 1
        assert "does not exist; python -m benchmarks run makes it, or name another with --store" in result.output
        assert not store.exists()

    def test_parquet_needs_its_extra_and_a_file(self, filled, tmp_path, monkeypatch):
        result = call("export", "--format", "parquet", "--store", filled)
        assert result.exit_code == 1 and "parquet is a binary format: name a file with --out" in result.output
        find_spec = importlib.util.find_spec

        def without(name, *rest):
            return None if name == "pyarrow" else find_spec(name, *rest)

        monkeypatch.setattr(export.importlib.util, "find_spec", without)
        result = call("export", "--format", "parquet", "--out", tmp_path / "rows.parquet", "--store", filled)
        assert result.exit_code == 1
        assert "parquet needs pandas and pyarrow: pip install 'subsetgrad[parquet]'" in result.output

    def test_parquet_reads_back(self, filled, tmp_path):
        pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")
        pandas = pytest.importorskip("pandas", reason="the extra `parquet` is not installed")
        out = tmp_path / "rows.parquet"
        assert call("export", "--format", "parquet", "--out", out, "--store", filled).exit_code == 0
        assert list(pandas.read_parquet(out).columns) == COLUMNS


class TestCompare:
    def other(self, tmp_path, monkeypatch, value=0.25, std_error=0.0, reason=""):
        """Returns a second store of the same cells, in which simple's bias is `value`."""

        def measured(cell):
            if cell.estimator == "simple" and reason:
                raise ValueError(reason)
            number = value if cell.estimator == "simple" else 0.25
            return [Measurement("conditional_poisson", "bias", number, std_error, std_error == 0)]

        monkeypatch.setattr(measure, "quality_of", measured)
        path = tmp_path / "other.sqlite"
        call("run", "figure1", "-e", "simple,imle_gumbel", *FEW[:2], "--seeds", "1234", "--store", path)
        return path

    def test_equal_stores_are_equal(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch))
        assert result.exit_code == 0
        assert "2 shared rows, 0 differ; 0 rows only in" in words(result)

    def test_another_value_is_shown_and_the_status_is_1(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, 0.26))
        assert result.exit_code == 1
        assert "simple n=10 k=5 seed=1234 torch" in words(result) and "2 shared rows, 1 differ" in words(result)

    def test_a_difference_within_its_standard_errors_is_not_shown(self, filled, tmp_path, monkeypatch):
        assert call("compare", filled, self.other(tmp_path, monkeypatch, 0.26, 0.01)).exit_code == 0

    def test_a_difference_beyond_its_standard_errors_is_shown(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, 0.30, 0.01))
        assert result.exit_code == 1 and "standard errors" in words(result)

    def test_a_cell_that_failed_in_one_store_is_a_difference(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, reason="no luck"))
        assert result.exit_code == 1
        assert "ok / failed" in words(result) and "1 shared rows, 1 differ" in words(result)

    def test_an_undefined_value_differs_from_a_number(self, filled, tmp_path, monkeypatch):
        result = call("compare", filled, self.other(tmp_path, monkeypatch, None))
        assert result.exit_code == 1 and "undefined in one" in words(result)

    def test_an_absent_store_is_named(self, filled, tmp_path):
        result = call("compare", filled, tmp_path / "absent.sqlite")
        assert result.exit_code == 2 and "absent.sqlite" in words(result).replace(" ", "")
