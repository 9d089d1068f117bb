"""The clock: turns, when it stops and how precise it is. The machine: pinned cores, one measurement at a time."""

from __future__ import annotations

import gc
import itertools
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import machine
from benchmarks.cost import clock

ROOT = Path(__file__).parents[2]


def coverage(count, rank):
    """P(the median lies between the rank-th smallest and the rank-th largest), counted over tosses of a coin."""
    inside = [math.comb(count, below) for below in range(count + 1) if rank <= below <= count - rank]
    return sum(inside) / 2**count


class TestInterval:
    @pytest.mark.parametrize("count", [*range(1, 40), 100, 501, 1040])
    def test_its_ranks_are_the_narrowest_that_cover_95_percent(self, count):
        rank = clock.interval_rank(count)
        if rank:
            assert coverage(count, rank) >= 0.95
        assert coverage(count, rank + 1) < 0.95
        assert (rank == 0) == (count < 6)

    def test_it_covers_the_median_of_skewed_readings(self):
        readings = np.random.default_rng(0).lognormal(size=(4000, 25))
        covered = [timing.low <= 1.0 <= timing.high for timing in (clock.summary(list(r), 0.02) for r in readings)]
        expected = coverage(25, clock.interval_rank(25))
        assert abs(np.mean(covered) - expected) < 4 * math.sqrt(0.05 * 0.95 / 4000)

    def test_a_mean_s_interval_would_miss_it(self):
        readings = np.random.default_rng(0).lognormal(size=(4000, 25))
        half = 2 * readings.std(axis=1) / 5
        assert np.mean(np.abs(readings.mean(axis=1) - 1.0) <= half) < 0.9

    def test_few_readings_have_a_range_and_no_standard_error(self):
        timing = clock.summary([3.0, 1.0, 2.0], 0.5)
        assert (timing.median, timing.low, timing.high, timing.std_error, timing.stable) == (2.0, 1.0, 3.0, None, False)

    def test_equal_readings_are_known_exactly(self):
        timing = clock.summary([2.0] * 10, 0.02)
        assert (timing.median, timing.std_error, timing.half_width, timing.stable) == (2.0, 0.0, 0.0, True)

    def test_the_difference_of_a_pair_is_free_of_drift(self):
        drift = [1.0 + 0.3 * index for index in range(20)]
        total, forward = clock.summary([d + 0.5 for d in drift], 0.02), clock.summary(drift, 0.02)
        backward = clock.difference(total, forward, 0.02)
        assert backward.median == pytest.approx(0.5) and backward.half_width < 1e-9
        assert total.half_width > 0.1

    def test_different_numbers_of_readings_are_refused(self):
        with pytest.raises(ValueError, match="shorter"):
            clock.difference(clock.summary([1.0] * 10, 0.1), clock.summary([1.0] * 9, 0.1), 0.1)


class Fake:
    """Steps that return invented seconds, and the log of their calls."""

    def __init__(self):
        self.log = []

    def step(self, name, seconds):
        seconds = itertools.cycle([seconds] if isinstance(seconds, float) else seconds)

        def step():
            self.log.append(name)
            return next(seconds)

        return step

    def slowing(self, name):
        """Returns a step of 10 ms that takes 1 ms longer with each call of any step, as on a machine that drifts."""

        def step():
            self.log.append(name)
            return 0.01 * (1 + len(self.log) / 10)

        return step

    def read(self, step, calls):
        return sum(step() for _ in range(calls))


def measure(contestants, budget=10.0, target=0.02, **more):
    fake = Fake()
    steps = {
        name: {step: fake.step(f"{name}.{step}", seconds) for step, seconds in of.items()}
        for name, of in contestants.items()
    }
    return clock.measure(steps, budget_seconds=budget, relative_target=target, read=fake.read, **more), fake.log


