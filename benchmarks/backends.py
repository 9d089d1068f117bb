"""The backends of the benchmarks: their names, and loading them, with jax in 64-bit mode."""

from __future__ import annotations

import importlib.util
import sys

from subsetgrad import Estimator
from subsetgrad import ops as ops_module
from subsetgrad.ops import BACKENDS, Ops


def parse(text: str) -> tuple[str, str]:
    """Returns `(backend, device)` of `torch`, `torch:cpu`, `jax:cuda`, ...

    Raises:
      ValueError: the text names no backend.
    """
    name = text if ":" in text else f"{text}:cpu"
    if name not in BACKENDS:
        raise ValueError(f"--backend {text!r} is not known; choose from {', '.join(BACKENDS)}")
    backend, device = name.split(":")
    return backend, device


def installed() -> tuple[str, ...]:
    """Returns the CPU backends whose framework is installed, without importing it."""
    return tuple(f"{name}:cpu" for name in ("torch", "jax") if importlib.util.find_spec(name) is not None)


def check(record: Estimator, backend: str, n: int, k: int) -> None:
    """Raises ValueError unless the estimator is defined for this backend, n and k."""
    if backend not in record.backends:
        raise ValueError(f"{record.name} runs on {', '.join(record.backends)}, not on {backend}")
    record.check_k(k, n)


def load(backend: str, device: str, dtype: str) -> Ops:
    """Returns the `Ops` of a backend, and switches jax to 64-bit mode, which the exact gradients need.

    float32 arrays stay float32. jax may have been used before: it compiles again what it compiled in 32-bit mode. The
    mode holds for the rest of the process: from here on, `jnp.arange(3.0)` is float64.

    Raises:
      ValueError: see `subsetgrad.ops.load`.
    """
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    return ops_module.load(f"{backend}:{device}", dtype)


def threads() -> dict[str, int]:
    """Returns framework -> number of threads, of each loaded framework that reports it; jax does not."""
    counts = {}
    if "torch" in sys.modules:
        import torch

        counts["torch"] = torch.get_num_threads()
    return counts
