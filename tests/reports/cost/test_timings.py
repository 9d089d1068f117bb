"""The timings that a page shows: none of another setup among them, and every omission is stated."""

from __future__ import annotations

import json
import math

import pytest
import reports_store
from click.testing import CliRunner
from reports_page import Page

from reports import data, page
from reports.__main__ import main
from reports.cost import fronts, section, timings
from reports.quality.board import boards


def test_errors_are_matched_with_times_of_the_same_size_and_samples(tmp_path):
    laws = {"simple": (1e-3, 0.0, 0.0, 0.0), "sfe": (2e-3, 0.0, 0.0, 0.0)}
    rows = reports_store.timing_rows(laws, ((10, 5),), backends={"torch": 1.0})
    rows += reports_store.timing_rows({"softsub": (9.0, 0, 0, 0)}, ((10, 5),), backends={"torch": 1.0}, samples=8)
    rows += reports_store.timing_rows({"exact_enum": (9.0, 0, 0, 0)}, ((10, 4),), backends={"torch": 1.0})
    results = reports_store.timed(tmp_path / "s.sqlite", rows)
    (match,) = fronts.matches(boards(results), timings.choose(results).table, ["torch:cpu eager"])
    assert (match.board.n, match.board.k, match.batch) == (10, 5, 64)
    points = match.points.set_index("label")
    assert points["seconds"].to_dict() == pytest.approx({"simple": 1e-3 / 64, "sfe": 2e-3 / 64})
    assert points["best"].to_dict() == {"simple": True, "sfe": False}
    assert set(match.untimed) >= {"exact_enum", "softsub [logits=theta]"}


def test_time_with_other_parameters_is_used_and_noted(tmp_path):
    params = json.dumps({"temperature": 0.1, "epsilon": 2.0**-126})
    rows = reports_store.timing_rows(backends={"torch": 1.0}, params=params)
    results = reports_store.timed(tmp_path / "s.sqlite", rows)
    (match, *_) = fronts.matches(boards(results), timings.choose(results).table, ["torch:cpu eager"])
    notes = match.points.set_index("label")["note"]
    assert notes["softsub [logits=theta]"] == "timed with epsilon 1.175e-38, temperature 0.1"
    section = reports_store.cost_of(results)
    sentence = "softsub [logits=theta] was timed with epsilon 1.175e-38, temperature 0.1"
    assert sentence in str(section["fronts"])
    (least,) = (sentence for sentence in section["headlines"] if sentence.startswith("Least error for its time"))
    assert "error 0.2468, timed with epsilon 1.175e-38, temperature 0.1)" in least


def test_errors_and_times_name_their_dtypes(tmp_path):
    section = reports_store.cost_of(reports_store.timed(tmp_path / "s.sqlite", reports_store.timing_rows()))
    caption = section["fronts"][0]["figure"].caption
    assert "sweep, distance, torch:cpu, in float64; times: torch:cpu eager, batch 64, in float32" in caption


def test_problem_that_is_matched_and_not_drawn_is_named(tmp_path):
    def two(_, save):
        for estimator, error in (("simple", 0.2), ("sfe", 0.9)):
            for k in (4, 8):
                save(reports_store.cell_of(estimator, n=64, k=k), {"error": error}, experiment="sweep")

    rows = reports_store.timing_rows(sizes=((64, 4), (64, 8)), backends={"torch": 1.0})
    results = reports_store.timed(tmp_path / "s.sqlite", rows, fill=two)
    section = reports_store.cost_of(results)
    assert len(section["fronts"]) == 1
    assert section["further"] == "sweep, distance (k 8), n = 64, k = 8, torch:cpu eager"
    assert f"not drawn: {section['further']}." in page.build(results)


def test_failures_of_another_place_raise_no_alarm_here(tmp_path):
    rows = reports_store.timing_rows(run="new")
    rows += reports_store.timing_rows(status="failed", reason="OSError: no room", environment="laptop")
    text = page.build(reports_store.timed(tmp_path / "s.sqlite", rows, {"new": "2027-01-01T00:00:00+00:00"}))
    parsed = Page(text)
    assert "timing cells failed" not in text and "environment laptop" in text
    assert all(link[1:] in parsed.ids for link in parsed.links if link.startswith("#"))


