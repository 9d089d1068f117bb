"""The machine during a measurement: pinned cores, and a lock that keeps other measurements waiting."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / "subsetgrad-timing.lock"  # shared by all users and checkouts of the machine
_POLL_SECONDS = 0.5


@contextmanager
def pinned(threads: int, backend: str) -> Iterator[None]:
    """Pins every thread of this process to `threads` cores, and gives torch as many threads, until the block ends.

    Affinity is the only setting that limits both backends alike: jax starts a thread for each core, and XLA_FLAGS
    do not change that (tried with jax 0.10). A system without affinity (macOS) limits only torch.

    Raises:
      ValueError: this process may not use that many cores.
    """
    allowed = _cores()
    if not 1 <= threads <= len(allowed):
        raise ValueError(f"threads={threads}: this process may use 1 to {len(allowed)} cores")
    threads_before = 0
    if backend == "torch":
        import torch  # before pinning: torch reads the number of cores when it is imported

        threads_before = torch.get_num_threads()
        torch.set_num_threads(threads)
    keep_freed_memory()
    # The last cores, because the first one serves most interrupts.
    _pin(allowed[-threads:])
    try:
        yield
    finally:
        _pin(allowed)
        if threads_before:
            torch.set_num_threads(threads_before)


def keep_freed_memory() -> None:
    """Makes the C library keep freed memory, so that a step's time does not depend on what ran before it.

    At first glibc returns the top of its heap to the system after every call, and the system maps it again page by
    page. Once the process has freed a block of almost 32 MiB, glibc keeps the heap. Without this a step can take a
    third longer.
    """
    bytearray(31 << 20)


def can_pin() -> bool:
    """Returns whether the system can pin a process to some of its cores."""
    return hasattr(os, "sched_setaffinity")


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if can_pin() else list(range(os.cpu_count() or 1))


def _pin(cores: list[int]) -> None:
    if not can_pin():
        return
    # Every thread by its id: id 0 would pin the calling thread, and none that a framework has started.
    for thread in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):  # the thread has just ended
            os.sched_setaffinity(int(thread.name), cores)


@contextmanager
def alone(command: str, notice: Callable[[str], None], path: Path | None = None) -> Iterator[None]:
    """Waits until no other process of this machine measures, and keeps others waiting until the block ends.

    The system frees the lock of a process that dies. The lock file stays, empty.

    Args:
      command: shown to those who wait for this process.
      notice: called once with a message if there is a wait.
      path: the lock file, `LOCK` by default. It must not be a symbolic link.
    """
    # Imported here: asv and the planning of experiments use this module and need no lock.
    from filelock import FileLock, Timeout

    path = path or LOCK
    # Other users of the machine must be able to lock the file.
    lock = FileLock(path, mode=0o666, poll_interval=_POLL_SECONDS)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        holder = path.read_text(errors="replace").strip() or "another process"
        notice(f"waiting: {holder} is timing on this machine (lock: {path}); Ctrl-C ends the wait")
        lock.acquire()
    try:
        _write(path, f"process {os.getpid()} ({command})")
        yield
    finally:
        _write(path, "")
        lock.release()


def _write(path: Path, text: str) -> None:
    """Replaces the lock file's text if the user may write it. Follows no link, which could lead to another file."""
    with suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
        with os.fdopen(file, "w") as opened:
            opened.write(text)
