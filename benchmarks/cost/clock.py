"""The clock: how long calls take, in turns against drift, until the median is known well enough.

A reading is the mean of a batch of calls that lasts at least a millisecond. Contestants take turns, in an order that is
shuffled every round, so that a machine that slows down slows all of them. An interval of the median comes from order
statistics: it assumes no distribution, only that readings are exchangeable.
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

LEAST_READING = 1e-3  # seconds: 2,000 times the resolution of CUDA's events, 0.5 µs; the clock's is finer
LEAST_READINGS = 10  # before the interval may end a measurement: early ones are narrow by luck
_PERCENT = 95  # of the interval
_SIGMAS = statistics.NormalDist().inv_cdf((100 + _PERCENT) / 200)


@dataclass(frozen=True)
class Timing:
    """Seconds of one call.

    Attributes:
      readings: seconds a call, one a round.
      median: of the readings.
      low, high: a 95 % interval of the median, from order statistics; all that was seen below 6 readings.
      std_error: half of that interval as standard errors, for rows that hold but one number; None below 6 readings.
      stable: whether the interval is as narrow as was asked for; if not, the budget was spent first.
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
    """Returns the median of at least one reading, with its interval."""
    ordered = sorted(readings)
    rank = interval_rank(len(ordered))
    low, high = ordered[max(rank - 1, 0)], ordered[-max(rank, 1)]
    median = statistics.median(ordered)
    error = (high - low) / 2 / _SIGMAS if rank else None
    stable = len(ordered) >= LEAST_READINGS and (high - low) / 2 <= relative_target * abs(median)
    return Timing(tuple(readings), median, low, high, error, stable)


@lru_cache(maxsize=1024)
def interval_rank(count: int) -> int:
    """Returns r such that the r-th smallest and the r-th largest of `count` enclose the median at 95 %; 0 if none do.

    The number of readings below the median is binomial(count, 1/2), whatever their distribution. Outcomes are counted
    in whole numbers: beyond some thousand readings no float holds them.
    """
    most = 2**count * (100 - _PERCENT) // 200  # outcomes that a tail may hold
    rank, outcomes = 0, 1  # of `count` tosses, those with `rank` heads
    below = outcomes
    while below <= most:
        rank += 1
        outcomes = outcomes * (count - rank + 1) // rank
        below += outcomes
    return rank


def difference(long: Timing, short: Timing, relative_target: float) -> Timing:
    """Returns `long` less `short`, reading by reading: those of one round follow each other, so that drift cancels.

    Raises:
      ValueError: they have different numbers of readings.
    """
    return summary([a - b for a, b in zip(long.readings, short.readings, strict=True)], relative_target)


def by_clock(step: Step, calls: int) -> float:
    """Returns the seconds of some calls by the wall clock; a step that works asynchronously must wait for its end."""
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
    """Returns the seconds of some torch calls on the GPU, which need not wait: one event before, one behind them."""
    import torch

    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def batch() -> None:
        start.record()
        for _ in range(calls):
            step()
        end.record()
        torch.cuda.synchronize()

    torch.cuda.synchronize()
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
      contestants: name -> name of a step -> the step. In a round a contestant's steps are read one after another.
      budget_seconds: for each contestant, warm-up included. One that spends it in its first calls has one reading.
      relative_target: half of the median's interval over the median, at which a contestant is done. That the interval
        decides when to stop makes it a little too narrow, the less so the more readings there are.
      read: `by_clock` or `by_cuda_events`.
    """
    results: dict[str, dict[str, Timing] | Exception] = {}
    turns = {name: _Turn(steps, read, budget_seconds) for name, steps in contestants.items()}
    shuffle = np.random.default_rng(0).shuffle
    act = _Turn.warm_up
    while waiting := [name for name in contestants if name not in results]:
        shuffle(waiting)
        for name in waiting:
            found: dict[str, Timing] | Exception | None
            try:
                act(turns[name])
                found = turns[name].result(relative_target)
            except Exception as error:  # whatever goes wrong with one is its own result, and the others go on
                found = error
            if found is not None:
                results[name] = found
        act = _Turn.go
    return {name: results[name] for name in contestants}


class _Turn:
    """One contestant's readings so far."""

    def __init__(self, steps: Mapping[str, Step], read: Read, budget_seconds: float) -> None:
        self._steps, self._read, self._left = steps, read, budget_seconds
        self._calls = dict.fromkeys(steps, 1)
        self._readings: dict[str, list[float]] = {name: [] for name in steps}

    def warm_up(self) -> None:
        """Finds how many calls a reading takes; keeps first calls as readings if there is no time for others."""
        first = {name: self._seconds(name) for name in self._steps}
        if self._left <= 0:
            self._readings = {name: [seconds] for name, seconds in first.items()}
            return
        for name, seconds in first.items():
            while seconds < LEAST_READING:
                self._calls[name] *= 2
                seconds = self._seconds(name)

    def go(self) -> None:
        """Takes one reading of each step."""
        for name, readings in self._readings.items():
            readings.append(self._seconds(name) / self._calls[name])

    def result(self, relative_target: float) -> dict[str, Timing] | None:
        """Returns the timings, once they are good enough or the budget is spent."""
        count = min(map(len, self._readings.values()))
        # Sorting at every reading would cost more than a reading.
        look = count >= LEAST_READINGS and count % LEAST_READINGS == 0
        if not count or (self._left > 0 and not look):
            return None
        timings = {name: summary(readings, relative_target) for name, readings in self._readings.items()}
        return timings if self._left <= 0 or all(timing.stable for timing in timings.values()) else None

    def _seconds(self, name: str) -> float:
        seconds = self._read(self._steps[name], self._calls[name])
        self._left -= seconds
        return seconds
