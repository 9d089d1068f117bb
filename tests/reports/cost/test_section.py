"""The section about time and memory: its exponents, fronts and ratios are right, and omissions are stated."""

from __future__ import annotations

import math
import re
from html import unescape
from typing import Any

import pytest
import reports_store
from click.testing import CliRunner
from reports_page import Page

from reports import data, page
from reports.__main__ import main
from reports.cost import exponents, slopes, tables, timings
from reports.form import units
from reports.quality import leaderboard

ENGINES = ("torch:cpu eager", "jax:cpu compiled")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> data.Results:
    return reports_store.timed(
        tmp_path_factory.mktemp("scaling") / "s.sqlite", reports_store.all_timings(), reports_store.RUNS
    )


@pytest.fixture(scope="module")
def text(results: data.Results) -> str:
    return page.build(results)


@pytest.fixture(scope="module")
def section(results: data.Results) -> dict[str, Any]:
    return reports_store.cost_of(results)


@pytest.fixture(scope="module")
def part(text: str) -> str:
    match = re.search(r'<section id="cost">.*?</section>', text, re.DOTALL)
    assert match is not None
    return match[0]


def test_two_environments_are_never_mixed(results, part):
    chosen = timings.choose(results)
    assert chosen.setup == "environment e0, 1 thread"
    assert chosen.table["value"].where(chosen.table["metric"] != "peak_bytes").max() < 10  # the laptop's are 1000 s
    (sentence,) = chosen.set_aside
    assert "laptop" in sentence and sentence in unescape(part)
    assert len(results.timings[results.timings["environment"] == "laptop"]) > 0  # in the table of all timings


def test_machine_is_named_with_its_gpus(part):
    assert "a &lt;processor&gt; &amp; more, a graphics &lt;processor&gt;, 2 cores" in part


def test_skipped_and_failed_cells_are_listed_with_their_reason(text, part):
    assert reports_store.SKIPPED in part and "batch 64, n = 10000, k = 5000" in part
    assert "OSError: &lt;no&gt; room" in part
    assert 'href="#unmeasured">2 timing cells failed</a>' in text


def test_timings_stay_out_of_the_leaderboard(results, tmp_path):
    bare = data.read(reports_store.write(tmp_path / "bare.sqlite", reports_store.judged))
    assert results.rows.equals(bare.rows)  # with the same labels, series and numbers
    names = {metric.name for metric in leaderboard.columns_of(results.rows)}
    assert not any(name.endswith(("_seconds", "_bytes")) for name in names)
    assert not set(results.timings["metric"]) & {"bias", "error"}


def test_page_is_well_formed_and_needs_no_network(text):
    parsed = Page(text)
    assert [name for name, count in parsed.ids.items() if count > 1] == []
    assert all(link.startswith(("data:", "#")) for link in parsed.links)
    assert all(link[1:] in parsed.ids for link in parsed.links if link.startswith("#"))


def test_every_figure_of_cost_has_a_name_a_description_and_its_numbers(part):
    figures = re.findall(r"<figure id=.*?</figure>", part, re.DOTALL)
    # time against n at one k, at one share, time against k, and memory, on two backends; two ratios; two fronts
    assert len(figures) == 2 * 4 + 2 + 2
    for figure in figures:
        assert re.search(r'<title id="[^"]+">[^<]{10,}</title><desc id="[^"]+">[^<]{10,}</desc>', figure)
        assert "currentColor" in figure and "#010203" not in figure
    time = next(figure for figure in figures if "Time against k, torch:cpu eager" in figure)
    exponent = re.search(r">softsub  ([\d.]+)<", time)
    assert exponent is not None and float(exponent[1]) == pytest.approx(1, abs=0.05)
    assert f"softsub {units.seconds(15e-6 + 2e-7 * 1024)} at k 1" in time


def test_same_results_give_the_same_bytes(results, text):
    assert page.build(results) == text


def test_page_with_two_thousand_timings_stays_light(tmp_path):
    laws = {f"estimator_{turn}": law for turn, law in enumerate(list(reports_store.LAWS.values()) * 3)}
    rows = reports_store.timing_rows(laws, reports_store.SIZES[:11])
    assert len(rows) > 1900
    # A page with few timings has about half of that. Each further row takes some 340 bytes, since its words are packed.
    assert len(page.build(reports_store.timed(tmp_path / "s.sqlite", rows)).encode()) < 2_300_000


