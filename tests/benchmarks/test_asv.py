"""The benchmarks that asv finds, runs and installs, tested without running asv."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import oracles
import pytest

import subsetgrad
from benchmarks.objectives import DISTANCE
from benchmarks.quality import measure
from benchmarks.quality.metrics import undefined
from benchmarks.quality.problem import draw_problem
from benchmarks.results.names import CONDITIONAL_POISSON
from benchmarks.tracked import asv_common, cases
from benchmarks.tracked import quality as tracked_quality

ROOT = Path(__file__).parents[2]
CONFIGURATION = json.loads(re.sub(r"^\s*//.*$", "", (ROOT / "asv.conf.json").read_text(), flags=re.MULTILINE))

# asv_runner's discovery, as asv calls it in a new process, and the state of the process from which it would fork.
DISCOVERED = """
import json, os, sys
from asv_runner.discovery import disc_benchmarks
benchmarks = {benchmark.name: benchmark.type for benchmark in disc_benchmarks(os.path.abspath("benchmarks"))}
import jax._src.xla_bridge
import threading
print(json.dumps({
    "benchmarks": benchmarks,
    "imported": sorted({"torch", "jax"} & set(sys.modules)),
    "jax_started": jax._src.xla_bridge.backends_are_initialized(),
    "threads": threading.active_count(),
}))
"""


@pytest.fixture(scope="module")
def discovered() -> dict:
    environment = os.environ | {"ASV": "true", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", DISCOVERED], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_asv_discovers_these_benchmarks_and_no_others(discovered):
    assert discovered["benchmarks"] == {
        "bench_estimators.Memory.track_peak_bytes": "track",
        "bench_estimators.Sample.time_sample": "time",
        "bench_estimators.Total.time_total": "time",
        "bench_quality.Quality.track_bias": "track",
        "bench_quality.Quality.track_error": "track",
        "bench_quality.Quality.track_variance": "track",
        "bench_subsets.Functions.time_call": "time",
    }


def test_asv_forks_from_a_process_that_has_imported_the_frameworks_and_not_started_jax(discovered):
    assert discovered["imported"] == ["jax", "torch"]
    assert not discovered["jax_started"]
    assert discovered["threads"] == 1


def test_every_benchmark_has_one_gate_and_quality_the_threshold_of_its_history(discovered):
    assigned = [node for node in ast.parse((ROOT / "noxfile.py").read_text()).body if isinstance(node, ast.AnnAssign)]
    (gates,) = [ast.literal_eval(node.value) for node in assigned if ast.unparse(node.target) == "GATES"]
    allowed = {benchmarks: float(factor) for _, factor, benchmarks in gates}
    thresholds = CONFIGURATION["regressions_thresholds"]
    for name in discovered["benchmarks"]:
        (factor,) = [factor for pattern, factor in allowed.items() if re.search(pattern, name)]
        (threshold,) = [threshold for pattern, threshold in thresholds.items() if re.search(pattern, name)]
        assert factor == (1 + threshold if name.startswith("bench_quality") else 1.25)


def test_without_asv_the_bench_files_import_no_framework():
    statement = "import sys, benchmarks.bench_estimators, benchmarks.bench_quality, benchmarks.bench_subsets\n"
    environment = {name: value for name, value in os.environ.items() if name != "ASV"}
    done = subprocess.run(
        [sys.executable, "-c", statement + "print({'torch', 'jax'} & set(sys.modules))"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "set()\n"


def test_asv_installs_the_constraints_versions_of_all_that_the_benchmarks_need():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    required = CONFIGURATION["matrix"]["req"]
    assert required == {name: [pins[name]] for name in required}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    runtime = project["dependencies"] + extras["torch"] + extras["jax"] + extras["bench"]
    assert set(required) == {re.match(r"[\w-]+", name)[0] for name in runtime} | {"jaxlib"}


def test_asv_measures_this_folder_and_installs_no_dependencies_of_a_commit():
    assert CONFIGURATION["benchmark_dir"] == "benchmarks"
    assert all("--no-deps" in command for command in CONFIGURATION["install_command"])
    ignored = (ROOT / ".gitignore").read_text().split()
    for folder in ("env_dir", "results_dir", "html_dir"):
        assert CONFIGURATION[folder].split("/")[0] + "/" in ignored


def test_every_case_has_a_unique_name():
    everything = cases.ESTIMATORS + cases.FUNCTIONS
    assert len(cases.BY_ID) == len(everything) == len(set(everything))


def test_an_estimator_that_the_commit_lacks_is_skipped(monkeypatch):
    lacking = cases.Case("not_yet", "torch", 4, 2, 1)
    with pytest.raises(asv_common.LackingError, match="not_yet"):
        asv_common.estimator_step(lacking, "total")
    monkeypatch.setattr(tracked_quality, "QUALITY", ("ste", "not_yet"))
    monkeypatch.setattr(tracked_quality, "BACKENDS", ("torch",))
    quality = tracked_quality.measure_all()
    assert set(quality) == {"ste-torch", "not_yet-torch"}
    tracked_quality.skip_if_entry_lacks(quality, "ste-torch")
    with pytest.raises(asv_common.LackingError, match="no estimator 'not_yet'"):
        tracked_quality.skip_if_entry_lacks(quality, "not_yet-torch")


def test_a_wheel_without_the_package_is_skipped_with_a_reason(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "subsetgrad"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "subsetgrad", None)  # importing it raises ModuleNotFoundError
    for function in (asv_common.estimator_step, asv_common.function_step, asv_common._steps):
        monkeypatch.setattr(asv_common, function.__name__, function.__wrapped__)
    reason = "no package subsetgrad: older commits called it estimators"
    with pytest.raises(asv_common.LackingError, match=reason):
        asv_common.estimator_step(cases.ESTIMATORS[0], "total")
    with pytest.raises(asv_common.LackingError, match=reason):
        asv_common.peak_bytes(cases.ESTIMATORS[0])
    with pytest.raises(asv_common.LackingError, match=reason):
        asv_common.function_step(cases.FUNCTIONS[0])
    quality = tracked_quality.measure_all()
    assert tuple(quality) == tracked_quality.LABELS
    for label in tracked_quality.LABELS:
        with pytest.raises(asv_common.LackingError, match=reason):
            tracked_quality.skip_if_entry_lacks(quality, label)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_step_holds_at_least_its_sample_and_its_gradient(backend):
    # The product tree and the tables of sampling are about 35 arrays of this size: far less than the process holds.
    assert 2 <= asv_common.peak_bytes(cases.Case("ste", backend, 100, 5, 64)) / (64 * 100 * 4) <= 60


def test_a_function_that_the_commit_lacks_is_skipped():
    with pytest.raises(asv_common.LackingError, match="not_yet"):
        asv_common.function_step(cases.Case("not_yet", "torch", 4, 2, 1))


@pytest.mark.parametrize(
    "defect",
    [
        lambda: {}.missing,
        lambda: subsetgrad.get("simple").missing,
        lambda: __import__("not_installed"),
        lambda: ModuleType("elsewhere").missing,
    ],
)
def test_a_defect_is_no_skip(defect):
    with pytest.raises((AttributeError, ModuleNotFoundError)), asv_common.skip_if_lacking("case"):
        defect()


LACKING = (
    "import subsetgrad.not_yet",
    "from subsetgrad._layer import not_yet",
    "import subsetgrad\nsubsetgrad.not_yet",
    "import importlib\nimportlib.import_module('subsetgrad.not_yet')",
)


@pytest.mark.parametrize("statement", LACKING)
def test_a_name_that_subsetgrad_lacks_and_uses_itself_is_a_defect(statement):
    with pytest.raises((AttributeError, ImportError)), asv_common.skip_if_lacking("case"):
        exec(statement, {"__name__": "subsetgrad.simple"})


@pytest.mark.parametrize("statement", LACKING)
def test_a_name_that_the_benchmarks_use_and_subsetgrad_lacks_is_a_skip(statement):
    with pytest.raises(asv_common.LackingError, match="not_yet"), asv_common.skip_if_lacking("case"):
        exec(statement, {"__name__": "benchmarks.cost.steps"})


def test_a_failed_measurement_fails_its_own_benchmarks_only(monkeypatch):
    def measured(selector: str, backend: str) -> dict[str, float]:
        if selector == "ste":
            raise ValueError("NaN estimates")
        return {"bias": 0.25}

    monkeypatch.setattr(tracked_quality, "_measure", measured)
    quality = tracked_quality.measure_all()
    assert tuple(quality) == tracked_quality.LABELS
    assert tracked_quality.look_up(quality, "simple-jax", "bias") == 0.25
    with pytest.raises(RuntimeError, match="ste-jax: ValueError: NaN estimates"):
        tracked_quality.look_up(quality, "ste-jax", "bias")


def test_an_undefined_metric_is_a_failure_and_no_skip(monkeypatch):
    monkeypatch.setattr(measure, "quality_of", lambda _: undefined(CONDITIONAL_POISSON))
    with pytest.raises(ValueError, match="no value of bias, variance, error"):
        tracked_quality._measure("simple", "torch")


def test_tracked_quality_is_that_of_figure_1():
    quality = tracked_quality._measure("simple", "torch")
    assert set(quality) == set(tracked_quality.METRICS)
    # Of f = ‖z − b‖² the gradient is −2 Σ b, the mean of SIMPLE's estimates 2 Σ (μ − b), with Σ = Cov z and μ = E z.
    problem = draw_problem(DISTANCE, "", "normal", n=10, k=5, seed=1234)  # the figure's first seed
    law, b = oracles.enumerated(problem.theta, 5), problem.parameters["b"]
    exact, mean = -law.covariance @ b, law.covariance @ (law.marginals - b)
    assert quality["bias"] == pytest.approx(1 - exact @ mean / np.linalg.norm(exact) / np.linalg.norm(mean), abs=1e-9)
    assert quality["bias"] == pytest.approx(0.0380, abs=5e-5)  # by enumeration of the published notebook's toy


def test_a_tracked_bias_of_0_is_exactly_0():
    assert tracked_quality._measure("sfe", "torch")["bias"] == 0.0
    assert all(value == round(value, 9) for value in tracked_quality._measure("simple", "torch").values())


def test_the_clock_counts_sleep_and_work_but_no_waits_for_a_core():
    before, plain = asv_common.seconds_without_waits(), time.perf_counter()
    time.sleep(0.05)
    assert asv_common.seconds_without_waits() - before >= 0.045
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    measured, passed = asv_common.seconds_without_waits() - before, time.perf_counter() - plain
    assert 0.095 <= measured <= passed + 1e-3


@pytest.mark.skipif(  # elsewhere the clock is the plain one, and the test above covers it
    not Path("/proc/thread-self/schedstat").exists(), reason="this system does not count waits"
)
def test_the_clock_excludes_the_waits_of_the_calling_thread_only():
    readings = []

    def waited() -> float:
        path = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        return int(path.read_text().split()[1]) * 1e-9

    def read() -> None:
        least, begun = waited(), time.perf_counter()
        reading = asv_common.seconds_without_waits()
        readings.append((least, begun - reading, time.perf_counter() - reading, waited()))

    other = threading.Thread(target=read)
    other.start()
    other.join()
    read()
    for least, low, high, most in readings:
        assert low <= most and least <= high