class TestMeasure:
    def test_a_steady_step_is_done_at_the_fewest_readings(self):
        timings, _ = measure({"a": {"total": 0.01}})
        assert timings["a"]["total"].median == 0.01 and timings["a"]["total"].stable
        assert len(timings["a"]["total"].readings) == clock.LEAST_READINGS

    def test_a_reading_lasts_a_millisecond(self):
        timings, log = measure({"a": {"total": 1e-4}})
        assert timings["a"]["total"].median == pytest.approx(1e-4)
        assert len(log) == (1 + 2 + 4 + 8 + 16) + 16 * clock.LEAST_READINGS

    def test_a_noisy_step_is_read_until_it_is_precise(self):
        noisy = [0.01 * (1 + 0.1 * math.sin(index)) for index in range(1000)]
        timings, _ = measure({"a": {"total": noisy}}, budget=100.0)
        timing = timings["a"]["total"]
        assert timing.stable and timing.half_width <= 0.02 and len(timing.readings) > 2 * clock.LEAST_READINGS
        assert timing.low <= statistics.median(noisy) <= timing.high

    def test_the_budget_ends_a_step_that_never_becomes_precise(self):
        timings, log = measure({"a": {"total": [0.01, 0.1]}}, budget=1.0)
        assert not timings["a"]["total"].stable
        assert 1.0 <= 0.055 * len(log) <= 1.2

    def test_each_has_its_own_budget(self):
        timings, log = measure({"slow": {"total": [1.0, 2.0]}, "quick": {"total": 0.01}}, budget=5.0)
        assert timings["quick"]["total"].stable and log.count("quick.total") > 10
        assert log.count("slow.total") == 4  # 1 + 2 + 1 s, and the 2 s that end it

    def test_a_first_call_over_the_budget_is_the_only_reading(self):
        timings, log = measure({"a": {"forward": 3.0, "total": 9.0}}, budget=2.0)
        assert log == ["a.forward", "a.total"]
        assert timings["a"]["total"].readings == (9.0,) and not timings["a"]["total"].stable

    def test_an_exception_ends_its_own_contestant(self):
        def broken():
            raise FloatingPointError("it overflowed")

        fine = Fake()
        steps = {"broken": {"total": broken}, "fine": {"total": fine.step("fine", 0.01)}}
        timings = clock.measure(steps, budget_seconds=1.0, read=fine.read)
        assert isinstance(timings["broken"], FloatingPointError) and timings["fine"]["total"].stable
        assert list(timings) == ["broken", "fine"]

    def test_an_exception_in_the_summary_ends_its_own_contestant(self, monkeypatch):
        real = clock.summary

        def failing(readings, target):
            if readings[0] > 1.0:
                raise OverflowError("too many")
            return real(readings, target)

        monkeypatch.setattr(clock, "summary", failing)
        timings, _ = measure({"odd": {"total": 2.0}, "fine": {"total": 0.01}})
        assert isinstance(timings["odd"], OverflowError) and timings["fine"]["total"].stable

    def test_thousands_of_readings_have_an_interval(self):
        timings, _ = measure({"a": {"total": [0.001, 0.01]}}, budget=20.0)
        assert len(timings["a"]["total"].readings) > 3000 and timings["a"]["total"].std_error is not None

    def test_contestants_take_turns_in_changing_order_and_a_pair_stays_together(self):
        _, log = measure({name: {"forward": 0.01, "total": 0.02} for name in "abc"})
        rounds = [log[start : start + 6] for start in range(0, len(log), 6)]
        for one in rounds:
            assert sorted(one) == sorted(f"{name}.{step}" for name in "abc" for step in ("forward", "total"))
            assert all(one[at].replace("forward", "total") == one[at + 1] for at in (0, 2, 4))
        assert len({tuple(one) for one in rounds}) > 2

    def test_drift_affects_all_alike(self):
        def medians(*groups):
            fake, timings = Fake(), {}
            for group in groups:
                steps = {name: {"total": fake.slowing(name)} for name in group}
                timings |= clock.measure(steps, budget_seconds=10.0, relative_target=1e-9, read=fake.read)
            return [timings[name]["total"].median for name in "ab"]

        together, apart = medians("ab"), medians("a", "b")
        assert together[0] == pytest.approx(together[1], rel=0.02)  # one call's drift, of some hundred calls
        assert apart[1] > 1.5 * apart[0]  # one after the other would be wrong


def test_the_wall_clock_reads_calls_without_garbage_collection():
    collecting = []

    def step():
        collecting.append(gc.isenabled())
        time.sleep(0.002)

    assert clock.by_clock(step, 3) >= 0.006
    assert collecting == [False] * 3 and gc.isenabled()


class TestPinned:
    def test_all_threads_are_pinned_until_the_block_ends(self):
        before, threads = os.sched_getaffinity(0), torch.get_num_threads()
        with machine.pinned(1, "torch"):
            assert os.sched_getaffinity(0) == {max(before)}
            tasks = [int(task.name) for task in Path("/proc/self/task").iterdir()]
            assert all(os.sched_getaffinity(task) == {max(before)} for task in tasks)
            assert torch.get_num_threads() == 1
        assert (os.sched_getaffinity(0), torch.get_num_threads()) == (before, threads)

    def test_more_threads_than_cores_are_refused(self):
        with (
            pytest.raises(ValueError, match=r"threads=4096: this process may use 1 to \d+ cores"),
            machine.pinned(4096, "jax"),
        ):
            raise AssertionError("unreachable")


HOLDER = """
import sys, time
from pathlib import Path
from benchmarks.machine import alone
with alone("a long run", print, Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


class TestAlone:
    def test_others_see_the_holder_wait_for_it_and_go_on_when_it_dies(self, tmp_path, monkeypatch):
        monkeypatch.setattr(machine, "_POLL_SECONDS", 0.01)
        path = tmp_path / "lock"
        command = [sys.executable, "-c", HOLDER, str(path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdout.readline() == "held\n"
            notices = []

            def kill_the_holder(text):
                notices.append(text)
                holder.send_signal(signal.SIGKILL)

            with machine.alone("mine", kill_the_holder, path):
                assert path.read_text() == f"process {os.getpid()} (mine)"
        (notice,) = notices
        assert f"process {holder.pid} (a long run) is timing on this machine" in notice and str(path) in notice
        assert path.read_text() == ""

    def test_a_free_machine_needs_no_notice(self, tmp_path):
        for _ in range(2):
            with machine.alone("mine", pytest.fail, tmp_path / "lock"):
                pass

    def test_a_symbolic_link_is_not_followed(self, tmp_path):
        mine = tmp_path / "mine"
        mine.write_text("precious")
        (tmp_path / "lock").symlink_to(mine)
        with pytest.raises(OSError, match="lock"), machine.alone("mine", pytest.fail, tmp_path / "lock"):
            raise AssertionError("unreachable")
        assert mine.read_text() == "precious"

    def test_other_users_may_lock_the_file(self, tmp_path):
        before = os.umask(0o077)
        try:
            with machine.alone("mine", pytest.fail, tmp_path / "lock"):
                assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o666
        finally:
            os.umask(before)

    def test_an_interrupt_leaves_no_name_behind(self, tmp_path):
        path = tmp_path / "lock"
        with pytest.raises(KeyboardInterrupt), machine.alone("mine", pytest.fail, path):
            raise KeyboardInterrupt
        assert path.read_text() == ""
