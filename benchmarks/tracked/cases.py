"""The few cases that are timed at every commit, by asv (`bench_*.py`) and by pytest-benchmark (tests/benchmarks).

The experiments are the study, and these cases only watch for regressions. This module imports no framework and no
estimator.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Case:
    """One estimator or function at one size on one backend.

    Attributes:
      name: an estimator as `name[param=value,...]`, or a function of `subsetgrad.subsets`.
      backend: `torch` or `jax`, on the CPU.
      n, k, batch: items, items chosen, rows of theta.
      dtype: `float32` or `float64`.
    """

    name: str
    backend: str
    n: int
    k: int
    batch: int
    dtype: str = "float32"

    @property
    def id(self) -> str:
        """The name under which asv and pytest keep the history; a new name begins a new history."""
        return f"{self.name}-{self.backend}-n{self.n}-k{self.k}-batch{self.batch}-{self.dtype}"


_, MIDDLE, LARGE = SIZES = ((10, 5, 64), (128, 10, 64), (1024, 50, 64))  # n, k, batch
BACKENDS = ("torch", "jax")


def _grid(names: tuple[str, ...], sizes: tuple[tuple[int, int, int], ...]) -> tuple[Case, ...]:
    return tuple(Case(name, backend, *size) for name, backend, size in product(names, BACKENDS, sizes))


# `sfe` samples as `simple` does, and `imle_sog` takes jax seconds to compile, so that one size suffices.
ESTIMATORS = _grid(("simple", "ste_gumbel", "softsub"), SIZES) + _grid(("sfe", "imle_sog"), (MIDDLE,))
FUNCTIONS = _grid(("marginals", "covariance_product", "sample", "entropy"), (LARGE,))
BY_ID = {case.id: case for case in ESTIMATORS + FUNCTIONS}

# Estimators whose bias, variance and error are followed: mostly exact values, and a few that are sampled.
QUALITY = (
    "simple",
    "simple_f",
    "sfe",
    "rloo",
    "ste",
    "marginal_pass",
    "ste_gumbel",
    "imle_sog[step_size=2.5,kappa=5]",
    "softsub[temperature=2,logits=theta]",
)