def test_exponents_of_known_laws_are_next_to_the_stated_complexities(results, part):
    table = timings.choose(results).table
    families = slopes.families({"any": set(zip(table["n"], table["k"], strict=True))})
    fits = exponents.fit_all(table, families, ["torch:cpu eager"], 64)
    lines = exponents.stated(table, results.entries("complexity"), families, ["torch:cpu eager"], fits)
    by_name = {entry["estimator"]: [cell.order for cell in cells] for entry, cells in lines}
    in_n, in_k = by_name["subsetgrad.families.simple_as_printed:SIMPLE_SEQUENTIAL"]
    assert (in_n, in_k) == pytest.approx((1, 1), abs=1e-9)
    assert by_name["simple"][1] == pytest.approx(0.1, abs=0.03)  # a little less, because of the fixed cost
    assert "subsetgrad.families.simple_as_printed:SIMPLE_DIVIDED" not in by_name  # it was not timed
    assert "O(log n)" in part and "O(n k)" in part


def test_memory_is_fitted_where_it_is_drawn_against_n_alone(results, section, tmp_path):
    heads = [head for head in section["exponents"].heads if head.startswith("memory")]
    held = section["memory"][0]["heading"].removeprefix("Memory against n, at ")
    assert heads == [f"memory in n at {held}, {engine}" for engine in ENGINES]
    along_k = reports_store.timing_rows(sizes=[(64, k) for k in (1, 2, 4, 8)])
    content = reports_store.cost_of(reports_store.timed(tmp_path / "s.sqlite", along_k))
    assert [family.axis for family in content["families"]] == ["k"]
    assert content["memory"] == [] and not any("memory" in head for head in content["exponents"].heads)


def test_ratios_are_of_medians_with_intervals_of_both_errors(results):
    table = timings.choose(results).table
    ratios = timings.against(table, "softsub", "simple", "label")
    row = ratios[(ratios["n"] == 1024) & (ratios["k"] == 32) & (ratios["engine"] == "torch:cpu eager")].iloc[0]
    soft, simple = 15e-6 + 2e-7 * 1024 * 32, 20e-6 + 4e-7 * 1024 * 32**0.1
    assert row["value"] == pytest.approx(soft / simple)
    assert math.log(row["high"] / row["value"]) == pytest.approx(1.96 * math.sqrt(2) * 0.01, rel=1e-3)
    assert row["low"] * row["high"] == pytest.approx(row["value"] ** 2)


def test_ratio_with_an_unknown_error_has_no_interval(tmp_path):
    rows = reports_store.timing_rows(relative_error=math.nan)
    table = timings.choose(reports_store.timed(tmp_path / "s.sqlite", rows)).table
    ratios = timings.against(table, "softsub", "simple", "label")
    assert ratios["value"].notna().all() and ratios["low"].isna().all()


def test_all_times_that_agree_with_the_fastest_are_marked(tmp_path):
    laws = {"a": (1.00, 0, 0, 0), "b": (1.01, 0, 0, 0), "c": (1.2, 0, 0, 0), "d": (2.0, 0, 0, 0)}
    rows = reports_store.timing_rows(laws, ((16, 1),), backends={"torch": 1.0})
    (block,) = tables.blocks(timings.choose(reports_store.timed(tmp_path / "s.sqlite", rows)).table, [])
    assert {label: line[0].best for label, line in block.lines if line[0]} == {
        "a": True,
        "b": True,
        "c": False,
        "d": False,
    }
    assert [label for label, _ in block.lines] == ["a", "b", "c", "d"]


def test_sentences_quote_the_measured_numbers(section, text):
    first = section["headlines"][0]
    assert first.startswith("Time of simple, a step on torch:cpu eager, batch 64: ") and first in unescape(text)
    assert " that of straight-through Gumbel-top-k (ste_gumbel); " in first and first.endswith("SoftSub (softsub).")
    ratios = [(20e-6 + 4e-7 * n * k**0.1) / (10e-6 + 2e-7 * n) for n, k in reports_store.SIZES]
    quoted = [float(number) for number in re.findall(r"([\d.]+)×", first)[:2]]
    assert quoted == pytest.approx([min(ratios), max(ratios)], rel=0.03)
    (least,) = (sentence for sentence in section["headlines"] if sentence.startswith("Least error for its time"))
    assert " on sweep's distance" in least and "sfe from 243 ± 2 ns (error 0.9988)" in least


