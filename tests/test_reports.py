"""The page and its tables: complete, self-contained, and the same twice."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import reports_store
from click.testing import CliRunner

from reports import backends, load, tables
from reports import page as page_module
from reports.__main__ import main

VOID = {"meta", "link", "br", "hr", "img", "input", "wbr"}


class Page(HTMLParser):
    """Checks nesting, and collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.figures: list[dict[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if "id" in values:
            self.ids[values["id"]] += 1
        self.links += [
            values[name] or "" for name in ("src", "href", "xlink:href", "action", "srcset") if name in values
        ]
        if tag == "svg":
            self.figures.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reports_store.write(tmp_path_factory.mktemp("store") / "small.sqlite", reports_store.plain)


@pytest.fixture(scope="module")
def rows(store: Path) -> pd.DataFrame:
    return load.read(store).rows


@pytest.fixture(scope="module")
def text(store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    out = folder / "new" / "index.html"
    with contextlib.chdir(folder):  # away from asv results that the checkout may have
        result = CliRunner().invoke(main, ["build", "--store", str(store), "--out", str(out)])
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
    assert ">0.001</text>" in variance  # rounding of coordinates must not reach the labels


def test_two_builds_are_the_same_bytes(store, text, tmp_path):
    out = tmp_path / "again.html"
    command = [sys.executable, "-W", "error", "-m", "reports", "build", "--store", str(store), "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=tmp_path, env=environment)  # noqa: S603
    assert out.read_text() == text


def test_failed_cell_is_on_top_and_listed_with_its_reason(text):
    assert 'href="#failures">1 cell failed</a>' in text
    assert "ValueError: the &lt;step&gt; became NaN" in text
    assert "1 of 1 cells failed" in text  # in the leaderboard and in the figures, as an estimator without values


def test_plug_in_shows_up_everywhere_and_stands_out(text, rows):
    lines = {line.label: line for line in tables.leaderboard(rows[rows["experiment"] == "figure1"])}
    line = lines[reports_store.PLUG_IN]
    assert line.plug_in
    assert line.entries["bias"].worst and line.entries["error"].worst
    assert line.notes == ("its mean points uphill",)
    assert text.count(">my_lab.estimators:NEW</text>") == 6
    assert "Going uphill more than down: my_lab.estimators:NEW." in text


def test_zero_bias_is_visible_as_zero(text, rows):
    lines = {line.label: line for line in tables.leaderboard(rows[rows["experiment"] == "figure1"])}
    assert lines["sfe"].entries["bias"].text == lines["exact_enum"].entries["bias"].text == "0"
    assert lines["sfe"].entries["bias"].best and not lines["exact_enum"].entries["bias"].best
    bias = next(figure for figure in re.findall(r"<svg role=.*?</svg>", text, re.DOTALL) if "Bias of every" in figure)
    assert "exact_enum 0; sfe 0;" in bias
    assert ">0</text>" in bias


def test_variants_are_told_apart_by_what_differs(rows):
    labels = set(rows.loc[rows["estimator"] == "softsub", "label"])
    assert labels == {"softsub [logits=logsigmoid]", "softsub [logits=theta]"}


def test_undefined_metric_is_neither_zero_nor_dropped(text, rows):
    line = next(line for line in tables.leaderboard(rows[rows["experiment"] == "figure1"]) if "undefined" in line.label)
    assert line.entries["bias"].text == "undefined"
    assert line.entries["variance"].text == "0.1000 ± 0.0014"


def test_unknown_experiments_and_metrics_get_a_table(text):
    assert "law distance" in text
    assert "<summary>sweep" in text


def test_missing_figure_says_how_to_make_it(tmp_path):
    def fill(_, save):
        save(reports_store.cell_of("simple", n=20), {"bias": 0.1}, experiment="sweep")

    results = load.read(reports_store.write(tmp_path / "sweep.sqlite", fill))
    text = page_module.build(results)
    Page(text)
    for name in ("figure1", "figure3"):
        assert f"<code>python -m benchmarks run {name}</code>" in text


def test_provenance_names_only_runs_with_cells(text):
    assert "a &lt;processor&gt; &amp; more" in text
    assert "uncommitted changes" in text
    assert "a run without cells" not in text


def test_one_budget_a_method_the_most_thorough(tmp_path):
    def fill(_, save):
        for seed in reports_store.SEEDS[:3]:
            for replicates, bias in ((100, 0.9), (10_000, 0.1)):
                cell = reports_store.cell_of("imle_sog", seed=seed, replicates=replicates)
                save(cell, {"bias": bias, "error": 0.5}, std_error=0.01)
        save(reports_store.cell_of("imle_sog", replicates=1_000_000), {"bias": 0.7, "error": 0.5}, std_error=0.01)

    results = load.read(reports_store.write(tmp_path / "mixed.sqlite", fill))
    (bias,) = load.summarise(results.rows).query("metric == 'bias'").to_dict("records")
    assert bias["replicates"] == 10_000 and bias["seeds"] == 3
    assert bias["value"] == pytest.approx(0.1)


def test_spread_over_seeds_is_not_the_standard_error(tmp_path):
    def fill(_, save):
        for seed, value in zip(reports_store.SEEDS, (0.1, 0.3, 0.5, 0.7), strict=False):
            save(reports_store.cell_of("imle_sog", seed=seed), {"bias": value}, std_error=0.02)

    (row,) = load.summarise(load.read(reports_store.write(tmp_path / "s.sqlite", fill)).rows).to_dict("records")
    assert row["value"] == pytest.approx(0.4)
    assert row["spread"] == pytest.approx(0.2581988897)
    assert row["std_error"] == pytest.approx(0.01)  # √(4 · 0.02²) / 4
    assert not row["exact"]


@pytest.mark.parametrize(
    ("value", "std_error", "exact", "text"),
    [
        (0.036841, 0.0, True, "0.03684"),
        (-1e-17, 0.0, True, "0"),
        (0.459473, 0.00016, False, "0.45947 ± 0.00016"),
        (-0.00001, 0.002, False, "0.0000 ± 0.0020"),
        (176.5643, 1.23, False, "176.6 ± 1.2"),
        (10.26653, 0.0051, False, "10.267 ± 0.005"),
        (0.25, float("nan"), False, "0.25 ± ?"),
        (None, None, False, "–"),
    ],
)
def test_values_are_printed_with_the_digits_they_have(value, std_error, exact, text):
    assert tables.show(value, std_error, exact) == text


def test_tables_have_three_forms(store):
    def printed(style: str) -> str:
        result = CliRunner().invoke(main, ["table", "figure1", "--format", style, "--store", str(store)])
        assert result.exit_code == 0
        return result.output

    markdown = printed("markdown")
    assert markdown.startswith("| estimator") and "| **0**" in markdown
    latex = printed("latex")
    assert r"\toprule" in latex and r"exact\_enum" in latex and r"\textbf{0}" in latex and "±" not in latex
    csv = printed("csv").splitlines()
    assert len(csv) == 1 + 2 * len(reports_store.PLAIN)
    assert {"bias", "bias_std_error", "bias_spread", "bias_exact"} <= set(csv[0].split(","))


def test_backends_that_differ_are_named(tmp_path, rows):
    agreed = backends.compare(rows)
    assert agreed["agree"].all()
    assert backends.verdict(agreed).startswith("The backends agree")

    def fill(_, save):
        for backend, shift in (("torch", 0.0), ("jax", 1.0)):
            cell = {"seed": 1, "backend": backend}
            save(reports_store.cell_of("simple", **cell), {"bias": 0.1 + 1e-5 * shift})
            save(reports_store.cell_of("imle_sog", **cell), {"bias": 0.1 + 0.06 * shift}, std_error=0.01)
            save(reports_store.cell_of("aimle", **cell), {"bias": 0.1 + 0.001 * shift}, std_error=0.01)
            save(reports_store.cell_of("ste", **cell), {"bias": 0.1 + 1e-16 * shift})
            save(reports_store.cell_of("l2x", **cell), {"bias": 0.1 + 0.01 * shift}, std_error=0.01)

    pairs = backends.compare(load.read(reports_store.write(tmp_path / "d.sqlite", fill)).rows)
    assert dict(zip(pairs["label"], pairs["agree"], strict=True)) == {
        "imle_sog": False,
        "l2x": False,  # one standard error: nothing between strangers, much on the same random numbers
        "simple": False,
        "aimle": True,
        "ste": True,
    }
    assert "disagree on imle_sog, l2x, simple" in backends.verdict(pairs)


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "other", "folder"])
def test_what_is_no_store_ends_in_one_line(tmp_path, kind):
    path = tmp_path / "store.sqlite"
    if kind == "text":
        path.write_text("no database, but long enough to have a header of its own " * 20)
    elif kind == "other":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
    elif kind == "empty":
        reports_store.write(path, lambda *_: None)
    elif kind == "folder":
        path.mkdir()
    for command in (["build"], ["table", "figure1"]):
        result = CliRunner().invoke(main, [*command, "--store", str(path)])
        assert result.exit_code == 2
        assert result.output.startswith("Error: ") and result.output.count("\n") == 1
        assert "--store" in result.output and str(path) in result.output


def test_unknown_experiment_names_the_known_ones(store):
    result = CliRunner().invoke(main, ["table", "figure9", "--store", str(store)])
    assert result.exit_code == 2
    assert "it holds: figure1, figure3, sweep" in result.output


def test_store_is_read_only(store):
    before = store.read_bytes()
    load.read(store)
    assert store.read_bytes() == before


def test_reports_imports_neither_framework_nor_estimators():
    code = (
        "import sys, reports.__main__, reports.page; "
        "print(sorted({'torch', 'jax', 'estimators', 'benchmarks'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=120)  # noqa: S603
    assert done.stdout == "[]\n"
