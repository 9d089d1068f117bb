"""What a timed case calls, built once in a process and called by asv and by pytest-benchmark alike."""

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


class LackingError(NotImplementedError):  # asv's protocol: a `setup` that raises it skips the case
    """The estimators under test lack what a case needs: the harness judges commits that are older than it, too.

    Any other error of a `setup` fails the case. Nothing is left open here.
    """


@cache  # asv calls setup before every call that it times
def estimator_step(case: Case, name: str) -> Step:
    """Returns a step of an estimator, one of `steps.NAMES`, called once: built, compiled and warm.

    Raises:
      LackingError: the estimators under test lack it.
      ImportError: the framework is not installed.
    """
    with lacking_is_a_skip(case.subject):
        step: Step = getattr(_steps(case), name)
        step()
        return step


@cache
def _steps(case: Case) -> Steps:
    # Imported here: what these import, an older commit's estimators may lack.
    import subsetgrad

    from .. import backends
    from ..cost.steps import MODES, steps
    from ..experiments.base import parse_selector

    name, params = parse_selector(case.subject)
    require(name)
    ops = backends.load(case.backend, "cpu", case.dtype)
    mode = MODES[case.backend][0]
    return steps(subsetgrad.get(name), params, ops, n=case.n, k=case.k, batch=case.batch, mode=mode)


def peak_bytes(case: Case) -> int:
    """Returns the most bytes that a step forward and backward holds; see `memory`.

    Raises:
      LackingError: the estimators under test lack it.
    """
    with lacking_is_a_skip(case.subject):
        built = _steps(case)
        if built.build is not None:
            return memory.program_bytes(built.build("total").executable)
        return memory.peak_bytes(estimator_step(case, "total"), "cpu")


def require(name: str) -> None:
    """Raises LackingError unless the estimators under test have one of this name."""
    import subsetgrad

    if name not in {record.name for record in subsetgrad.ESTIMATORS}:
        raise LackingError(f"no estimator {name!r} in this version of estimators")


@cache
def function_step(case: Case) -> Step:
    """Returns the call of a case whose subject is a function of `subsetgrad.subsets`, called once.

    Raises:
      LackingError: the estimators under test lack it.
      ImportError: the framework is not installed.
    """
    with lacking_is_a_skip(case.subject):
        from subsetgrad import subsets

        from .. import backends

        ops = backends.load(case.backend, "cpu", case.dtype)
        function = getattr(subsets, case.subject)
        rng = np.random.RandomState(0)
        theta = ops.asarray(rng.randn(case.batch, case.n))
        second = {"covariance_product": rng.randn, "sample": lambda *shape: rng.rand(1, *shape)}.get(case.subject)
        more = () if second is None else (ops.asarray(second(case.batch, case.n)),)
        compiled = ops.compile(lambda logits, *rest: function(ops, logits, case.k, *rest))

        def step() -> Any:
            return ops.block(compiled(theta, *more))

        step()
        return step


@contextmanager
def lacking_is_a_skip(subject: str) -> Iterator[None]:
    """Raises LackingError where the estimators under test lack a module or a name that the harness uses.

    One that they use themselves is a defect of theirs, which must not pass for a skip.
    """
    try:
        yield
    except (ImportError, AttributeError) as error:
        owner = error.obj if isinstance(error, AttributeError) else error.name
        name = owner.__name__ if isinstance(owner, ModuleType) else owner
        if not isinstance(name, str) or not _is_of_estimators(name) or _is_of_estimators(_user(error)):
            raise
        raise LackingError(f"{subject}: {error}") from error


def _is_of_estimators(module: str) -> bool:
    return module.split(".")[0] == "subsetgrad"


def _user(error: Exception) -> str:
    """Returns the name of the module whose code raised, or imported what did."""
    names = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [name for name in names if name.split(".")[0] != "importlib"][-1]


@cache
def settle() -> None:
    """Holds this process to one core for good, where the system can, and lets it keep its heap (see `machine`).

    Before a framework starts its threads: OMP_NUM_THREADS=1 would do for torch, but jax has no such setting. Called in
    the process that asv forks for a case, not before: its parent looks for its end every millisecond, and had better do
    that elsewhere. Of two equal commits one had marginals 1.5 times as slow, by its heap alone.
    """
    machine.settle_heap()
    if machine.pins():
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def seconds() -> float:
    """Returns a clock's reading that stands still while the calling thread waits for a core that another program has.

    Linux counts that wait, a thread at a time (`/proc/thread-self/schedstat`: nanoseconds run, waited, slices; 6 µs a
    reading); elsewhere it is the plain clock. What sleeps or blocks counts. asv compares commits on machines that do
    other work, too: beside five busy programs the plain clock's medians of equal steps differed by a factor of 5. A
    thread of jax that waits while its caller sleeps is not seen: the sum over threads would count one wait several
    times.
    """
    now = time.perf_counter()
    try:
        # Opened anew: a file kept open stays that of the thread that opened it, in a fork that of its parent.
        counts = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        return now
    try:
        return now - int(os.read(counts, 64).split()[1]) * 1e-9
    finally:
        os.close(counts)


def preload() -> None:
    """Imports the installed frameworks if asv is running, so that it forks its cases from a process that has them.

    Imported, not used: a fork of a process in which jax has started its threads hangs.
    """
    if os.environ.get("ASV"):
        for name in ("torch", "jax"):
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
