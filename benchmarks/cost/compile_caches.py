"""Keeps compilers' caches out of the measurements: a program compiled earlier must not make a later cell look faster.

torch.compile keeps programs by the code object of the compiled function, and all cells share the functions in `steps`.
Three effects would falsify cells: from the third size on torch would reuse one program for all sizes; the ninth program
would run eagerly without a message; and kernels on the disk from an earlier run would not be compiled again. jax reads
programs from the disk if JAX_COMPILATION_CACHE_DIR is set: compiling would seem to take milliseconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Programs of one function: every estimator and step of a group has one, or several where the graph breaks.
PROGRAMS = 1024


@contextmanager
def fresh_programs() -> Iterator[None]:
    """Clears torch's compiled programs and raises their limit to `PROGRAMS` until the block ends.

    A program beyond the limit raises an exception: by default torch would run it eagerly.
    """
    import torch._dynamo

    torch._dynamo.reset()
    # The names that torch 2.5 knows; later versions accept them as well.
    settings: dict[str, int] = {"cache_size_limit": PROGRAMS, "accumulated_cache_size_limit": PROGRAMS}
    if hasattr(torch._dynamo.config, "fail_on_cache_limit_hit"):  # since torch 2.6
        settings["fail_on_cache_limit_hit"] = True
    with torch._dynamo.config.patch(settings):
        yield


@contextmanager
def empty_caches() -> Iterator[None]:
    """Hides all kernels and graphs that torch compiled earlier, on the disk and in memory, until the block ends."""
    from torch._inductor.utils import fresh_inductor_cache

    # After an exception torch leaves its folder behind, so that it gets a parent that is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, fresh_inductor_cache(dir=folder):
        yield


def has_compiler() -> bool:
    """Returns whether torch finds a C++ compiler; without one it compiles nothing for the CPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


@contextmanager
def no_jax_disk_cache() -> Iterator[None]:
    """Stops jax from reading and writing its cache of programs on the disk until the block ends."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_enable_compilation_cache
    try:
        # jax reads the setting once a process, and again after a reset; tests/test_upstream.py checks this.
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()
