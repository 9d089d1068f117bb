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

import logging
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

import estimators
from estimators.ops import Ops

from . import backends, clock, compiling, machine, memory
from .cell import Effort, TimingCell
from .clock import Timing
from .engine import Outcome
from .steps import NAMES, Steps, steps
from .store import Measurement, Store

MEMORY_LIMIT = 2 * 2**30  # bytes of one step; what is expected to hold more is skipped
_NUMBERS_PER_CHOICE = 256  # numbers a step may hold per n·k before its memory is forecast (rebar_pl: 150)


@dataclass(frozen=True)
class _Work:
    """One cell on its way.

    Attributes:
      steps: what it runs.
      contestant: those that are read, by name.
      known: the metrics that are read once.
      seconds: that all this took.
      remark: what is to be said of it, or nothing.
    """

    steps: Steps
    contestant: Mapping[str, clock.Step]
    known: Mapping[str, float]
    seconds: float
    remark: str


class _SkippedError(Exception):
    """A cell is not measured, for a reason that is no failure of the estimator; `spent` as in `store.Done`."""

    def __init__(self, reason: str, spent: float) -> None:
        super().__init__(reason)
        self.spent = spent


def groups(cells: Sequence[TimingCell]) -> list[tuple[TimingCell, ...]]:
    """Returns the cells in groups that differ in the estimator alone, in their order: what is measured in turns."""
    found: dict[TimingCell, list[TimingCell]] = {}
    for cell in cells:
        found.setdefault(replace(cell, estimator="", params=(), samples=0), []).append(cell)
    return [tuple(group) for group in found.values()]


def run(
    cells: Sequence[TimingCell],
    store: Store,
    effort: Effort,
    *,
    laws: Mapping[str, str],
    fingerprints: Mapping[str, str],
    run: str,
    command: str,
    report: Callable[[Outcome], None],
    notice: Callable[[str], None],
    doing: Callable[[str], None] = lambda _: None,
) -> int:
    """Measures and stores the cells group by group, each group as soon as it is done; waits for others that are timing.

    Args:
      cells, store, effort: what to measure, where results go, how well.
      laws, fingerprints, run: as in `engine.run`.
      command: what others that want to measure are told that they wait for.
      report: called after each cell.
      notice: called with a message if there is a wait.
      doing: called with what is being done.

    Returns:
      How many cells failed.
    """
    failures = 0
    if not cells:
        return 0
    with machine.alone(command, notice):
        for group in groups(cells):
            fresh = compiling.fresh_programs() if _by_torch_compile(group[0]) else nullcontext()
            with machine.pinned(group[0].threads, group[0].backend), fresh:
                for cell, measurements, outcome in _measure_group(group, effort, doing):
                    store.save(
                        cell,
                        measurements,
                        law=laws[cell.estimator],
                        fingerprint=fingerprints[cell.estimator],
                        run=run,
                        seconds=outcome.seconds,
                        reason=outcome.reason,
                        status=outcome.status,
                        spent=outcome.spent,
                        half_width=outcome.half_width,
                    )
                    failures += outcome.status == "failed"
                    report(outcome)
    return failures


def _measure_group(
    group: Sequence[TimingCell], effort: Effort, doing: Callable[[str], None]
) -> Iterator[tuple[TimingCell, list[Measurement], Outcome]]:
    """Yields each cell with its measurements and outcome, once all are done."""
    first = group[0]
    works: dict[TimingCell, _Work] = {}
    ended: dict[TimingCell, Exception] = {}
    for cell in group:
        doing(f"{cell.estimator} n={cell.n} k={cell.k}: first call")
        try:
            with _hushed():
                works[cell] = _prepared(cell)
        except Exception as error:  # an estimator may raise anything; its cell says so
            ended[cell] = error
    doing(f"n={first.n} k={first.k}: {len(works)} in turns")
    start = time.perf_counter()
    timed = clock.measure(
        {cell.key: work.contestant for cell, work in works.items()},
        budget_seconds=effort.budget_seconds,
        relative_target=effort.relative_target,
        read=clock.by_cuda_events if (first.backend, first.device) == ("torch", "cuda") else clock.by_clock,
    )
    share = (time.perf_counter() - start) / max(1, len(works))
    for cell in group:
        measurements: list[Measurement] = []
        seconds = works[cell].seconds + share if cell in works else 0.0
        try:
            found = ended.get(cell) or timed[cell.key]
            measurements, reason, quality = _result(cell, works.get(cell), found, effort, doing)
            outcome = Outcome(cell, seconds, reason, "ok", *quality)
        except _SkippedError as why:
            outcome = Outcome(cell, seconds, str(why), "skipped", why.spent)
        except Exception as error:  # as above
            outcome = Outcome(cell, seconds, f"{type(error).__name__}: {error}", "failed")
        yield cell, measurements, outcome


def _prepared(cell: TimingCell) -> _Work:
    """Returns the cell's steps, built and called once.

    Raises:
      _SkippedError: too much memory, or no compiler.
      Exception: whatever the estimator raises.
    """
    if not _by_torch_compile(cell):
        return _called_once(cell)
    if not _compiler():
        lack = "torch.compile needs a C++ compiler on the CPU, and finds none: install g++, or set CXX"
        raise _SkippedError(lack, spent=0.0)
    with compiling.empty_caches():
        work = _called_once(cell)
    if not compiling.refused():
        return work
    return replace(work, remark="torch.compile reached its limit of programs: parts of this may have run eagerly")


def _by_torch_compile(cell: TimingCell) -> bool:
    return (cell.backend, cell.mode) == ("torch", "compiled")


