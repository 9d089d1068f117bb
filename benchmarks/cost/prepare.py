"""From a cell of time to its steps, called once: what is known before the clock runs, or why a cell is left out.

A step that is expected to hold more memory than there is room for is not called: jax says it of a program that it has
compiled, for torch it is forecast from small sizes.
"""

from __future__ import annotations

import logging
import math
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
from . import compile_caches, memory
from .clock import Step
from .steps import NAMES, Steps, steps

MEMORY_LIMIT = 2 * 2**30  # bytes of one step; what is expected to hold more is skipped
_NUMBERS_PER_CHOICE = 256  # numbers a step may hold per n·k before its memory is forecast (rebar_pl: 150)


@dataclass(frozen=True)
class Prepared:
    """A cell that is ready to be timed.

    Attributes:
      contestant: the steps that are read, by name.
      known: the metrics that are read once.
      seconds: that all this took.
    """

    contestant: Mapping[str, Step]
    known: Mapping[str, float]
    seconds: float


class SkippedError(Exception):
    """A cell is not measured, for a reason that is no failure of the estimator; `spent` as in `store.Done`."""

    def __init__(self, reason: str, spent: float) -> None:
        super().__init__(reason)
        self.spent = spent


def prepare(cell: TimingCell) -> Prepared:
    """Returns the cell's steps, built and called once.

    Raises:
      SkippedError: too much memory, or no compiler.
      Exception: whatever the estimator raises.
    """
    with _hushed():
        if not by_torch_compile(cell):
            return _called_once(cell)
        if cell.device == "cpu" and not compile_caches.has_compiler():
            lack = "torch.compile needs a C++ compiler on the CPU, and finds none: install g++, or set CXX"
            raise SkippedError(lack, spent=0.0)
        with compile_caches.empty_caches():
            return _called_once(cell)


def by_torch_compile(cell: TimingCell) -> bool:
    """Returns whether torch.compile compiles the cell's steps."""
    return (cell.backend, cell.mode) == ("torch", "compiled")


def _called_once(cell: TimingCell) -> Prepared:
    _warm_up(cell.backend, cell.device, cell.mode)
    begun = time.perf_counter()
    _check_memory(cell)
    built = _steps(cell)
    known: dict[str, float] = {}
    start = time.perf_counter()
    if built.build is not None:
        total = built.build("total")
        known["peak_bytes"] = memory.program_bytes(total.executable)
        if known["peak_bytes"] > MEMORY_LIMIT:
            raise SkippedError(_too_much(known["peak_bytes"], "as XLA plans it"), spent=math.inf)
        known |= {"trace_seconds": total.trace_seconds, "compile_seconds": total.compile_seconds}
    built.total()
    _ops(cell).block(())
    known["first_seconds"] = time.perf_counter() - start
    contestant = _contestant(cell, built)
    if cell.mode == "compiled":  # an eager step needs no more than the clock's own warm-up
        for step in contestant.values():
            step()
    return Prepared(contestant, known, time.perf_counter() - begun)


@cache
def _warm_up(backend: str, device: str, mode: str) -> None:
    """Does one small step, which counts nowhere: a process's first one takes 0.4 s longer, compiled by torch 6 s."""
    # torch compiles `simple` for half a minute, where the other one imports all that it needs in half of that.
    name = "ste_gumbel" if (backend, mode) == ("torch", "compiled") else "simple"
    with suppress(Exception):  # what a backend lacks, its cells say
        ops = backends.load(backend, device, "float32")
        ops.block(steps(subsetgrad.get(name), {}, ops, n=4, k=2, batch=1, mode=mode).total())


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


def _contestant(cell: TimingCell, built: Steps) -> dict[str, Step]:
    """Returns the steps to read; an estimator that draws nothing has no time of drawing."""
    draws = subsetgrad.get(cell.estimator).draws_for(cell.k, dict(cell.params))
    return {name: getattr(built, name) for name in NAMES if draws or name != "sample"}


def _ops(cell: TimingCell) -> Ops:
    return backends.load(cell.backend, cell.device, cell.dtype)


def _steps(cell: TimingCell) -> Steps:
    ops = _ops(cell)
    if (cell.backend, cell.device) == ("torch", "cuda"):
        ops = replace(ops, block=lambda arrays: arrays)  # events are read at the end of many calls
    sizes: dict[str, Any] = {"n": cell.n, "k": cell.k, "batch": cell.batch, "samples": cell.samples, "seed": cell.seed}
    return steps(subsetgrad.get(cell.estimator), dict(cell.params), ops, **sizes, mode=cell.mode)


def _check_memory(cell: TimingCell) -> None:
    """Raises SkippedError if a torch step is expected to hold too much: jax says it before it runs."""
    size = np.dtype(cell.dtype).itemsize
    most = cell.n * cell.k * cell.batch * cell.samples * size * _NUMBERS_PER_CHOICE
    if cell.backend == "torch" and most > MEMORY_LIMIT:
        small = replace(cell, batch=1, mode="eager")
        row = memory.extrapolated(lambda n, k: _pilot(replace(small, n=n, k=k)), cell.n, cell.k)
        if cell.batch * row > MEMORY_LIMIT:
            raise SkippedError(_too_much(cell.batch * row, "expected from small sizes"), spent=math.inf)


@lru_cache(maxsize=1024)  # every large size asks for the same small ones
def _pilot(cell: TimingCell) -> int:
    step = _steps(cell).total
    step()
    return memory.peak_bytes(step, cell.device)


def _too_much(expected: float, how: str) -> str:
    return f"a step would hold {expected / 2**30:.1f} GiB ({how}), over the budget of {MEMORY_LIMIT / 2**30:.0f} GiB"
