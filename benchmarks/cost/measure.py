"""Cells of time to their rows: estimators of one size are read in turns, alone on the machine, on pinned cores.

`total_seconds` is a step forward and backward, `forward_seconds` the forward part, `sample_seconds` drawing noise and
making subsets of it; see `steps`. `backward_seconds` is what a total takes longer than a forward pass, the median of
the differences of readings that follow each other: one definition for both backends, though a compiler may do the two
parts of a total in any order. `first_seconds` is the first total, tracing and compiling included; `trace_seconds` and
`compile_seconds` are these parts of it where they are known (apart for jax; together for torch.compile, as what the
first call takes longer than the median). What a process pays but once (imports, allocators, threads) is in none of
them: a small step goes before the first of its backend and mode. `peak_bytes` is of a total, see `memory`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace

from .. import machine
from ..results.cell import Effort, TimingCell
from ..results.outcome import Outcome, failure
from ..results.store import Measurement
from . import clock, compile_caches, memory
from .clock import Timing
from .prepare import (
    Prepared,
    SkippedError,
    by_torch_compile,
    prepare,
)


def groups(cells: Sequence[TimingCell]) -> list[tuple[TimingCell, ...]]:
    """Returns the cells in groups that differ in the estimator alone, in their order: what is measured in turns."""
    found: dict[TimingCell, list[TimingCell]] = {}
    for cell in cells:
        found.setdefault(replace(cell, estimator="", params=(), samples=0), []).append(cell)
    return [tuple(group) for group in found.values()]


def outcomes(
    cells: Sequence[TimingCell],
    effort: Effort,
    *,
    command: str,
    notice: Callable[[str], None],
    doing: Callable[[str], None] = lambda _: None,
) -> Generator[Outcome, None, None]:
    """Yields what came of each cell, group by group as each is done; waits for others that are timing.

    Args:
      cells, effort: what to measure, how well.
      command: what others that want to measure are told that they wait for.
      notice: called with a message if there is a wait.
      doing: called with what is being done.
    """
    if not cells:
        return
    with machine.alone(command, notice):
        for group in groups(cells):
            fresh = compile_caches.fresh_programs() if by_torch_compile(group[0]) else nullcontext()
            with machine.pinned(group[0].threads, group[0].backend), fresh:
                yield from _of_group(group, effort, doing)


def _of_group(group: Sequence[TimingCell], effort: Effort, doing: Callable[[str], None]) -> Iterator[Outcome]:
    """Yields what came of each cell, once all are read."""
    first = group[0]
    ready: dict[TimingCell, Prepared] = {}
    ended: dict[TimingCell, Outcome] = {}
    for cell in group:
        doing(f"{cell.estimator} n={cell.n} k={cell.k}: first call")
        begun = time.perf_counter()
        try:
            ready[cell] = prepare(cell)
        except SkippedError as why:
            ended[cell] = Outcome(cell, time.perf_counter() - begun, reason=str(why), status="skipped", spent=why.spent)
        except Exception as error:  # an estimator may raise anything; its cell says so
            ended[cell] = Outcome(cell, time.perf_counter() - begun, reason=failure(error), status="failed")
    doing(f"n={first.n} k={first.k}: {len(ready)} in turns")
    start = time.perf_counter()
    timed = clock.measure(
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
        found = timed[cell.key]
        if isinstance(found, Exception):
            yield Outcome(cell, seconds, reason=failure(found), status="failed")
        else:
            yield _outcome(cell, seconds, ready[cell], found, effort, doing)


def _outcome(
    cell: TimingCell,
    seconds: float,
    prepared: Prepared,
    timed: Mapping[str, Timing],
    effort: Effort,
    doing: Callable[[str], None],
) -> Outcome:
    """Returns the rows, what is to be said of them, and how good they are."""
    backward = clock.difference(timed["total"], timed["forward"], effort.relative_target)
    read = {f"{name}_seconds": timing for name, timing in (*timed.items(), ("backward", backward))}
    rows = [Measurement("", name, t.median, t.std_error, False, len(t.readings)) for name, t in read.items()]
    known = dict(prepared.known)
    remarks = [_remark(timed, effort)]
    if cell.backend == "torch":
        doing(f"{cell.estimator} n={cell.n} k={cell.k}: memory")
        try:
            known["peak_bytes"] = memory.peak_bytes(prepared.contestant["total"], cell.device)
        except Exception as error:  # the seconds are known all the same
            remarks.append(f"no peak_bytes: {failure(error)}")
        if cell.mode == "compiled":
            known["compile_seconds"] = max(0.0, known["first_seconds"] - timed["total"].median)
    rows += [Measurement("", name, float(value), None, False, 1) for name, value in known.items()]
    spent, half_width = _quality(list(timed.values()), effort)
    reason = "; ".join(filter(None, remarks))
    return Outcome(cell, seconds, rows, reason, spent=spent, half_width=half_width)


def _quality(timings: Sequence[Timing], effort: Effort) -> tuple[float, float | None]:
    """Returns `spent` and `half_width`; see `store.Done`."""
    if all(timing.stable for timing in timings):
        return 0.0, min(effort.relative_target, max(timing.half_width for timing in timings))
    few = any(len(timing.readings) < clock.LEAST_READINGS for timing in timings)
    return effort.budget_seconds, None if few else max(timing.half_width for timing in timings)


def _remark(timed: Mapping[str, Timing], effort: Effort) -> str:
    """Returns how well the medians are known, where the budget was spent before that was as well as was asked for."""
    if all(timing.stable for timing in timed.values()):
        return ""
    count = len(timed["total"].readings)
    known = "too few for an interval"
    if all(timing.std_error is not None for timing in timed.values()):
        known = f"the medians are known to ±{max(timing.half_width for timing in timed.values()):.0%}"
    return f"budget of {effort.budget_seconds:g} s spent at {count} reading{'s' * (count > 1)}: {known}"