def test_sampled_error_of_a_headline_has_its_standard_error(tmp_path):
    laws = {"softsub": (1e-4, 0, 0, 0), "simple": (1e-3, 0, 0, 0)}
    results = reports_store.timed(tmp_path / "s.sqlite", reports_store.timing_rows(laws, ((10, 5),)))
    section = reports_store.cost_of(results)
    sentence = (
        "softsub [logits=theta] from 1.56 ± 0.02 µs (relaxed, error 0.2710 ± 0.0020, timed with its default parameters)"
    )
    assert sentence in section["headlines"][-1]
    assert section["fronts"][0]["lines"][0]["error"] == "0.2710 ± 0.0020"


def test_no_sentence_about_an_uncertain_number(tmp_path):
    results = reports_store.timed(
        tmp_path / "s.sqlite", reports_store.timing_rows(sizes=((10, 4), (64, 8)), relative_error=0.5)
    )
    section = reports_store.cost_of(results)
    assert section["headlines"] == []


def test_no_sentence_about_an_estimator_that_was_not_timed(tmp_path):
    laws = {"l2x": (1e-3, 0, 0, 0), "gs": (2e-3, 0, 0, 0)}
    results = reports_store.timed(tmp_path / "s.sqlite", reports_store.timing_rows(laws, ((10, 5), (64, 8))))
    section = reports_store.cost_of(results)
    assert section["headlines"] == []


def test_first_calls_are_given_in_steps(results):
    lines = tables.first_calls(timings.choose(results).table)
    sequential = [line for line in lines if line["label"] == "subsetgrad.families.simple_as_printed:SIMPLE_SEQUENTIAL"]
    by_engine = {
        engine: [text for text, _ in next(line["cells"] for line in sequential if line["engine"] == engine)]
        for engine in ENGINES
    }
    step = 3e-6 * 10 * 5
    first = [f"{625 + 1e3 * step / 2:.0f} ms", "100 ms", "400 ms", "75.0 µs"]
    assert by_engine["jax:cpu compiled"] == [*first, f"{(0.625 + step / 2) / (step / 2):,.0f}"]
    assert by_engine["torch:cpu eager"] == ["125 ms", "–", "–", "150 µs", f"{(0.125 + step) / step:,.0f}"]


def test_first_call_is_on_the_page_and_unknown_parts_sort_last(part):
    table = re.search(r"<summary>The first call</summary>.*?</table>", part, re.DOTALL)
    assert table is not None and all(f">{head}</th>" in table[0] for head in tables.FIRST_CALL_HEADS)
    unknown = re.findall(r'data-order="([^"]*)">–', table[0])
    assert unknown and set(unknown) == {"1e+300"}


def test_every_sort_key_is_a_finite_number(text):
    orders = [float(order) for order in re.findall(r'data-order="([^"]*)"', text)]
    assert orders and all(map(math.isfinite, orders))


def test_table_of_times_has_three_forms(results):
    def printed(style: str) -> str:
        result = CliRunner().invoke(main, ["table", "scaling", "--format", style, "--store", results.store])
        assert result.exit_code == 0, result.output
        assert "set aside: environment laptop" in result.stderr
        return result.stdout

    markdown = printed("markdown")
    assert markdown.startswith("**batch 64, n = 10, k = 5**\n\n| estimator") and "| × ste_gumbel" in markdown
    latex = printed("latex")
    assert r"\toprule" in latex and r"\textbf{" in latex and "µ" not in latex and "±" not in latex
    csv = printed("csv").splitlines()
    assert {"total_seconds", "total_seconds_std_error", "peak_bytes", "first_seconds"} <= set(csv[0].split(","))
    assert len(csv) == 1 + len(reports_store.LAWS) * len(reports_store.SIZES) * 2 + 2
