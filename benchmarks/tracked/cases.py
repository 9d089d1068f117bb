"""The few cases that are timed at every commit: data alone, read by asv (`bench_*.py`) and by pytest-benchmark (tests).

The experiments are the study; these are the watch. Importing this imports no framework and no estimator.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Case:
    """One thing to time at one size on one backend.

    Attributes:
      subject: an estimator as `name[param=value,...]`, or the name of a function of `subsetgrad.subsets`.
      backend: `torch` or `jax`, on the CPU.
      n, k, batch: items, items chosen, rows of theta.
      dtype: `float32` or `float64`.
    """

    subject: str
    backend: str
    n: int
    k: int
    batch: int
    dtype: str = "float32"

    @property
    def id(self) -> str:
        """The readable name under which asv and pytest keep its history: change it, and the history starts anew."""
        return f"{self.subject}-{self.backend}-n{self.n}-k{self.k}-batch{self.batch}-{self.dtype}"


_, MIDDLE, LARGE = SIZES = ((10, 5, 64), (128, 10, 64), (1024, 50, 64))  # n, k, batch
BACKENDS = ("torch", "jax")


def _grid(subjects: tuple[str, ...], sizes: tuple[tuple[int, int, int], ...]) -> tuple[Case, ...]:
    return tuple(Case(subject, backend, *size) for subject, backend, size in product(subjects, BACKENDS, sizes))


# At one size what shares its work with another (sfe samples as simple does), or costs jax seconds to compile.
ESTIMATORS = _grid(("simple", "ste_gumbel", "softsub"), SIZES) + _grid(("sfe", "imle_sog"), (MIDDLE,))
FUNCTIONS = _grid(("marginals", "covariance_product", "sample", "entropy"), (LARGE,))
BY_ID = {case.id: case for case in ESTIMATORS + FUNCTIONS}

# Whose bias, variance and error are followed: exact where they can be, then a few that take samples.
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
