"""asv's results as a frame; `asv continuous` wrote the fixture for two commits of this project."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from reports.data import StoreError
from reports.history import asv

RECORDED = Path(__file__).parents[1] / "data" / "asv_results"
BEFORE, AFTER = "48391b5", "35bd173"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Returns a copy to be changed."""
    return Path(shutil.copytree(RECORDED, tmp_path / "results"))


def edit(file: Path, change) -> None:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def one(folder: Path, start: str) -> Path:
    (file,) = folder.glob(f"*/{start}*.json")
    return file


def test_the_values_are_those_that_asv_wrote():
    frame = asv.read(RECORDED)
    assert list(frame.columns) == asv.COLUMNS
    rows = {(row.commit[:7], row.benchmark, row.params): row for row in frame.itertuples()}
    for start in (BEFORE, AFTER):
        document = json.loads(one(RECORDED, start).read_text())
        for name, entry in document["results"].items():
            result = dict(zip(document["result_columns"], entry, strict=False))
            for index, params in enumerate(result["params"][0]):
                value = result["result"][index]
                if value is None or value != value:  # NaN
                    assert (start, name, params.strip("'")) not in rows
                    continue
                row = rows.pop((start, name, params.strip("'")))
                assert row.value == value
                if "stats_ci_99_a" in result:
                    assert (row.low, row.high) == (result["stats_ci_99_a"][index], result["stats_ci_99_b"][index])
                    assert row.low <= row.value <= row.high
                else:
                    assert pd.isna(row.low) and pd.isna(row.high)
    assert not rows


def test_case_that_a_commit_lacked_has_no_row():
    frame = asv.read(RECORDED)
    steps = frame[frame["params"] == "ste_gumbel-torch-n10-k5-batch64-float32"]
    assert [commit[:7] for commit in steps["commit"]] == [AFTER]


def test_units_and_dates_come_along():
    frame = asv.read(RECORDED)
    assert frame.groupby("benchmark")["unit"].first().to_dict() == {
        "bench_estimators.Memory.track_peak_bytes": "bytes",
        "bench_estimators.Total.time_total": "seconds",
        "bench_quality.Quality.track_bias": "of cosines",
    }
    assert frame["date"].is_monotonic_increasing
    assert str(frame["date"].dt.tz) == "UTC"
    assert frame["date"].dt.year.eq(2026).all()
    assert frame["machine"].nunique() == frame["environment"].nunique() == 1


def test_a_benchmark_that_now_means_something_else_is_left_out(results: Path):
    edit(
        results / "benchmarks.json",
        lambda benchmarks: benchmarks["bench_quality.Quality.track_bias"].update(version="2"),
    )
    assert set(asv.read(results)["benchmark"]) == {
        "bench_estimators.Memory.track_peak_bytes",
        "bench_estimators.Total.time_total",
    }


def test_a_benchmark_that_is_gone_is_left_out(results: Path):
    edit(results / "benchmarks.json", lambda benchmarks: benchmarks.pop("bench_estimators.Total.time_total"))
    assert "bench_estimators.Total.time_total" not in set(asv.read(results)["benchmark"])


def test_a_benchmark_that_failed_as_a_whole_has_no_rows(results: Path):
    name = "bench_quality.Quality.track_bias"
    edit(one(results, AFTER), lambda document: document["results"].update({name: [None, [["'simple-torch'"]], "1"]}))
    frame = asv.read(results)
    assert [commit[:7] for commit in frame[frame["benchmark"] == name]["commit"].unique()] == [BEFORE]


def test_a_benchmark_without_parameters_has_empty_ones(results: Path):
    edit(
        results / "benchmarks.json",
        lambda benchmarks: benchmarks.update({"bench_x.time_y": {"unit": "seconds", "version": "1"}}),
    )
    edit(one(results, AFTER), lambda document: document["results"].update({"bench_x.time_y": [[0.5], [], "1"]}))
    frame = asv.read(results)
    assert frame[frame["benchmark"] == "bench_x.time_y"][["params", "value"]].to_numpy().tolist() == [["", 0.5]]


def test_a_folder_without_results_says_how_to_make_them(tmp_path: Path, results: Path):
    with pytest.raises(asv.NoResultsError, match="nox -s asv"):
        asv.read(tmp_path / "none")
    shutil.rmtree(results / "vm")
    with pytest.raises(asv.NoResultsError, match="holds no results"):
        asv.read(results)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda document, key=key: document.pop(key) for key in ("commit_hash", "date", "env_name", "params")),
        lambda document: document.pop("result_columns"),
        lambda document: document.update(results=[]),
        lambda document: document.update(date="yesterday"),
    ],
)
def test_a_file_that_is_not_as_asv_writes_it_is_named(results: Path, change):
    edit(one(results, AFTER), change)
    with pytest.raises(StoreError, match=AFTER) as caught:
        asv.read(results)
    assert not isinstance(caught.value, asv.NoResultsError)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_broken_file_is_named(results: Path, text: str):
    one(results, AFTER).write_text(text)
    with pytest.raises(StoreError, match=AFTER):
        asv.read(results)
