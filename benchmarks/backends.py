"""Loads backends for the harness, which alone switches global settings of a framework."""

from __future__ import annotations

import importlib.util
import sys

from subsetgrad import Estimator
from subsetgrad import ops as ops_module
from subsetgrad.ops import BACKENDS, Ops


def parse(text: str) -> tuple[str, str]:
    """Returns `(backend, device)` of `torch`, `torch:cpu`, `jax:cuda`, ...

    Raises:
      ValueError: not one of them.
    """
    name = text if ":" in text else f"{text}:cpu"
    if name not in BACKENDS:
        raise ValueError(f"--backend {text!r} is not known; choose from {', '.join(BACKENDS)}")
    backend, device = name.split(":")
    return backend, device


def installed() -> tuple[str, ...]:
    """Returns the CPU backends whose framework is installed; nothing is imported."""
    return tuple(f"{name}:cpu" for name in ("torch", "jax") if importlib.util.find_spec(name) is not None)


def check(record: Estimator, backend: str, n: int, k: int) -> None:
    """Raises ValueError unless the estimator is made for this backend, n and k."""
    if backend not in record.backends:
        raise ValueError(f"{record.name} runs on {', '.join(record.backends)}, not on {backend}")
    record.check_k(k, n)


def load(backend: str, device: str, dtype: str) -> Ops:
    """Returns the `Ops`, with jax in 64-bit mode: the exact gradients need it, and float32 in still gives float32 out.

    jax may have been used before: its caches tell the modes apart, so that what was compiled in the other one is
    compiled anew, and arrays keep their dtype. From here on, though, the whole process computes as in 64-bit mode:
    `jnp.arange(3.0)` is float64.

    Raises:
      ValueError: see `subsetgrad.ops.load`.
    """
    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
    return ops_module.load(f"{backend}:{device}", dtype)


def threads() -> dict[str, int]:
    """Returns how many threads each loaded framework computes with, where it says so."""
    found = {}
    if "torch" in sys.modules:
        import torch

        found["torch"] = torch.get_num_threads()
    return found
