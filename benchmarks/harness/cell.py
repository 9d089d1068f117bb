"""A cell: one point of a sweep, and the key under which its result is stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = 1  # part of every key: raise it when a metric changes its meaning


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
        text = json.dumps({"schema": SCHEMA, **self.spec()}, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()

    def __str__(self) -> str:
        params = ",".join(f"{name}={value}" for name, value in self.params)
        return (
            f"{self.estimator}[{params}] {self.objective}/{self.extension} n={self.n} k={self.k} "
            f"seed={self.seed} S={self.samples} {self.backend}:{self.device} {self.dtype}"
        )
