"""Measures cost cells: seconds and memory of a training step.

Cells that differ in the estimator alone form a group and are read in turns, on pinned cores, while no other process of
this machine measures. The metrics:

- `total_seconds`: a step forward and backward.
- `forward_seconds`: its forward part.
- `sample_seconds`: drawing noise and turning it into subsets.
- `backward_seconds`: the median difference between a total and the forward pass read right before it. This definition
  fits both backends, although a compiler may interleave the two parts of a total.
- `first_seconds`: the first total, with tracing and compiling.
- `trace_seconds`, `compile_seconds`: these two parts of the first total. jax reports them separately. For torch.compile
  their sum is `compile_seconds`: the first call minus the median of later ones.
- `peak_bytes`: memory of a total, see `memory`.

The one-time costs of a process (imports, allocators, threads) are in none of them: a small step runs before the first
step of each backend and mode.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from .. import machine
from ..results.cell import Effort, TimingCell
from ..results.outcome import End, Measurement, Outcome, Report, describe, failed
from . import clock, compile_caches, memory
from .clock import Timing
from .prepare import Prepared, SkippedError, by_torch_compile, prepare


def groups(cells: Sequence[TimingCell]) -> list[tuple[TimingCell, ...]]:
    """Returns the cells in groups that differ in the estimator alone; the order of the cells is kept."""
    by_setting: dict[TimingCell, list[TimingCell]] = {}
    for cell in cells:
        by_setting.setdefault(replace(cell, estimator="", params=(), samples=0), []).append(cell)
    return [tuple(group) for group in by_setting.values()]


def measure(cells: Sequence[TimingCell], effort: Effort, report: Report) -> Generator[Outcome, None, None]:
    """Yields the outcome of each cell, group by group.

    Waits at first until no other process of this machine measures. Close the generator to let others measure.

    Args:
      cells: cost cells.
      effort: how precisely to measure each.
      report: prints a notice if there is a wait, and shows the current step.
    """
    if not cells:
        return
    with machine.alone(report.command, report.notice):
        for group in groups(cells):
            programs = compile_caches.fresh_programs() if by_torch_compile(group[0]) else nullcontext()
            with machine.pinned(group[0].threads, group[0].backend), programs:
                yield from _measure_group(group, effort, report)


def _measure_group(group: Sequence[TimingCell], effort: Effort, report: Report) -> Iterator[Outcome]:
    """Yields the outcome of each cell, after the last reading of the group."""
    first = group[0]
    ready: dict[TimingCell, Prepared] = {}
    ended: dict[TimingCell, Outcome] = {}
    for cell in group:
        report.doing(f"{cell.estimator} n={cell.n} k={cell.k}: first call")
        start = time.perf_counter()
        try:
            ready[cell] = prepare(cell)
        except SkippedError as skip:
            seconds = time.perf_counter() - start
            ended[cell] = Outcome(cell, seconds, reason=str(skip), status="skipped", end=skip.end)
        except Exception as error:  # an estimator may raise anything: its reason is stored with the cell
            ended[cell] = failed(cell, time.perf_counter() - start, error)
    report.doing(f"n={first.n} k={first.k}: reading {len(ready)} estimators in turns")
    start = time.perf_counter()
    results = clock.measure(
        {cell.key: prepared.contestant for cell, prepared in ready.items()},
        budget_seconds=effort.budget_seconds,
        relative_target=effort.relative_target,
        read=clock.by_cuda_events if (first.backend, first.device) == ("torch", "cuda") else clock.by_clock,
    )
    share = (time.perf_counter() - start) / max(1, len(ready))
    for cell in group:
        if cell in ended:
            yield ended[cell]
            continue
        seconds = ready[cell].seconds + share
        result = results[cell.key]
        if isinstance(result, Exception):
            yield failed(cell, seconds, result)
        else:
            yield _outcome(cell, seconds, ready[cell], result, effort, report)


def _outcome(
    cell: TimingCell,
    seconds: float,
    prepared: Prepared,
    timings: Mapping[str, Timing],
    effort: Effort,
    report: Report,
) -> Outcome:
    """Returns the metrics of a cell, remarks on them, and their precision."""
    backward = clock.difference(timings["total"], timings["forward"], effort.relative_target)
    repeated = {f"{name}_seconds": timing for name, timing in (*timings.items(), ("backward", backward))}
    measurements = [
        Measurement("", name, t.median, t.std_error, False, len(t.readings)) for name, t in repeated.items()
    ]
    read_once = dict(prepared.read_once)
    remarks = [_remark(timings, effort)]
    if cell.backend == "torch":
        report.doing(f"{cell.estimator} n={cell.n} k={cell.k}: memory")
        try:
            read_once["peak_bytes"] = memory.peak_bytes(prepared.contestant["total"], cell.device)
        except Exception as error:  # the seconds are valid without it
            remarks.append(f"no peak_bytes: {describe(error)}")
        if cell.mode == "compiled":
            read_once["compile_seconds"] = max(0.0, read_once["first_seconds"] - timings["total"].median)
    measurements += [Measurement("", name, float(value), None, False, 1) for name, value in read_once.items()]
    reason = "; ".join(filter(None, remarks))
    half_width = _half_width(timings, effort)
    if _all_stable(timings):
        return Outcome(cell, seconds, measurements, reason, end=End.PRECISE, half_width=half_width)
    budget = effort.budget_seconds
    return Outcome(cell, seconds, measurements, reason, end=End.BUDGET, budget_seconds=budget, half_width=half_width)


def _all_stable(timings: Mapping[str, Timing]) -> bool:
    return all(timing.stable for timing in timings.values())


def _half_width(timings: Mapping[str, Timing], effort: Effort) -> float | None:
    """Returns the widest relative half width; None if a step has too few readings for it to be reliable."""
    if any(len(timing.readings) < clock.LEAST_READINGS for timing in timings.values()):
        return None
    widest = max(timing.half_width for timing in timings.values())
    # Rounding may put an interval that is as narrow as asked a little above the target.
    return min(effort.relative_target, widest) if _all_stable(timings) else widest


def _remark(timings: Mapping[str, Timing], effort: Effort) -> str:
    """Returns the precision of the medians if the budget ended the measurement; else an empty text."""
    if _all_stable(timings):
        return ""
    count = len(timings["total"].readings)
    precision = "too few for an interval"
    if all(timing.std_error is not None for timing in timings.values()):
        precision = f"the medians are known to ±{max(timing.half_width for timing in timings.values()):.0%}"
    return f"budget of {effort.budget_seconds:g} s spent at {count} reading{'s' * (count > 1)}: {precision}"
