"""Times steps in turns, until the median of each is precise enough.

A contestant is a set of steps that belong together; the experiment `scaling` makes one of each cell. A reading is the
mean time of one call, over a batch of calls that together take at least a millisecond. In each round all steps of every
contestant get one reading, with the contestants in random order, so that a machine that slows down affects all of them
alike. The interval of a median comes from order statistics: it assumes no distribution, only that readings are
exchangeable.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

Step = Callable[[], Any]
Read = Callable[[Step, int], float]  # (step, calls) -> seconds of all the calls

# Seconds. The coarsest clock used here, that of CUDA events, has a resolution of 0.5 µs: this is 2,000 times as long.
LEAST_READING = 1e-3
LEAST_READINGS = 10  # an interval from fewer readings may be narrow by chance, and does not end a measurement
_CONFIDENCE = 0.95
_NORMAL_QUANTILE = statistics.NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)


@dataclass(frozen=True)
class Timing:
    """Seconds of one call.

    Attributes:
      readings: seconds a call, one for each round.
      median: of the readings.
      low, high: a 95 % interval of the median, from order statistics; with fewer than 6 readings, their range.
      std_error: half the width of that interval divided by 1.96, because a row of the store holds one number for the
        uncertainty; None with fewer than 6 readings.
      stable: whether there are `LEAST_READINGS` and the interval is as narrow as asked.
    """

    readings: tuple[float, ...]
    median: float
    low: float
    high: float
    std_error: float | None
    stable: bool

    @property
    def half_width(self) -> float:
        """Half of the interval, relative to the median."""
        return (self.high - self.low) / 2 / abs(self.median) if self.median else math.inf


def summary(readings: Sequence[float], relative_target: float) -> Timing:
    """Returns the `Timing` of some readings; there must be at least one."""
    ordered = sorted(readings)
    rank = interval_rank(len(ordered))
    low, high = ordered[max(rank - 1, 0)], ordered[-max(rank, 1)]
    median = statistics.median(ordered)
    error = (high - low) / 2 / _NORMAL_QUANTILE if rank else None
    stable = len(ordered) >= LEAST_READINGS and (high - low) / 2 <= relative_target * abs(median)
    return Timing(tuple(readings), median, low, high, error, stable)


@lru_cache(maxsize=1024)
def interval_rank(count: int) -> int:
    """Returns the largest r for which the r-th smallest and r-th largest of `count` readings are a 95 % interval.

    The number of readings below the median is binomial(count, 1/2), for every distribution of the readings. Fewer than
    6 readings give 0: even their full range covers the median with less than 95 % probability.
    """
    from scipy import stats  # imported here, because importing it takes half a second

    return int(stats.binom.ppf((1 - _CONFIDENCE) / 2, count, 0.5))


def difference(long: Timing, short: Timing, relative_target: float) -> Timing:
    """Returns the timing of `long` minus `short`.

    The readings are subtracted round by round, so that a change of the machine's speed affects both of a pair.

    Raises:
      ValueError: they have different numbers of readings.
    """
    return summary([a - b for a, b in zip(long.readings, short.readings, strict=True)], relative_target)


def by_clock(step: Step, calls: int) -> float:
    """Returns the seconds of some calls by the wall clock; an asynchronous step must wait for its result."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(calls):
            step()
        return time.perf_counter() - start
    finally:
        if collecting:
            gc.enable()


def by_cuda_events(step: Step, calls: int) -> float:
    """Returns the seconds of some torch calls on the GPU, between two events; the calls need not wait for results."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def batch() -> None:
        start.record()
        for _ in range(calls):
            step()
        end.record()
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    # `by_clock` only switches garbage collection off. Its result is ignored, since the events measure the time.
    by_clock(batch, 1)
    return float(start.elapsed_time(end)) / 1e3


def measure(
    contestants: Mapping[str, Mapping[str, Step]],
    *,
    budget_seconds: float,
    relative_target: float = 0.02,
    read: Read = by_clock,
) -> dict[str, dict[str, Timing] | Exception]:
    """Returns for each contestant the timing of each of its steps, or the exception that one of them raised.

    Args:
      contestants: contestant's name -> step's name -> step. In a round the steps of a contestant are read one after
        another.
      budget_seconds: for each contestant, including its warm-up. If a contestant's first calls spend the whole budget,
        they are its only reading.
      relative_target: a contestant is finished when, for each of its steps, half the width of the interval is at most
        this fraction of the median. Stopping at that moment makes intervals slightly too narrow; the effect shrinks
        with more readings.
      read: `by_clock` or `by_cuda_events`.
    """
    results: dict[str, dict[str, Timing] | Exception] = {}
    progress = {name: _Contestant(steps, read, budget_seconds) for name, steps in contestants.items()}
    shuffle = np.random.default_rng(0).shuffle
    take_turn = _Contestant.warm_up
    while unfinished := [name for name in contestants if name not in results]:
        shuffle(unfinished)
        for name in unfinished:
            result: dict[str, Timing] | Exception | None
            try:
                take_turn(progress[name])
                result = progress[name].result(relative_target)
            except Exception as error:  # it ends this contestant alone
                result = error
            if result is not None:
                results[name] = result
        take_turn = _Contestant.read_once
    return {name: results[name] for name in contestants}


class _Contestant:
    """The readings of one contestant's steps so far."""

    def __init__(self, steps: Mapping[str, Step], read: Read, budget_seconds: float) -> None:
        self._steps, self._read, self._seconds_left = steps, read, budget_seconds
        self._calls = dict.fromkeys(steps, 1)
        self._readings: dict[str, list[float]] = {name: [] for name in steps}

    def warm_up(self) -> None:
        """Determines the number of calls in a reading; keeps the first calls as readings if they spend the budget."""
        first = {name: self._seconds(name) for name in self._steps}
        if self._seconds_left <= 0:
            self._readings = {name: [seconds] for name, seconds in first.items()}
            return
        for name, seconds in first.items():
            while seconds < LEAST_READING:
                self._calls[name] *= 2
                seconds = self._seconds(name)

    def read_once(self) -> None:
        """Takes one reading of each step."""
        for name, readings in self._readings.items():
            readings.append(self._seconds(name) / self._calls[name])

    def result(self, relative_target: float) -> dict[str, Timing] | None:
        """Returns the timings if they are precise enough or the budget is spent, else None."""
        count = min(map(len, self._readings.values()))
        # Checked only at every tenth reading, because sorting thousands of readings takes as long as a reading.
        check = count >= LEAST_READINGS and count % LEAST_READINGS == 0
        if not count or (self._seconds_left > 0 and not check):
            return None
        timings = {name: summary(readings, relative_target) for name, readings in self._readings.items()}
        return timings if self._seconds_left <= 0 or all(timing.stable for timing in timings.values()) else None

    def _seconds(self, name: str) -> float:
        seconds = self._read(self._steps[name], self._calls[name])
        self._seconds_left -= seconds
        return seconds
