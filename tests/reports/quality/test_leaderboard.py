"""The values in the tables of quality, and the stores that are refused."""

from __future__ import annotations

import sqlite3

import pytest
import reports_store
from click.testing import CliRunner

from benchmarks.results import agreement, names
from reports import data
from reports.__main__ import main
from reports.form import numbers
from reports.quality import backends, leaderboard
from reports.quality.board import boards


def test_every_metric_that_is_measured_has_a_column_or_is_shown_elsewhere():
    assert set(names.QUALITY_METRICS) == {*leaderboard.BY_NAME, *leaderboard.NO_COLUMN}


def test_labels_of_variants_show_the_parameters_that_differ(small_results):
    rows = small_results.rows
    labels = set(rows.loc[rows["estimator"] == "softsub", "label"])
    assert labels == {"softsub [logits=logsigmoid]", "softsub [logits=theta]"}


def test_undefined_metric_is_neither_zero_nor_dropped(small_results):
    made = leaderboard.leaderboard(reports_store.board_of(small_results))
    line = next(line for line in made.lines if "undefined" in line.label)
    assert line.entries["bias"].text == "undefined"
    assert line.entries["variance"].text == "0.1000 ± 0.0014"


def test_one_budget_a_method_the_most_thorough(tmp_path):
    def fill(_, save):
        for seed in reports_store.SEEDS[:3]:
            for replicates, bias in ((100, 0.9), (10_000, 0.1)):
                cell = reports_store.cell_of("imle_sog", seed=seed, replicates=replicates)
                save(cell, {"bias": bias, "error": 0.5}, std_error=0.01)
        save(reports_store.cell_of("imle_sog", replicates=1_000_000), {"bias": 0.7, "error": 0.5}, std_error=0.01)

    board = reports_store.board_of(data.read(reports_store.write(tmp_path / "mixed.sqlite", fill)))
    (bias,) = board.table.query("metric == 'bias'").to_dict("records")
    assert bias["replicates"] == 10_000 and bias["seeds"] == 3
    assert bias["value"] == pytest.approx(0.1)


def test_spread_over_seeds_is_not_the_standard_error(tmp_path):
    def fill(_, save):
        for seed, value in zip(reports_store.SEEDS, (0.1, 0.3, 0.5, 0.7), strict=False):
            save(reports_store.cell_of("imle_sog", seed=seed), {"bias": value}, std_error=0.02)

    board = reports_store.board_of(data.read(reports_store.write(tmp_path / "s.sqlite", fill)))
    (row,) = board.table.to_dict("records")
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
    assert numbers.estimate(value, std_error, exact=exact) == text


def test_tables_have_three_forms(small_store):
    def printed(style: str) -> str:
        result = CliRunner().invoke(main, ["table", "figure1", "--format", style, "--store", str(small_store)])
        assert result.exit_code == 0
        return result.output

    markdown = printed("markdown")
    assert markdown.startswith("| estimator") and "| **0**" in markdown
    latex = printed("latex")
    assert r"\toprule" in latex and r"exact\_enum" in latex and r"\textbf{0}" in latex and "±" not in latex
    csv = printed("csv").splitlines()
    assert len(csv) == 1 + 2 * len(reports_store.PLAIN)
    assert {"bias", "bias_std_error", "bias_spread", "bias_exact"} <= set(csv[0].split(","))


def test_backends_that_differ_are_named(tmp_path, small_results):
    agreed = backends.compare(boards(small_results))
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

    pairs = backends.compare(boards(data.read(reports_store.write(tmp_path / "d.sqlite", fill))))
    assert dict(zip(pairs["label"], pairs["agree"], strict=True)) == {
        "imle_sog": False,
        "l2x": False,  # one standard error is much for values of the same random numbers
        "simple": False,
        "aimle": True,
        "ste": True,
    }
    assert "disagree on imle_sog, l2x, simple" in backends.verdict(pairs)


def test_verdict_quotes_the_difference_that_decides_with_its_own_limit(tmp_path):
    def fill(_, save):
        # Two backends differ by 0.3 standard errors in double precision, where they share random numbers, and by 2
        # where one is in single precision.
        for backend, dtype, bias in (("torch", "float64", 0.1), ("jax", "float64", 0.1 + 0.003 * 2**0.5)):
            save(reports_store.cell_of("simple", backend=backend, dtype=dtype), {"bias": bias}, std_error=0.01)
        for backend, dtype, bias in (("torch", "float64", 0.1), ("jax", "float32", 0.1 + 0.02 * 2**0.5)):
            save(reports_store.cell_of("ste", backend=backend, dtype=dtype), {"bias": bias}, std_error=0.01)
        for backend, dtype in (("torch", "float64"), ("jax", "float32")):
            save(reports_store.cell_of("sfe", backend=backend, dtype=dtype), {"bias": 0.1})

    pairs = backends.compare(boards(data.read(reports_store.write(tmp_path / "d.sqlite", fill)))).set_index("label")
    assert pairs["agree"].to_dict() == {"simple": False, "ste": True, "sfe": True}
    assert pairs["sampled_gap"].dropna().to_dict() == pytest.approx({"simple": 0.3, "ste": 2.0})
    assert pairs["sampled_limit"].dropna().to_dict() == pytest.approx({"simple": 0.1, "ste": agreement.chance_limit(1)})
    sentence = backends.verdict(pairs.reset_index())
    assert sentence.startswith("The backends disagree on simple: the worst of 2 sampled differences is 0.3 combined")
    assert "(more than 0.1 would be suspicious)" in sentence


@pytest.mark.parametrize("kind", ["missing", "empty", "text", "other", "folder", "older", "without a column"])
def test_file_that_is_no_store_gives_a_one_line_error(tmp_path, kind):
    path = tmp_path / "store.sqlite"
    if kind == "text":
        path.write_text("no database, but as long as the header of a database " * 20)
    elif kind == "other":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE t (x)")
        connection.close()
    elif kind == "empty":
        reports_store.write(path, lambda *_: None)
    elif kind == "folder":
        path.mkdir()
    elif kind == "older":  # it describes no experiment
        with sqlite3.connect(reports_store.write(path, reports_store.judged)) as connection:
            connection.execute("DROP TABLE experiment")
        connection.close()
    elif kind == "without a column":  # a program of an older version has defined the view again
        with sqlite3.connect(reports_store.write(path, reports_store.plain)) as connection:
            (view,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'rows'").fetchone()
            connection.execute("DROP VIEW rows")
            connection.execute(view.replace(", kind\n", "\n"))
        connection.close()
    for command in (["build"], ["table", "figure1"]):
        result = CliRunner().invoke(main, [*command, "--store", str(path)])
        assert result.exit_code == 2
        assert result.output.startswith("Error: ") and result.output.count("\n") == 1
        assert "--store" in result.output and str(path) in result.output


def test_unknown_experiment_names_the_known_ones(small_store):
    result = CliRunner().invoke(main, ["table", "figure9", "--store", str(small_store)])
    assert result.exit_code == 2
    assert "it holds: figure1, figure3, sweep" in result.output


def test_store_is_read_only(small_store):
    before = small_store.read_bytes()
    data.read(small_store)
    assert small_store.read_bytes() == before
