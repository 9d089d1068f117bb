"""The comparison of two commits from asv's results files, by which `nox -s asv` measures cases once more."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.tracked import asv_results
from benchmarks.tracked.asv_results import Value

RECORDED = Path(__file__).parents[1] / "reports" / "data" / "asv_results"
ROOT = Path(__file__).parents[2]


def test_recorded_results_are_read():
    base = asv_results.values(RECORDED, "48391b5efbc8bd3de5a6e082aaf4e3e93b90f6c9")
    head = asv_results.values(RECORDED, "35bd17397b91ce6059858d129b4da20e9466beb0")
    case = "bench_estimators.Total.time_total('simple-torch-n10-k5-batch64-float32')"
    document = json.loads(next(RECORDED.glob("*/35bd1739-*.json")).read_text())
    row = dict(zip(document["result_columns"], document["results"]["bench_estimators.Total.time_total"], strict=False))
    assert head[case] == (row["result"][0], row["stats_ci_99_a"][0], row["stats_ci_99_b"][0])
    assert head[case].low < head[case].value < head[case].high
    assert base.keys() == head.keys()
    skipped = "bench_estimators.Total.time_total('simple-torch-n128-k10-batch64-float32')"
    assert math.isnan(base[skipped].value)


@pytest.mark.parametrize(
    ("base", "head", "worse"),
    [
        (Value(1.0, 0.9, 1.1), Value(1.3, 1.2, 1.4), True),
        (Value(1.0, 0.9, 1.1), Value(1.2, 1.15, 1.25), False),  # within the factor
        (Value(1.0, 0.5, 1.5), Value(1.3, 1.2, 1.4), False),  # the intervals overlap
        (Value(1.3, 1.2, 1.4), Value(1.0, 0.9, 1.1), False),  # faster
        (Value(1.0), Value(1.3), True),  # metrics have no interval
        (Value(0.0), Value(1e-9), True),
        (Value(0.0), Value(0.0), False),
        (Value(1.0), Value(None), True),  # a new failure
        (Value(None), Value(None), False),
        (Value(None), Value(1.0), False),
        (Value(1.0), Value(math.nan), False),  # skipped
        (Value(math.nan), Value(1.0), False),
        (Value(math.nan), Value(None), True),
    ],
)
def test_a_case_is_worse_if_it_grew_surely_or_fails_now(base, head, worse):
    assert asv_results.compare({"case": base}, {"case": head}, 1.25).worse == (("case",) if worse else ())


def test_values_at_both_commits_are_counted():
    base = {"a": Value(math.nan), "b": Value(math.nan), "c": Value(None), "d": Value(1.0)}
    head = {"a": Value(1.0), "b": Value(2.0), "c": Value(1.0), "e": Value(1.0)}
    comparison = asv_results.compare(base, head, 1.25)
    assert (comparison.base_values, comparison.head_values, comparison.comparable) == (1, 4, 0)


def test_only_the_newest_results_of_a_commit_count(tmp_path):
    for age, (machine, value) in enumerate((("new", 1.0), ("old", 2.0))):
        file = tmp_path / machine / "01234567-env.json"
        file.parent.mkdir()
        results = {"bench.track_a": [[value, None], [["'x'", "'y'"]]]}
        file.write_text(json.dumps({"result_columns": ["result", "params", "stats_ci_99_a"], "results": results}))
        os.utime(file, (1000 - age, 1000 - age))
    assert asv_results.values(tmp_path, "0123456789abcdef") == {
        "bench.track_a('x')": Value(1.0),
        "bench.track_a('y')": Value(None),
    }
    assert asv_results.values(tmp_path, "fedcba9876543210") == {}


def test_it_prints_one_line_of_json_and_needs_the_standard_library_alone(tmp_path):
    program = "import sys; sys.path.insert(0, sys.argv.pop(1)); from benchmarks.tracked.asv_results import main; main()"
    commits = ("--factor", "1.25", "HEAD", "HEAD")
    environment = {"PATH": os.environ["PATH"], "GIT_DIR": str(tmp_path / ".git")}
    identity = ("-c", "user.name=a test", "-c", "user.email=test@example.org")
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(
        ["git", *identity, "commit", "-q", "--allow-empty", "-m", "a commit"], cwd=tmp_path, env=environment, check=True
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(ROOT), *commits],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == {"base_values": 0, "head_values": 0, "comparable": 0, "worse": []}
