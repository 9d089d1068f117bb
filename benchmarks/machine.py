"""The machine while it is timed: so many cores, and nobody else's timings."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / "subsetgrad-timing.lock"  # one for all users and checkouts of the machine
_POLL_SECONDS = 0.5


@contextmanager
def pinned(threads: int, backend: str) -> Iterator[None]:
    """Holds every thread of this process to `threads` cores, and torch to as many threads, until the block ends.

    jax has no such setting: since 0.5 its CPU client starts a thread a core whatever XLA_FLAGS say (tried on 0.10 with
    --xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1), so that only the system's own affinity holds
    both backends to the same cores. Where there is none (macOS), torch alone is held.

    Raises:
      ValueError: this process may not use that many cores.
    """
    allowed = _cores()
    if not 1 <= threads <= len(allowed):
        raise ValueError(f"threads={threads}: this process may use 1 to {len(allowed)} cores")
    before = 0
    if backend == "torch":
        import torch  # before the pinning, which it would take for the size of the machine

        before = torch.get_num_threads()
        torch.set_num_threads(threads)
    settle_heap()
    # The last cores: the first one serves most interrupts.
    _hold(allowed[-threads:])
    try:
        yield
    finally:
        _hold(allowed)
        if before:
            torch.set_num_threads(before)


def settle_heap() -> None:
    """Lets the C library keep freed memory, as in any process that once freed a large array.

    glibc gives the top of its heap back to the system, to be mapped page by page at the next call, until a large block
    has been freed; the largest that counts is 32 MiB. In a process that has freed none, a step of `simple` at batch 64,
    n=1024, k=50 took 26 ms instead of 19, and that depended on what had been timed before it.
    """
    bytearray(31 << 20)


def pins() -> bool:
    """Returns whether the system can hold a process to some of its cores."""
    return hasattr(os, "sched_setaffinity")


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if pins() else list(range(os.cpu_count() or 1))


def _hold(cores: list[int]) -> None:
    if not pins():
        return
    for task in Path("/proc/self/task").iterdir():  # 0 would be this thread alone, and none that a framework started
        try:
            os.sched_setaffinity(int(task.name), cores)
        except ProcessLookupError:
            continue  # it has just ended


@contextmanager
def alone(command: str, notice: Callable[[str], None], path: Path | None = None) -> Iterator[None]:
    """Waits until no other process of this machine is timing, and keeps others waiting until the block ends.

    The system frees the lock of a process that dies. The file stays, empty.

    Args:
      command: what others are told that they wait for.
      notice: called once with a message if there is a wait.
      path: the lock file; `LOCK` if left out.
    """
    path = path or LOCK
    try:
        # Not through a link, by which another user could have a file of ours emptied.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    except PermissionError:  # another user's: it can be locked, and not written
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    holder = os.pread(file, 1000, 0).decode(errors="replace").strip() or "another process"
                    notice(f"waiting: {holder} is timing on this machine (lock: {path}); Ctrl-C ends the wait")
                    told = True
                time.sleep(_POLL_SECONDS)
        _write(file, f"process {os.getpid()} ({command})")
        try:
            yield
        finally:
            _write(file, "")
    finally:
        os.close(file)


def _write(file: int, text: str) -> None:
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, text.encode(), 0)
    except OSError:
        return  # opened to read: others wait for "another process"
