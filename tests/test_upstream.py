"""Unexpected behaviour of other libraries on which the benchmarks rely."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from benchmarks import backends
from benchmarks.cost import compile_caches
from benchmarks.cost.steps import steps
from subsetgrad import get


@pytest.fixture
def cached_programs(tmp_path: Path) -> Iterator[Callable[[], int]]:
    """Yields a function that counts the programs in jax's disk cache; it starts empty and stores every program."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": 0,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield lambda: len(list(tmp_path.glob("*-cache")))
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_jax_notices_that_its_disk_cache_was_switched_off_only_after_a_reset(cached_programs):
    def compile_program(factor: float) -> None:
        jax.jit(lambda x: factor * x).lower(1.0).compile()

    compile_program(2.5)
    count = cached_programs()
    assert count > 0
    jax.config.update("jax_enable_compilation_cache", False)
    compile_program(3.5)
    assert cached_programs() > count  # the setting alone changes nothing
    jax.config.update("jax_enable_compilation_cache", True)


def test_a_measured_program_is_compiled_and_not_read_from_jax_disk_cache(cached_programs):
    ops = backends.load("jax", "cpu", "float64")
    built = steps(get("ste_gumbel"), {}, ops, n=4, k=2, batch=1, mode="compiled")
    before = cached_programs()
    built.build("total")
    assert cached_programs() == before
    with compile_caches.no_jax_disk_cache():
        assert not jax.config.jax_enable_compilation_cache
    assert jax.config.jax_enable_compilation_cache
