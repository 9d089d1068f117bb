"""Peak memory of a step, by the framework's own accounting: the size of the process would include all its imports.

Arrays that exist before the step (logits, cotangent) do not count; those that it returns do.
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

    On the CPU the number comes from torch's profiler, which records the allocator's events and slows the step several
    times. On CUDA it comes from the counter of the caching allocator.

    Args:
      step: a step of `steps.Steps`. Call it once before, so that arrays that it caches do not count.
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
        results = step()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    del results  # kept until here, because they count
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def program_bytes(executable: Any) -> int:
    """Returns the bytes of temporaries and results of a compiled jax program.

    XLA plans memory when it compiles, so that the program need not run.
    """
    analysis = executable.memory_analysis()
    return int(analysis.temp_size_in_bytes + analysis.output_size_in_bytes)


def extrapolated(measured: Callable[[int, int], int], n: int, k: int) -> int:
    """Returns the bytes expected at a large size: proportional to n, and to a power of k that is fitted at n=256.

    A step that chooses items one after another and stores every intermediate array holds n·k numbers (power 1). A
    product tree holds n·log k: its fitted power is about 0.3, and the forecast is too high for large k.

    Args:
      measured: `(n, k) -> bytes` of a step at a small size.
      n, k: the large size.
    """
    pilot, few, many = 256, 16, 64
    if k == 1:  # from n=512: with up to 256 subsets the exact distribution is enumerated, which holds less
        return measured(2 * pilot, 1) * n // (2 * pilot)
    at_few, at_many = measured(pilot, few), measured(pilot, many)
    power = min(max(math.log(max(at_many, 1) / max(at_few, 1), many / few), 0.0), 1.0)
    return int(at_many * (n / pilot) * (k / many) ** power)


@contextmanager
def _silent() -> Iterator[None]:
    """Discards what C++ writes to standard error: torch 2.13's profiler announces each start and stop there."""
    sys.stderr.flush()
    original, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)
