"""asv's history on the page: the largest certain changes come first, and machines are not compared."""

from __future__ import annotations

import itertools
import re
from html import unescape

import pandas as pd
import pytest
import reports_store
from click.testing import CliRunner
from reports_page import Page

from reports import data, page
from reports.__main__ import main
from reports.history import section as history

COLUMNS = "commit date benchmark params value unit low high machine environment".split()


def measured(benchmark: str, values: list[float], *, unit: str = "seconds", error: float = 0.01, machine: str = "box"):
    """Returns a row for each commit; intervals of a relative error, none for 0."""
    return [
        (
            f"{turn:07x}{'0' * 33}",
            pd.Timestamp("2026-03-01", tz="UTC") + pd.Timedelta(days=turn),
            benchmark,
            "simple, 64",
            value,
            unit,
            value * (1 - error) if error else float("nan"),
            value * (1 + error) if error else float("nan"),
            machine,
            "py3.11",
        )
        for turn, value in enumerate(values)
    ]


def frame(*parts: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame([row for part in parts for row in part], columns=COLUMNS)


def lines_of(table: pd.DataFrame) -> list[dict[str, object]]:
    section = history.section(table, "somewhere")
    assert section is not None
    return [line for part in section["parts"] for line in part]


def test_largest_change_that_intervals_part_is_on_top():
    noisy = measured("b.time_noisy", [1.0, 3.0], error=0.9)
    small, large = measured("b.time_small", [1.0, 0.9, 0.8]), measured("b.time_large", [1.0, 1.5, 2.0])
    lines = lines_of(frame(noisy, small, large, measured("b.time_same", [1.0, 1.001])))
    assert [line["benchmark"] for line in lines] == ["b.time_large", "b.time_small", "b.time_noisy", "b.time_same"]
    assert [line["sure"] for line in lines] == [True, True, False, False]
    assert [line["slower"] for line in lines[:2]] == [True, False]
    assert lines[0]["ratio"] == "2.0×" and lines[0]["before"] == "1.00 s" and lines[0]["now"] == "2.00 s"


def test_tenfold_bias_is_on_top_counted_and_the_headline():
    bias = measured("b.track_bias", [0.004, 0.04], unit="of cosines", error=0)
    section = history.section(frame(measured("b.time", [1.0, 2.0]), bias), "somewhere")
    assert section is not None and section["changed"] == 2
    line = section["parts"][0][0]
    assert (line["benchmark"], line["sure"], line["slower"], line["ratio"]) == ("b.track_bias", True, True, "10.0×")
    (sentence,) = history.headline(section)
    assert "2 of 2 benchmarks changed measurably, b.track_bias simple, 64 most: from 0.004 to 0.04." in sentence


@pytest.mark.parametrize(
    ("values", "changed"),
    [
        ([0.5, 0.5049], False),
        ([0.5, 0.506], True),
        ([0.506, 0.5], True),
        ([1.0, 7.0, 1.0], False),
        ([0.0, 1e-15], False),
        ([3e-16, -2e-16], False),
        ([0.0, 0.1], True),
        ([0.1, 0.0], True),
        ([0.0, 9e-7], False),  # less than a hundredth of the smallest cosine that matters
        ([0.0, 2e-6], True),
    ],
)
def test_values_that_never_have_an_interval_change_by_more_than_a_hundredth(values, changed):
    (line,) = lines_of(frame(measured("b.track_bias", values, unit="of cosines", error=0)))
    assert line["sure"] == changed


@pytest.mark.parametrize("values", [[0.0, 2e-9], [-1e-9, 1e-9], [1e-9, 1e-6], [0.0, 5e-5]])
def test_no_change_of_a_cosine_that_does_not_matter_outranks_a_time_five_times_as_long(values):
    bias = measured("b.track_bias", values, unit="of cosines", error=0)
    lines = lines_of(frame(bias, measured("b.time", [1.0, 5.0])))
    assert [line["benchmark"] for line in lines] == ["b.time", "b.track_bias"]


def test_change_from_0_is_the_largest():
    lines = lines_of(frame(measured("b.zero", [0.0, 0.1], error=0), measured("b.large", [0.001, 0.9], error=0)))
    assert [line["benchmark"] for line in lines] == ["b.zero", "b.large"] and lines[0]["ratio"] == "–"


def test_a_time_of_which_one_interval_is_missing_is_never_sure():
    first, last = measured("b.time", [1.0, 9.0])
    assert not lines_of(frame([first, (*last[:6], float("nan"), float("nan"), *last[8:])]))[0]["sure"]


def test_machines_are_not_compared():
    both = frame(measured("b.time", [1.0, 1.0]), measured("b.time", [9.0, 9.0], machine="other"))
    lines = lines_of(both)
    assert [line["ratio"] for line in lines] == ["1.0×", "1.0×"]
    assert {line["where"] for line in lines} == {"box", "other"}


def test_one_commit_shows_values_and_claims_no_change():
    section = history.section(frame(measured("b.time", [1.0])), "somewhere")
    assert section is not None and section["changed"] == 0 and history.headline(section) == []


def test_history_without_values_is_none():
    assert history.section(frame([]), "somewhere") is None


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [0.0, 0.0, 1.0], [-1.0, 3.0]])
def test_line_over_the_commits_stays_inside_its_frame(values):
    (line,) = lines_of(frame(measured("b.track_<bias>", values)))
    svg = str(line["svg"])
    points = [float(number) for number in re.findall(r"-?[\d.]+", re.search(r'points="([^"]+)"', svg)[1])]
    width, height = map(int, re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    across, down = points[::2], points[1::2]
    assert len(points) == 2 * len(values) and across == sorted(set(across))
    assert all(0 <= x <= width for x in across) and all(0 <= y <= height for y in down)
    for (one, y), (other, y_other) in itertools.combinations(zip(values, down, strict=True), 2):
        assert (y > y_other, y == y_other) == (one < other, one == other)  # a larger value is drawn higher
    assert "<bias>" not in svg and 'role="img"' in svg and "<title" in svg


def test_page_shows_the_history_and_its_largest_change(tmp_path):
    results = data.read(reports_store.write(tmp_path / "s.sqlite", save_one))
    text = page.build(results, frame(measured("b.time_large", [1.0, 2.0]), measured("b.same", [1.0, 1.0])), "a folder")
    parsed = Page(text)
    assert parsed.ids["history"] == 1 and "Read from a folder" in text
    assert all(figure["role"] == "img" and figure["aria-labelledby"] for figure in parsed.figures)
    assert "1 of 2 benchmarks changed measurably, b.time_large simple, 64 most: from 1.00 s to 2.00 s." in (
        unescape(text)
    )


def save_one(_, save):
    save(reports_store.cell_of("simple", n=20), {"bias": 0.1}, experiment="sweep")


def test_named_folder_without_results_ends_in_one_line(tmp_path):
    path = reports_store.write(tmp_path / "s.sqlite", save_one)
    command = ["build", "--store", str(path), "--out", str(tmp_path / "page.html"), "--asv-results", str(tmp_path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2 and result.output.startswith("Error: ") and result.output.count("\n") == 1
    assert "nox -s asv" in result.output


@pytest.mark.parametrize("named", [True, False])
def test_broken_file_of_asv_is_an_error(tmp_path, monkeypatch, named):
    monkeypatch.chdir(tmp_path)
    path = reports_store.write(tmp_path / "s.sqlite", save_one)
    (tmp_path / ".asv/results/vm").mkdir(parents=True)
    (tmp_path / ".asv/results/benchmarks.json").write_text("{}")
    (tmp_path / ".asv/results/vm/0123abc-env.json").write_text('{"results": {')
    command = ["build", "--store", str(path), "--out", "page.html"]
    result = CliRunner().invoke(main, command + (["--asv-results", ".asv/results"] if named else []))
    assert result.exit_code == 2 and "0123abc-env.json" in result.output and result.output.count("\n") == 1


def test_folder_that_was_not_named_need_not_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = reports_store.write(tmp_path / "s.sqlite", save_one)
    result = CliRunner().invoke(main, ["build", "--store", str(path), "--out", "page.html"])
    assert result.exit_code == 0 and 'id="history"' not in (tmp_path / "page.html").read_text()
