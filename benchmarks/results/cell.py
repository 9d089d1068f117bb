"""Cells: a cell is one point of an experiment of one kind; its result is stored under the cell's key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from . import names


@dataclass(frozen=True, kw_only=True)
class AnyCell:
    """The fields of every cell: an estimator at a size on a backend.

    Attributes:
      kind: one of `names.KINDS`.
      schema: part of every key; increase it when the meaning of a metric changes.
      estimator: name of a record in `subsetgrad.ESTIMATORS`, or `package.module:NAME`.
      params: the estimator's parameters, all of them, as sorted `(name, value)` pairs.
      logits: the law from which the logits are drawn.
      n, k: items, items chosen.
      seed: seed of the problem (logits and objective) and of its noise.
      samples: S, samples averaged inside one estimate.
      backend, device, dtype: `torch` or `jax`; `cpu` or `cuda`; `float32` or `float64`.
    """

    kind: ClassVar[str]
    schema: ClassVar[int | str]
    estimator: str
    params: tuple[tuple[str, Any], ...]
    logits: str
    n: int
    k: int
    seed: int
    samples: int
    backend: str
    device: str
    dtype: str

    def spec(self) -> dict[str, Any]:
        """Returns the cell as plain JSON data."""
        return asdict(self) | {"params": dict(self.params)}

    @property
    def key(self) -> str:
        """The key of the cell's result: a hash of all its fields, as canonical JSON."""
        text = json.dumps({"schema": self.schema, **self.spec()}, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    @property
    def method(self) -> str:
        """The estimator with its parameters."""
        return f"{self.estimator}[{','.join(f'{name}={value}' for name, value in self.params)}]"


@dataclass(frozen=True, kw_only=True)
class Cell(AnyCell):
    """The quality of one estimator on one problem.

    Attributes:
      objective, extension: the set function and its smooth extension.
      replicates: R, independent estimates, where moments are sampled.
    """

    kind = names.QUALITY
    schema = 1
    objective: str
    extension: str
    replicates: int

    def __str__(self) -> str:
        return (
            f"{self.method} {self.objective}/{self.extension} n={self.n} k={self.k} "
            f"seed={self.seed} S={self.samples} {self.backend}:{self.device} {self.dtype}"
        )


@dataclass(frozen=True, kw_only=True)
class TimingCell(AnyCell):
    """The cost of one estimator's training step, on one machine.

    Attributes:
      batch: rows of theta.
      mode: `eager` or `compiled`; see `steps.MODES`.
      threads: how many the backend may use.
      environment: hash of processor, cores and library versions (`provenance.environment`), so that results of two
        machines have different keys and do not replace each other.
    """

    kind = names.COST
    schema = "timing 1"
    batch: int
    mode: str
    threads: int
    environment: str

    def __str__(self) -> str:
        return (
            f"{self.method} n={self.n} k={self.k} batch={self.batch} S={self.samples} "
            f"{self.backend}:{self.device} {self.dtype} {self.mode} threads={self.threads}"
        )


@dataclass(frozen=True)
class Effort:
    """How precisely to measure a `TimingCell`. It is no part of the key: a more precise result replaces an earlier one.

    Attributes:
      budget_seconds: the time at which the measurement of a cell ends, without compiling.
      relative_target: the half-width of the median's interval, relative to the median, at which it ends earlier.
    """

    budget_seconds: float
    relative_target: float
