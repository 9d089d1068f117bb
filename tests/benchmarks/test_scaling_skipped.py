"""`python -m benchmarks run scaling` with too little memory, without a compiler, and with torch.compile's limits."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

import pytest
import torch
import torch._dynamo
import torch._inductor.config
from command_line import READ, TIMING, call, rows_of, words

from benchmarks.cost import compile_caches, memory, prepare

pytestmark = pytest.mark.usefixtures("quickly")


class TestSkipped:
    def test_memory_over_the_budget_is_a_row_with_the_forecast(self, store, monkeypatch):
        monkeypatch.setattr(prepare, "MEMORY_LIMIT", 2**23)
        arguments = (*TIMING, "-n", 2048, "-k", 256, "-e", "softsub,imle_gumbel", "--store", store)
        result = call(*arguments)
        assert result.exit_code == 0 and "skipped: softsub[" in words(result)
        assert re.search(r"\b1 cells computed in [\d.]+ s, 1 skipped", words(result))
        rows = {row["estimator"]: row for row in rows_of(store) if row["metric"] in ("", "peak_bytes")}
        assert (rows["softsub"]["status"], rows["softsub"]["metric"]) == ("skipped", "")
        assert "GiB (expected from small sizes), over the budget of" in rows["softsub"]["reason"]
        assert rows["imle_gumbel"]["status"] == "ok" and rows["imle_gumbel"]["value"] < 2**23
        assert "0 to compute" in words(call(*arguments))

    def test_jax_reports_memory_before_it_runs(self, store, monkeypatch):
        monkeypatch.setattr(prepare, "MEMORY_LIMIT", 2**10)
        call(*TIMING[:-1], "jax:cpu", "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        (row,) = rows_of(store)
        assert row["status"] == "skipped" and "(as XLA plans it)" in row["reason"]

    def test_torch_compile_without_a_compiler_says_so(self, store, monkeypatch):
        monkeypatch.setattr(torch._inductor.config.cpp, "cxx", (None, "no_such_compiler"))
        arguments = (*TIMING, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--mode", "compiled", "--store", store)
        call(*arguments)
        (row,) = rows_of(store)
        assert (row["status"], row["mode"]) == ("skipped", "compiled") and "install g++, or set CXX" in row["reason"]
        # The cell may work next time, once a compiler is installed.
        assert "1 to compute" in words(call(*arguments, "--dry-run"))

    def test_a_failure_to_measure_memory_keeps_the_seconds(self, store, monkeypatch):
        def failing(step, device):
            raise RuntimeError("no profiler")

        monkeypatch.setattr(memory, "peak_bytes", failing)
        result = call(*TIMING, "-n", 6, "-k", 2, "-e", "ste_gumbel", "--store", store)
        assert result.exit_code == 0
        rows = rows_of(store)
        assert {row["metric"] for row in rows} == READ | {"first_seconds"}
        assert {row["status"] for row in rows} == {"ok"}
        assert rows[0]["reason"].endswith("no peak_bytes: RuntimeError: no profiler")


class TestCompiled:
    """torch.compile with a backend that traces and runs the steps eagerly, so that it needs no C++ compiler."""

    COMPILED = (*TIMING, "-k", 2, "-e", "ste_gumbel", "--mode", "compiled")

    @pytest.fixture(autouse=True)
    def _traced_alone(self, monkeypatch):
        monkeypatch.setattr(compile_caches, "has_compiler", lambda: True)
        monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))

    def test_every_size_is_compiled_anew(self, store):
        result = call(*self.COMPILED, "-n", "6,7,8,9", "--store", store)
        assert result.exit_code == 0, result.output
        rows = {(row["n"], row["metric"]): row["value"] for row in rows_of(store)}
        for n in (6, 7, 8, 9):
            assert rows[n, "compile_seconds"] > 5 * rows[n, "total_seconds"]
        assert not any("limit" in row["reason"] for row in rows_of(store))

    def test_beyond_the_limit_of_programs_a_cell_fails_and_does_not_run_eagerly(self, store, monkeypatch):
        monkeypatch.setattr(compile_caches, "PROGRAMS", 1)
        several = [word.replace("ste_gumbel", "ste_gumbel,softsub,imle_gumbel") for word in map(str, self.COMPILED)]
        result = call(*several, "-n", 6, "--store", store)
        assert result.exit_code == 1, result.output
        rows = {row["estimator"]: row for row in rows_of(store)}
        for name in ("softsub", "imle_gumbel"):
            assert rows[name]["status"] == "failed" and "recompile_limit" in rows[name]["reason"]

    def test_limits_and_caches_are_restored(self):
        before = (torch._dynamo.config.cache_size_limit, os.environ.get("TORCHINDUCTOR_CACHE_DIR"))
        with compile_caches.fresh_programs(), compile_caches.empty_caches():
            folder = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
            assert torch._dynamo.config.cache_size_limit == compile_caches.PROGRAMS
            assert list(folder.iterdir()) == []
        assert not folder.parent.exists()
        assert (torch._dynamo.config.cache_size_limit, os.environ.get("TORCHINDUCTOR_CACHE_DIR")) == before


def test_a_small_step_runs_before_the_first_of_a_backend_and_mode(store, monkeypatch):
    real, built = prepare.steps, []

    def steps(record, params, ops, **sizes):
        built.append((record.name, sizes["n"], sizes["mode"]))
        return real(record, params, ops, **sizes)

    monkeypatch.setattr(prepare, "steps", steps)
    prepare._warm_up.cache_clear()
    call(*TIMING, "-n", "6,8", "-k", 2, "-e", "ste_gumbel", "--store", store)
    assert built == [("simple", 4, "eager"), ("ste_gumbel", 6, "eager"), ("ste_gumbel", 8, "eager")]
