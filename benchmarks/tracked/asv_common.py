"""Builds the calls that are timed at every commit, one for each case in `cases`; for asv and pytest-benchmark.

asv runs the benchmarks of the working tree against the installed `subsetgrad` of an older commit. A case is skipped if
it needs a name that this version lacks. Any other error makes the case fail.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import machine
from ..cost import memory
from .cases import Case

if TYPE_CHECKING:
    from ..cost.steps import Steps

Step = Callable[[], Any]

_NO_PACKAGE = "the installed wheel has no package subsetgrad: older commits called it estimators"


class LackingError(NotImplementedError):  # asv skips a case whose `setup` raises NotImplementedError
    """The installed version of subsetgrad lacks something that a case needs."""


@cache  # asv calls `setup` again before each repetition
def estimator_step(case: Case, step_name: str) -> Step:
    """Returns a step of an estimator. It has been called once, so that jax has compiled it.

    Args:
      case: the case, named after an estimator.
      step_name: one of `steps.NAMES`.

    Raises:
      LackingError: the installed version lacks the estimator.
      ImportError: the framework is not installed.
    """
    with skip_if_lacking(case.name):
        step: Step = getattr(_steps(case), step_name)
        step()
        return step


@cache
def _steps(case: Case) -> Steps:
    # Imported here, because these modules import names that an older version may lack.
    import subsetgrad

    from .. import backends
    from ..cost.steps import MODES, steps
    from ..experiments.selectors import parse_selector

    name, params = parse_selector(case.name)
    require(name)
    ops = backends.load(case.backend, "cpu", case.dtype)
    mode = MODES[case.backend][0]
    return steps(subsetgrad.get(name), params, ops, n=case.n, k=case.k, batch=case.batch, mode=mode)


def peak_bytes(case: Case) -> int:
    """Returns the peak memory in bytes of one step, a forward and a backward pass; see `memory`.

    Raises:
      LackingError: the installed version lacks the estimator.
    """
    with skip_if_lacking(case.name):
        steps = _steps(case)
        if steps.build is not None:
            return memory.program_bytes(steps.build("total").executable)
        return memory.peak_bytes(estimator_step(case, "total"), "cpu")


def require(name: str) -> None:
    """Raises LackingError unless the installed version has an estimator of this name."""
    import subsetgrad

    if name not in {record.name for record in subsetgrad.ESTIMATORS}:
        raise LackingError(f"no estimator {name!r} in this version of subsetgrad")


@cache
def function_step(case: Case) -> Step:
    """Returns a callable that runs a compiled function of `subsetgrad.subsets` on fixed inputs; it has run once.

    Raises:
      LackingError: the installed version lacks the function.
      ImportError: the framework is not installed.
    """
    with skip_if_lacking(case.name):
        from subsetgrad import subsets

        from .. import backends

        ops = backends.load(case.backend, "cpu", case.dtype)
        function = getattr(subsets, case.name)
        rng = np.random.RandomState(0)
        theta = ops.asarray(rng.randn(case.batch, case.n))
        draw_second = {"covariance_product": rng.randn, "sample": lambda *shape: rng.rand(1, *shape)}.get(case.name)
        arguments = () if draw_second is None else (ops.asarray(draw_second(case.batch, case.n)),)
        compiled = ops.compile(lambda logits, *rest: function(ops, logits, case.k, *rest))

        def step() -> Any:
            return ops.block(compiled(theta, *arguments))

        step()
        return step


@contextmanager
def skip_if_lacking(name: str) -> Iterator[None]:
    """Raises LackingError if the benchmarks use a module or a name that the installed subsetgrad lacks.

    If code of subsetgrad itself uses the missing name, that commit is defective, and the exception passes unchanged.

    Args:
      name: the case, for the message.
    """
    try:
        yield
    except (ImportError, AttributeError) as error:
        owner = error.obj if isinstance(error, AttributeError) else error.name
        module = owner.__name__ if isinstance(owner, ModuleType) else owner
        if not isinstance(module, str) or not _in_subsetgrad(module) or _in_subsetgrad(_raised_in(error)):
            raise
        no_package = isinstance(error, ModuleNotFoundError) and module == "subsetgrad"
        raise LackingError(f"{name}: {_NO_PACKAGE if no_package else error}") from error


def _in_subsetgrad(module: str) -> bool:
    return module.split(".")[0] == "subsetgrad"


def _raised_in(error: Exception) -> str:
    """Returns the name of the module whose code raised the error; for a failed import, the module that imports."""
    names = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [name for name in names if name.split(".")[0] != "importlib"][-1]


@cache
def pin_process() -> None:
    """Pins this process to one core until it ends, if the system can, and makes it keep freed memory.

    The C library then does not return freed memory to the system; see `machine.keep_freed_memory`.

    The whole process is pinned because jax has no setting for its number of threads. Call it before a framework starts
    its threads, and only in the process that asv forks for a case: asv's own process polls every millisecond for the
    end of the case, and would disturb it on the same core.
    """
    machine.keep_freed_memory()
    if machine.can_pin():
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def seconds_without_waits() -> float:
    """Returns a clock's reading that excludes the time for which the calling thread waits for a busy core.

    asv compares commits on machines that do other work as well, where the plain clock can be wrong by a factor of 5.
    Linux counts these waits for each thread in `/proc/thread-self/schedstat` (nanoseconds running, nanoseconds waiting,
    time slices). Other systems have the plain clock. Two things are not subtracted: the time in which the thread sleeps
    or is blocked, and the waits of other threads. If these were, a second in which several threads wait would be
    subtracted several times.
    """
    now = time.perf_counter()
    try:
        # Opened at each call: an open file keeps showing the thread that opened it, even in a process forked later.
        schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return now
    try:
        return now - int(os.read(schedstat, 64).split()[1]) * 1e-9
    finally:
        os.close(schedstat)


def preload() -> None:
    """Imports the installed frameworks if asv is running, so that the processes that it forks need not import them.

    jax is imported and not used: a fork hangs if jax has started its threads before.
    """
    if os.environ.get("ASV"):
        for name in ("torch", "jax"):
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
