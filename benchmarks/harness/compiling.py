"""torch.compile for timings: what was compiled before a cell must not show in the cell's numbers.

Left alone, it does. Programs are kept by the code object of what was compiled, which all cells of `steps` share: from
the third size on a program for any size is used, the ninth program is none (the step then runs eagerly, and nothing
says so), and kernels that an earlier run left on the disk are not compiled.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Programs of one function: every estimator and step of a group has one or, where a graph breaks, some.
PROGRAMS = 1024


@contextmanager
def fresh_programs() -> Iterator[None]:
    """Forgets all programs, and has room for those of a group of cells until the block ends."""
    import torch._dynamo
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()  # for `refused`
    # By the names that they have had since before torch 2.5.
    with torch._dynamo.config.patch(cache_size_limit=PROGRAMS, accumulated_cache_size_limit=PROGRAMS):
        yield


@contextmanager
def empty_caches() -> Iterator[None]:
    """Lets what is compiled in the block find no kernel or graph of an earlier one, on the disk or in memory."""
    from torch._inductor.utils import fresh_inductor_cache

    # A folder around its own, which it leaves behind after an exception.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, fresh_inductor_cache(dir=folder):
        yield


def refused() -> bool:
    """Returns whether, since `fresh_programs`, a function that had `PROGRAMS` programs ran eagerly for want of one.

    Once true it stays so: torch does not count the calls of such a function that follow.
    """
    from torch._dynamo.utils import counters

    limits = ("recompile limit", "recompile_limit", "cache_size_limit")
    reasons = [str(reason) for counter in counters.values() for reason in counter]
    return any(limit in reason for reason in reasons for limit in limits)


def has_compiler() -> bool:
    """Returns whether there is a C++ compiler, without which torch compiles nothing for the CPU."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++"))
