"""Cells: one point of a sweep each, of quality or of time, and the key under which its result is stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = 1  # part of every key: raise it when a metric changes its meaning
TIMING_SCHEMA = "timing 1"  # the same for cells of time


@dataclass(frozen=True)
class Cell:
    """One estimator on one problem with one budget, on one backend.

    Attributes:
      estimator: name of a record in `estimators.ESTIMATORS`, or `package.module:NAME`.
      params: the estimator's parameters, all of them, as sorted `(name, value)` pairs.
      objective, extension: the set function and its smooth extension.
      logits: the law the logits are drawn from.
      n, k: items, items chosen.
      seed: seed of the problem (logits and objective) and of its noise.
      samples: S, samples averaged inside one estimate.
      replicates: R, independent estimates, where moments are sampled.
      backend, device, dtype: `torch` or `jax`; `cpu` or `cuda`; `float32` or `float64`.
    """

    estimator: str
    params: tuple[tuple[str, Any], ...]
    objective: str
    extension: str
    logits: str
    n: int
    k: int
    seed: int
    samples: int
    replicates: int
    backend: str
    device: str
    dtype: str

    def spec(self) -> dict[str, Any]:
        """Returns the cell as plain JSON data."""
        return asdict(self) | {"params": dict(self.params)}

    @property
    def key(self) -> str:
        """The content address: a hash of the canonical JSON of the cell."""
        return _address({"schema": SCHEMA, **self.spec()})

    def __str__(self) -> str:
        return (
            f"{_method(self)} {self.objective}/{self.extension} n={self.n} k={self.k} "
            f"seed={self.seed} S={self.samples} {self.backend}:{self.device} {self.dtype}"
        )


@dataclass(frozen=True)
class TimingCell:
    """The cost of one estimator's training step at one size, on one backend of one machine.

    Attributes:
      estimator, params, logits, n, k, seed, samples, backend, device, dtype: as in `Cell`.
      batch: rows of theta.
      mode: `eager` or `compiled`; see `steps.MODES`.
      threads: how many the backend may use.
      environment: hash of processor, cores and library versions (`provenance.environment`): seconds of two machines
        stand side by side and never replace each other.
    """

    estimator: str
    params: tuple[tuple[str, Any], ...]
    logits: str
    n: int
    k: int
    seed: int
    samples: int
    batch: int
    mode: str
    threads: int
    backend: str
    device: str
    dtype: str
    environment: str

    def spec(self) -> dict[str, Any]:
        """Returns the cell as plain JSON data."""
        return asdict(self) | {"params": dict(self.params)}

    @property
    def key(self) -> str:
        """The content address: a hash of the canonical JSON of the cell."""
        return _address({"schema": TIMING_SCHEMA, **self.spec()})

    def __str__(self) -> str:
        return (
            f"{_method(self)} n={self.n} k={self.k} batch={self.batch} S={self.samples} "
            f"{self.backend}:{self.device} {self.dtype} {self.mode} threads={self.threads}"
        )


AnyCell = Cell | TimingCell


@dataclass(frozen=True)
class Effort:
    """How well to measure a `TimingCell`; no part of its key: a better measurement replaces a worse one.

    Attributes:
      budget_seconds: for each cell, beside compiling.
      relative_target: half of the median's interval over the median, at which a measurement ends before that.
    """

    budget_seconds: float
    relative_target: float


def _address(spec: dict[str, Any]) -> str:
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def _method(cell: AnyCell) -> str:
    return f"{cell.estimator}[{','.join(f'{name}={value}' for name, value in cell.params)}]"
