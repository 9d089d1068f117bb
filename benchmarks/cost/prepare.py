"""Builds a cost cell's steps and runs the first calls, before the clock runs; decides which cells to skip.

A step is not called if it is known to need more memory than `MEMORY_LIMIT`. jax reports the memory of a compiled
program; for torch it is forecast from small sizes; for jax in eager mode it is not known.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

import numpy as np

import subsetgrad
from subsetgrad.ops import Ops

from .. import backends
from ..results.cell import TimingCell
from ..results.outcome import End
from . import compile_caches, memory
from .clock import Step
from .steps import NAMES, Steps, steps

MEMORY_LIMIT = 2 * 2**30  # bytes of one step
# A torch step is assumed to hold at most this many array elements for each batch · samples · n · k; the largest number
# seen is 150, of rebar_pl. Memory is forecast only for cells whose bytes by this bound exceed `MEMORY_LIMIT`.
_NUMBERS_PER_CHOICE = 256


@dataclass(frozen=True)
class Prepared:
    """A cell that is ready to be timed.

    Attributes:
      contestant: step's name -> step, for the steps that the clock reads.
      read_once: metric -> value, for the metrics that are measured only once, during the preparation.
      seconds: time that the preparation took.
    """

    contestant: Mapping[str, Step]
    read_once: Mapping[str, float]
    seconds: float


class SkippedError(Exception):
    """A cell is not measured, although its estimator did not fail.

    Args:
      reason: why.
      end: `End.FINAL` if a larger budget would not help; None if the cell may work next time.
    """

    def __init__(self, reason: str, end: End | None) -> None:
        super().__init__(reason)
        self.end = end


def prepare(cell: TimingCell) -> Prepared:
    """Returns the cell's steps, built, and compiled if its mode compiles.

    Raises:
      SkippedError: too much memory, or no compiler.
      Exception: any that the estimator raises.
    """
    with _quiet_torch_compile():
        if not by_torch_compile(cell):
            return _build_and_call(cell)
        if cell.device == "cpu" and not compile_caches.has_compiler():
            reason = "torch.compile needs a C++ compiler on the CPU, and finds none: install g++, or set CXX"
            raise SkippedError(reason, end=None)
        with compile_caches.empty_caches():
            return _build_and_call(cell)


def by_torch_compile(cell: TimingCell) -> bool:
    """Returns whether torch.compile compiles the cell's steps."""
    return (cell.backend, cell.mode) == ("torch", "compiled")


def _build_and_call(cell: TimingCell) -> Prepared:
    _warm_up(cell.backend, cell.device, cell.mode)
    preparation_start = time.perf_counter()
    _check_memory(cell)
    built = _steps(cell)
    read_once: dict[str, float] = {}
    start = time.perf_counter()
    if built.build is not None:
        total = built.build("total")
        read_once["peak_bytes"] = memory.program_bytes(total.executable)
        if read_once["peak_bytes"] > MEMORY_LIMIT:
            raise SkippedError(_too_much(read_once["peak_bytes"], "as XLA plans it"), end=End.FINAL)
        read_once |= {"trace_seconds": total.trace_seconds, "compile_seconds": total.compile_seconds}
    built.total()
    _ops(cell).block(())
    read_once["first_seconds"] = time.perf_counter() - start
    contestant = _contestant(cell, built)
    if cell.mode == "compiled":  # a first call compiles, and must not spend the clock's budget
        for step in contestant.values():
            step()
    return Prepared(contestant, read_once, time.perf_counter() - preparation_start)


@cache
def _warm_up(backend: str, device: str, mode: str) -> None:
    """Runs one small step, because the first step of a process also imports modules and starts threads.

    That time must not count in the first cell's measurements.
    """
    # torch.compile takes twice as long for `simple` as for `ste_gumbel`.
    name = "ste_gumbel" if (backend, mode) == ("torch", "compiled") else "simple"
    with suppress(Exception):  # an error recurs in the cells, which report it
        ops = backends.load(backend, device, "float32")
        ops.block(steps(subsetgrad.get(name), {}, ops, n=4, k=2, batch=1, mode=mode).total())


@contextmanager
def _quiet_torch_compile() -> Iterator[None]:
    """Hides torch.compile's messages on graph breaks and caches, which would interrupt the progress bar."""
    logger = logging.getLogger("torch._dynamo")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"torch\._dynamo|torch\._inductor")
            # torch.compile reads `.grad` of tensors where a graph breaks. This warning may come from any traced module.
            warnings.filterwarnings("ignore", message=r"The \.grad attribute of a Tensor that is not a leaf")
            yield
    finally:
        logger.setLevel(before)


def _contestant(cell: TimingCell, built: Steps) -> dict[str, Step]:
    """Returns the steps that the clock reads; not `sample` if the estimator draws nothing."""
    draws = subsetgrad.get(cell.estimator).draws_for(cell.k, dict(cell.params))
    return {name: getattr(built, name) for name in NAMES if draws or name != "sample"}


def _ops(cell: TimingCell) -> Ops:
    return backends.load(cell.backend, cell.device, cell.dtype)


def _steps(cell: TimingCell) -> Steps:
    ops = _ops(cell)
    if (cell.backend, cell.device) == ("torch", "cuda"):
        ops = replace(ops, block=lambda arrays: arrays)  # CUDA events need no wait
    sizes: dict[str, Any] = {"n": cell.n, "k": cell.k, "batch": cell.batch, "samples": cell.samples, "seed": cell.seed}
    return steps(subsetgrad.get(cell.estimator), dict(cell.params), ops, **sizes, mode=cell.mode)


def _check_memory(cell: TimingCell) -> None:
    """Raises SkippedError if a torch step is expected to need more memory than `MEMORY_LIMIT`."""
    size = np.dtype(cell.dtype).itemsize
    bound = cell.n * cell.k * cell.batch * cell.samples * size * _NUMBERS_PER_CHOICE
    if cell.backend == "torch" and bound > MEMORY_LIMIT:
        small = replace(cell, batch=1, mode="eager")
        bytes_per_row = memory.extrapolated(lambda n, k: _small_size_bytes(replace(small, n=n, k=k)), cell.n, cell.k)
        if cell.batch * bytes_per_row > MEMORY_LIMIT:
            raise SkippedError(_too_much(cell.batch * bytes_per_row, "expected from small sizes"), end=End.FINAL)


@lru_cache(maxsize=1024)  # the forecasts of all large sizes use the same small ones
def _small_size_bytes(cell: TimingCell) -> int:
    step = _steps(cell).total
    step()
    return memory.peak_bytes(step, cell.device)


def _too_much(expected: float, how: str) -> str:
    return f"a step would hold {expected / 2**30:.1f} GiB ({how}), over the budget of {MEMORY_LIMIT / 2**30:.0f} GiB"
