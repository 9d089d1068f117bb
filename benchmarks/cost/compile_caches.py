"""Compilers' caches during timings: a program compiled before a cell must not show in the cell's numbers.

torch.compile keeps programs by the code object of the compiled function, which all cells of `steps` share. From the
third size on it would use a program for any size; the ninth program would run eagerly, without a message; kernels that
an earlier run left on the disk would not be compiled again. jax reads programs from the disk if the user has set
JAX_COMPILATION_CACHE_DIR: compiling would seem to take milliseconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# Programs of one function: every estimator and step of a group has one or, where a graph breaks, some.
PROGRAMS = 1024


@contextmanager
def fresh_programs() -> Iterator[None]:
    """Forgets all programs, and has room for those of a group of cells until the block ends.

    Whatever would need more raises: left alone, it would run eagerly.
    """
    import torch._dynamo

    torch._dynamo.reset()
    # By the names that they have had since before torch 2.5.
    settings: dict[str, int] = {"cache_size_limit": PROGRAMS, "accumulated_cache_size_limit": PROGRAMS}
    if hasattr(torch._dynamo.config, "fail_on_cache_limit_hit"):  # since torch 2.6
        settings["fail_on_cache_limit_hit"] = True
    with torch._dynamo.config.patch(settings):
        yield


@contextmanager
def empty_caches() -> Iterator[None]:
    """Lets what is compiled in the block find no kernel or graph of an earlier one, on the disk or in memory."""
    from torch._inductor.utils import fresh_inductor_cache

    # A folder around its own, which it leaves behind after an exception.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, fresh_inductor_cache(dir=folder):
        yield


def has_compiler() -> bool:
    """Returns whether torch finds the C++ compiler without which it compiles nothing for the CPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


@contextmanager
def no_jax_disk_cache() -> Iterator[None]:
    """Lets jax neither read nor write its cache of programs on the disk until the block ends."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    before = jax.config.jax_enable_compilation_cache
    try:
        # jax looks at the setting once a process, and again after a reset (a test of upstream holds this).
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()