def test_block_that_is_open_is_the_one_with_most_values(tmp_path):
    laws = dict.fromkeys("abc", (1e-3, 0, 0, 0))
    rows = reports_store.timing_rows(laws, ((16, 1),))  # three estimators, two engines: six values
    rows += reports_store.timing_rows({"a": (1e-3, 0, 0, 0)}, ((4096, 1),), backends={"torch": 1.0})
    rows += reports_store.timing_rows(dict.fromkeys("bcd", (1e-3, 0, 0, 0)), ((4096, 1),), backends={"jax": 1.0})
    section = reports_store.cost_of(reports_store.timed(tmp_path / "s.sqlite", rows))
    assert section["open"].name == "batch 64, n = 16, k = 1"


def test_latest_environment_is_chosen_and_not_the_first_by_name(tmp_path):
    rows = reports_store.timing_rows(environment="a", run="run-1") + reports_store.timing_rows(
        environment="b", run="new"
    )
    results = reports_store.timed(tmp_path / "s.sqlite", rows, {"new": "2027-01-01T00:00:00+00:00"})
    chosen = timings.choose(results)
    assert chosen.setup.startswith("environment b") and chosen.run is not None and chosen.run.name == "new"


def test_threads_are_not_mixed_either(tmp_path):
    rows = reports_store.timing_rows()
    rows += reports_store.timing_rows({"simple": (5.0, 0, 0, 0)}, ((16, 1),), threads=8, samples=1)
    chosen = timings.choose(reports_store.timed(tmp_path / "s.sqlite", rows))
    assert chosen.table["value"].where(chosen.table["metric"] == "total_seconds").max() < 1
    assert "8 threads" in chosen.set_aside[0]


def test_remark_on_a_timed_cell_is_not_a_failure(tmp_path):
    laws = {"simple": (1e-5, 1e-6, 1.0, 1.0)}
    rows = reports_store.timing_rows(laws, reason="budget spent at 7 readings")
    section = reports_store.cost_of(reports_store.timed(tmp_path / "s.sqlite", rows))
    assert section["missing"] == []
    assert sum(line["cells"] for line in section["remarks"]) == len(reports_store.SIZES) * 2
    assert section["growth"]


def test_store_without_timings_has_no_section_about_them(tmp_path):
    results = data.read(reports_store.write(tmp_path / "s.sqlite", reports_store.judged))
    assert results.timings.empty and section.section(results, boards(results)) is None
    text = page.build(results)
    Page(text)
    assert 'id="cost"' not in text and 'id="history"' not in text


def test_every_metric_of_a_timed_cell_is_a_timing(tmp_path):
    rows = reports_store.timing_rows({"simple": (1e-3, 0, 0, 0)}, ((10, 5),), backends={"torch": 1.0})
    results = reports_store.timed(tmp_path / "s.sqlite", [*rows, {**rows[0], "metric": "new_seconds", "value": 7.0}])
    table = timings.choose(results).table.set_index("metric")
    assert set(table.index) == {row["metric"] for row in rows} | {"new_seconds"}
    assert table["value"]["new_seconds"] == 7.0 and table["std_error"]["peak_bytes"] == 0
    assert math.isnan(table["std_error"]["first_seconds"])  # measured once


def test_store_of_timings_alone_makes_a_page(tmp_path):
    results = reports_store.timed(
        tmp_path / "s.sqlite", reports_store.timing_rows(sizes=((10, 5),)), fill=lambda *_: None
    )
    text = page.build(results)
    Page(text)
    assert "No estimator was both judged and timed" in text
    assert (
        f"{2 * len(reports_store.LAWS)} cells timed; {len(reports_store.LAWS)} estimators; torch:cpu, jax:cpu." in text
    )
    assert "python -m benchmarks run figure1" in text


def test_store_whose_every_timing_failed_makes_a_page_and_no_table(tmp_path):
    rows = reports_store.timing_rows(status="failed", reason="RuntimeError: no clock")
    results = reports_store.timed(tmp_path / "s.sqlite", rows)
    text = page.build(results)
    Page(text)
    assert "every cell was skipped or failed" in text and "RuntimeError: no clock" in text
    printed = CliRunner().invoke(main, ["table", "scaling", "--store", results.store])
    assert printed.exit_code == 2 and printed.stdout == ""
    assert "nothing of scaling was measured" in printed.stderr and "RuntimeError: no clock" in printed.stderr
