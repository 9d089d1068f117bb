"""Peak memory of steps whose bytes are known by construction."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import pytest
import torch

from benchmarks.cost import memory
from benchmarks.cost.steps import steps
from subsetgrad import get
from subsetgrad import ops as ops_module

MEGABYTE = 2**20
NUMBERS = MEGABYTE // 4


class TestTorch:
    def test_arrays_that_exist_at_the_same_time_add_up(self):
        x = torch.zeros(NUMBERS)
        assert memory.peak_bytes(lambda: [x + index for index in range(5)], "cpu") == pytest.approx(
            5 * MEGABYTE, rel=1e-3
        )

    def test_freed_arrays_do_not_add_up(self):
        def step():
            for index in range(5):
                torch.zeros(NUMBERS).add_(index)
            return torch.zeros(3 * NUMBERS)

        assert memory.peak_bytes(step, "cpu") == pytest.approx(3 * MEGABYTE, rel=1e-3)

    def test_temporaries_count(self):
        x = torch.zeros(NUMBERS)
        assert memory.peak_bytes(lambda: (x.repeat(7) + 1).sum(), "cpu") == pytest.approx(14 * MEGABYTE, rel=1e-3)

    def test_arrays_from_before_the_step_do_not_count(self):
        x = torch.zeros(50 * NUMBERS)
        assert memory.peak_bytes(lambda: x.sum(), "cpu") < 1000

    def test_the_profiler_s_messages_are_discarded(self, capfd):
        memory.peak_bytes(lambda: torch.zeros(10), "cpu")
        print("still here", flush=True)
        assert capfd.readouterr() == ("still here\n", "")


class TestJax:
    @staticmethod
    def bytes_of(function):
        return memory.program_bytes(jax.jit(function).lower(jnp.zeros(NUMBERS, jnp.float32)).compile())

    def test_results_count_and_arguments_do_not(self):
        assert self.bytes_of(lambda x: (x + 1, x + 2, x + 3)) == pytest.approx(3 * MEGABYTE, rel=1e-3)

    def test_temporaries_count(self):
        temporaries = self.bytes_of(lambda x: jnp.sort(jnp.sin(x))[:2])
        assert MEGABYTE <= temporaries <= 4 * MEGABYTE


class TestExtrapolated:
    def test_growth_as_n_times_k_is_exact(self):
        assert memory.extrapolated(lambda n, k: 24 * n * k, 10_000, 5_000) == pytest.approx(24 * 5e7, rel=1e-6)

    def test_growth_as_n_alone_is_exact(self):
        assert memory.extrapolated(lambda n, k: 24 * n, 10_000, 5_000) == pytest.approx(24 * 1e4, rel=1e-6)

    def test_growth_as_log_k_is_forecast_up_to_2_5_times_too_high(self):
        def tree(n, k):
            return round(n * math.log2(2 * k))

        forecast = memory.extrapolated(tree, 100_000, 50_000)
        assert tree(100_000, 50_000) <= forecast <= 2.5 * tree(100_000, 50_000)

    def test_k_1_is_forecast_from_k_1(self):
        asked = []
        memory.extrapolated(lambda n, k: asked.append((n, k)) or 1000, 10_000, 1)
        assert asked == [(512, 1)]  # 256 subsets would be enumerated, which holds less than the tree

    @pytest.mark.parametrize("name", ["softsub", "l2x", "imle_gumbel"])
    def test_the_forecast_of_estimators_is_right_to_10_percent(self, name):
        ops = ops_module.load("torch:cpu", "float32")

        def measured(n, k):
            step = steps(get(name), {}, ops, n=n, k=k, batch=1, mode="eager").total
            step()
            return memory.peak_bytes(step, "cpu")

        assert memory.extrapolated(measured, 1024, 200) == pytest.approx(measured(1024, 200), rel=0.1)
