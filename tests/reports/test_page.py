"""The page as a whole: well-formed, self-contained, complete, and the same in two builds."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import reports_store
from click.testing import CliRunner
from interpreter import python
from reports_page import Page

from reports import data
from reports import page as page_module
from reports.__main__ import main
from reports.quality import board, leaderboard


@pytest.fixture(scope="module")
def text(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    out = folder / "new" / "index.html"
    with contextlib.chdir(folder):  # a folder without results of asv
        result = CliRunner().invoke(main, ["build", "--store", str(small_store), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.output == f"{out}\n"
    return out.read_text()


def test_page_is_well_formed_and_every_id_is_unique(text):
    page = Page(text)
    assert [name for name, count in page.ids.items() if count > 1] == []
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link


def test_page_needs_no_network(text):
    assert all(link.startswith(("data:", "#")) for link in Page(text).links)
    styles = "".join(re.findall(r"<style>.*?</style>", text, re.DOTALL))
    assert "@import" not in text.split("<body>")[0] and "url(" not in styles


def test_every_figure_has_a_name_and_a_description(text):
    page = Page(text)
    assert len(page.figures) == 3 + 6 + 3
    for figure in page.figures:
        assert figure["role"] == "img"
        for name in figure["aria-labelledby"].split():
            words = re.search(rf'<(title|desc) id="{name}">([^<]+)</\1>', text)
            assert words is not None and len(words[2]) > 10
    assert len(re.findall(r"<figcaption>", text)) == len(page.figures)
    for kind in ("svg", "pdf"):
        assert len(re.findall(rf'download="[^"]+\.{kind}" href="data:', text)) == len(page.figures)


def test_figures_follow_the_theme_and_keep_their_numbers(text):
    figures = re.findall(r"<svg role=.*?</svg>", text, re.DOTALL)
    assert all("currentColor" in figure and "#010203" not in figure for figure in figures)
    variance = next(figure for figure in figures if "Variance of every estimator" in figure)
    assert ">0.001</text>" in variance  # coordinates are rounded, labels are not


def test_two_builds_are_the_same_bytes(small_store, text, tmp_path):
    out = tmp_path / "again.html"
    command = [sys.executable, "-W", "error", "-m", "reports", "build", "--store", str(small_store), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=tmp_path, env=environment)
    assert out.read_text() == text


def test_failed_cell_is_on_top_and_listed_with_its_reason(text):
    assert 'href="#failures">1 cell failed</a>' in text
    assert "ValueError: the &lt;step&gt; became NaN" in text
    assert "1 of 1 cells failed" in text  # in the leaderboard and in the figures


def lines_of(results: data.Results) -> dict[str, leaderboard.Line]:
    made = leaderboard.leaderboard(reports_store.board_of(results))
    return {line.label: line for line in made.lines}


def test_plug_in_shows_up_everywhere_and_stands_out(text, small_results):
    lines = lines_of(small_results)
    line = lines[reports_store.PLUG_IN]
    assert line.plug_in
    assert line.entries["bias"].worst and line.entries["error"].worst
    assert line.notes == ("its mean points uphill",)
    assert text.count(">my_lab.estimators:NEW</text>") == 6
    assert "Going uphill more than down: my_lab.estimators:NEW." in text


def test_zero_bias_is_visible_as_zero(text, small_results):
    lines = lines_of(small_results)
    assert lines["sfe"].entries["bias"].text == lines["exact_enum"].entries["bias"].text == "0"
    assert lines["sfe"].entries["bias"].best and not lines["exact_enum"].entries["bias"].best
    bias = next(figure for figure in re.findall(r"<svg role=.*?</svg>", text, re.DOTALL) if "Bias of every" in figure)
    assert "exact_enum 0; sfe 0;" in bias
    assert ">0</text>" in bias


def test_unknown_experiments_and_metrics_get_a_table(text):
    assert "law distance" in text
    assert "<summary>sweep" in text and "<h3>Sweep</h3>" in text


def test_missing_figure_says_how_to_make_it(tmp_path):
    def fill(_, save):
        save(reports_store.cell_of("simple", n=20), {"bias": 0.1}, experiment="sweep")

    results = data.read(reports_store.write(tmp_path / "sweep.sqlite", fill))
    text = page_module.build(results)
    Page(text)
    for name in ("figure1", "figure3"):
        assert f"<code>python -m benchmarks run {name}</code>" in text


def test_provenance_names_only_runs_with_cells(text):
    assert "a &lt;processor&gt; &amp; more" in text
    assert "uncommitted changes" in text
    assert "a run without cells" not in text


def test_reports_imports_neither_framework_nor_estimators():
    code = (
        "import sys, reports.__main__, reports.page; "
        "print(sorted({'torch', 'jax', 'subsetgrad'} & set(sys.modules))); "
        "print(sorted(name for name in sys.modules if name.startswith('benchmarks.results.')))"
    )
    assert python(code) == "[]\n['benchmarks.results.agreement', 'benchmarks.results.names']\n"


@pytest.mark.parametrize("name", ["select", "summarise"])
def test_page_selects_and_averages_once(small_results, monkeypatch, name):
    calls = []
    function = getattr(board, name)
    monkeypatch.setattr(board, name, lambda rows: calls.append(name) or function(rows))
    page_module.build(small_results)
    assert calls == [name]


def test_experiment_brings_its_heading_its_advice_and_its_place_on_the_page(tmp_path):
    """No name is special: an unknown experiment gets figures if its entries ask for them."""
    bars = {"type": "bars", "title": "As in a thesis, figure 7", "metrics": ["bias"], "origin": "the thesis"}
    bars["estimators"] = [{"estimator": "simple", "params": {}, "label": "Ours"}]

    def fill(store, save):
        save(reports_store.cell_of("simple"), {"bias": 0.1, "error": 0.2}, experiment="thesis")
        save(reports_store.cell_of("sfe"), {"bias": 0.0, "error": 0.9}, experiment="plain")
        store.describe("thesis", "quality", "A thesis", "Read it twice.", [bars])

    text = page_module.build(data.read(reports_store.write(tmp_path / "s.sqlite", fill)))
    parsed = Page(text)
    assert parsed.ids["thesis"] == 1 and "<h2>A thesis</h2>" in text and "<p>Read it twice.</p>" in text
    assert "As in a thesis, figure 7: bias" in text and ">Ours</text>" in text
    assert "<h3>plain</h3>" in text  # an experiment without stored text is shown under its name


def test_store_that_describes_no_experiment_gives_a_page(tmp_path):
    def fill(store, save):
        save(reports_store.cell_of("simple"), {"bias": 0.1, "error": 0.2}, experiment="plain")

    with sqlite3.connect(reports_store.write(tmp_path / "s.sqlite", fill)) as connection:
        connection.execute("DELETE FROM experiment")
    connection.close()
    text = page_module.build(data.read(tmp_path / "s.sqlite"))
    assert "<h3>plain</h3>" in text and "The leaderboard shows the first figure, which this store does not hold" in text


def test_figure_is_written_on_white_under_the_name_of_its_download(small_store, text, tmp_path):
    for name in ("figure1-paper-bias-variance", "figure1-error"):
        assert f'download="{name}.svg"' in text
        out = tmp_path / "new" / f"{name}.svg"
        result = CliRunner().invoke(main, ["figure", name, "--store", str(small_store), "--out", str(out)])
        assert result.exit_code == 0 and result.output == f"{out}\n"
        drawn = out.read_text()
        first = re.search(r"<svg [^>]*>\s*(<[^>]*>)", drawn)
        assert first is not None and first[1] == '<rect width="100%" height="100%" fill="white"/>'
        words = set(re.findall(r">([^<>]+)</text>", drawn))
        assert {"SoftSub", "SIMPLE", "bias", "variance"} <= words or {"simple", "error"} <= words


def test_unknown_figure_names_the_known_ones(small_store, tmp_path):
    command = ["figure", "figure9", "--store", str(small_store), "--out", str(tmp_path / "x.svg")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2 and "figure1-bias" in result.output
