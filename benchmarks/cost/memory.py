"""Peak memory of a step by the framework's own accounting; a process's size would count what it imports, too.

What lies in memory before the step (logits, cotangent) does not count; what it returns does.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def peak_bytes(step: Callable[[], Any], device: str) -> int:
    """Returns the most bytes that a torch step holds at once.

    On the CPU from the allocator's events, as torch's profiler sees them: one step under it costs a multiple of a plain
    one. On CUDA from the caching allocator's counter. Call the step before, so that what it caches is not counted.

    Args:
      step: see `steps.Steps`.
      device: `cpu` or `cuda`.
    """
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    with _silent(), torch.autograd.profiler.profile(profile_memory=True) as profile:
        kept = step()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    del kept
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def program_bytes(executable: Any) -> int:
    """Returns the bytes that a compiled jax program holds beside its arguments: temporaries and results.

    XLA plans memory when it compiles; the program need not run. Arguments are not counted, as above.
    """
    analysis = executable.memory_analysis()
    return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)


def extrapolated(measured: Callable[[int, int], int], n: int, k: int) -> int:
    """Returns the bytes to be expected at a large size, from those at n=256: as n, and as the power of k found there.

    A step that chooses one item after another and keeps the way holds n·k numbers (power 1), a product tree n·log k
    (some 0.3 between the two k measured, less later on: the forecast is high).

    Args:
      measured: `(n, k) -> bytes` of a step at a small size.
      n, k: the large size.
    """
    pilot, few, many = 256, 16, 64
    if k == 1:  # from n=512, beyond the 256 subsets that the exact law weighs one by one
        return measured(2 * pilot, 1) * n // (2 * pilot)
    at_few, at_many = measured(pilot, few), measured(pilot, many)
    power = min(max(math.log(max(at_many, 1) / max(at_few, 1), many / few), 0.0), 1.0)
    return int(at_many * (n / pilot) * (k / many) ** power)


@contextmanager
def _silent() -> Iterator[None]:
    """Sends what C++ writes to standard error nowhere: torch 2.13's profiler announces each start and stop there."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