def _called_once(cell: TimingCell) -> _Work:
    _warm_up(cell.backend, cell.device, cell.mode)
    begun = time.perf_counter()
    _check_memory(cell)
    built = _steps(cell, cell.n, cell.k, cell.batch)
    known: dict[str, float] = {}
    start = time.perf_counter()
    if built.build is not None:
        total = built.build("total")
        known["peak_bytes"] = memory.program_bytes(total.executable)
        if known["peak_bytes"] > MEMORY_LIMIT:
            raise _SkippedError(_too_much(known["peak_bytes"], "as XLA plans it"), spent=math.inf)
        known |= {"trace_seconds": total.trace_seconds, "compile_seconds": total.compile_seconds}
    built.total()
    _ops(cell).block(())
    known["first_seconds"] = time.perf_counter() - start
    contestant = _contestant(cell, built)
    if cell.mode == "compiled":  # an eager step needs no more than the clock's own warm-up
        for step in contestant.values():
            step()
    return _Work(built, contestant, known, time.perf_counter() - begun, "")


@cache
def _warm_up(backend: str, device: str, mode: str) -> None:
    """Does one small step, which counts nowhere: a process's first one takes 0.4 s longer, compiled by torch 6 s."""
    # torch compiles `simple` for half a minute, where the other one imports all that it needs in half of that.
    name = "ste_gumbel" if (backend, mode) == ("torch", "compiled") else "simple"
    with suppress(Exception):  # what a backend lacks, its cells say
        ops = backends.load(backend, device, "float32")
        ops.block(steps(estimators.get(name), {}, ops, n=4, k=2, batch=1, mode=mode).total())


@contextmanager
def _hushed() -> Iterator[None]:
    """Keeps what torch.compile says of graph breaks and caches off the progress bar: here they are but a cost."""
    logger = logging.getLogger("torch._dynamo")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"torch\._dynamo|torch\._inductor")
            # Tracing looks at it where a graph breaks; the module that warns is torch's own or that of the traced code.
            warnings.filterwarnings("ignore", message=r"The \.grad attribute of a Tensor that is not a leaf")
            yield
    finally:
        logger.setLevel(before)


def _contestant(cell: TimingCell, built: Steps) -> dict[str, clock.Step]:
    """Returns the steps to read; an estimator that draws nothing has no time of drawing."""
    draws = estimators.get(cell.estimator).draws_for(cell.k, dict(cell.params))
    return {name: getattr(built, name) for name in NAMES if draws or name != "sample"}


def _ops(cell: TimingCell) -> Ops:
    return backends.load(cell.backend, cell.device, cell.dtype)


def _steps(cell: TimingCell, n: int, k: int, batch: int) -> Steps:
    ops = _ops(cell)
    if (cell.backend, cell.device) == ("torch", "cuda"):
        ops = replace(ops, block=lambda arrays: arrays)  # events are read at the end of many calls
    sizes: dict[str, Any] = {"n": n, "k": k, "batch": batch, "samples": cell.samples, "seed": cell.seed}
    return steps(estimators.get(cell.estimator), dict(cell.params), ops, **sizes, mode=cell.mode)


def _check_memory(cell: TimingCell) -> None:
    """Raises _SkippedError if a torch step is expected to hold too much: jax says it before it runs."""
    size = np.dtype(cell.dtype).itemsize
    most = cell.n * cell.k * cell.batch * cell.samples * size * _NUMBERS_PER_CHOICE
    if cell.backend == "torch" and most > MEMORY_LIMIT:
        expected = cell.batch * memory.extrapolated(lambda n, k: _pilot(_pilot_cell(cell), n, k), cell.n, cell.k)
        if expected > MEMORY_LIMIT:
            raise _SkippedError(_too_much(expected, "expected from small sizes"), spent=math.inf)


def _pilot_cell(cell: TimingCell) -> TimingCell:
    return replace(cell, n=0, k=0, batch=1, mode="eager")


@lru_cache(maxsize=1024)
def _pilot(cell: TimingCell, n: int, k: int) -> int:
    step = _steps(cell, n, k, 1).total
    step()
    return memory.peak_bytes(step, cell.device)


def _too_much(expected: float, how: str) -> str:
    return f"a step would hold {expected / 2**30:.1f} GiB ({how}), over the budget of {MEMORY_LIMIT / 2**30:.0f} GiB"


def _compiler() -> bool:
    return any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++"))


def _result(
    cell: TimingCell,
    work: _Work | None,
    timed: Mapping[str, Timing] | Exception,
    effort: Effort,
    doing: Callable[[str], None],
) -> tuple[list[Measurement], str, tuple[float, float | None]]:
    """Returns the rows, what is to be said of them, and how good they are; raises what ended the cell, if anything."""
    if work is None or isinstance(timed, Exception):
        raise timed if isinstance(timed, Exception) else RuntimeError("not measured")
    backward = clock.difference(timed["total"], timed["forward"], effort.relative_target)
    read = {f"{name}_seconds": timing for name, timing in (*timed.items(), ("backward", backward))}
    rows = [Measurement("", name, t.median, t.std_error, False, len(t.readings)) for name, t in read.items()]
    known = dict(work.known)
    remarks = [_remark(timed, effort), work.remark]
    if cell.backend == "torch":
        doing(f"{cell.estimator} n={cell.n} k={cell.k}: memory")
        try:
            known["peak_bytes"] = memory.peak_bytes(work.steps.total, cell.device)
        except Exception as error:  # the seconds are known all the same
            remarks.append(f"no peak_bytes: {type(error).__name__}: {error}")
        if cell.mode == "compiled":
            known["compile_seconds"] = max(0.0, known["first_seconds"] - timed["total"].median)
    rows += [Measurement("", name, float(value), None, False, 1) for name, value in known.items()]
    return rows, "; ".join(filter(None, remarks)), _quality(list(timed.values()), effort)


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
