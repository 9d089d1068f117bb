"""Cost of the estimators: seconds and peak memory of a training step, over n and k, on every backend.

Read the growth first (the slope over n at k = n/16, and over k at one n), then the ratios to other estimators at your
size. Each time is a median of readings with its interval, on one core and one machine; rows of two machines differ in
`environment`. On the CPU `total_seconds` is the time of a training step. By default a step has 64 rows of float32.
"""

import subsetgrad

from ..results.cell import Effort
from .cost_grid import CostExperiment, Sweep

# The paper's algorithms as printed, which are timed next to `simple`. They are not among `ESTIMATORS`.
PAPER_FORMS = tuple(f"subsetgrad.families.simple_as_printed:SIMPLE_{form}" for form in ("SEQUENTIAL", "DIVIDED"))

_EVERY = tuple(estimator.name for estimator in subsetgrad.ESTIMATORS)
_SEQUENTIAL, _DIVIDED = PAPER_FORMS
_FEW = ("simple", "ste_gumbel", "imle_gumbel", "softsub")


def _complexity(algorithm: str, estimator: str, source: str = "the paper, section 6", **stated: str) -> dict[str, str]:
    """Returns what is stated of an algorithm's complexity, as an entry for the page, and the estimator to measure.

    `stated` has `work`, the number of operations, and `powers`, the same as powers of n and k; `vectorised` and
    `vectorised_powers` are the time with an unlimited number of processors.
    """
    return {"type": "complexity", "algorithm": algorithm, "estimator": estimator, "source": source, **stated}


def _grid(*sizes: int) -> tuple[tuple[int, int], ...]:
    """Returns for each n: k = 1, 5, 10, 50, n/16 and n/2, up to n/2."""
    return tuple((n, k) for n in sizes for k in sorted({1, 5, 10, 50, n // 16, n // 2}) if 1 <= k <= n // 2)


SCALING = CostExperiment(
    name="scaling",
    summary="seconds and peak memory of a training step over n, k, backend and dtype: -n, -k, -e, --batch, --dtype",
    heading="Time and memory",
    reading="One step of an estimator, forward and backward, without the model around it: noise drawn on the device, "
    "every row of a batch at once.",
    annotations=(
        {"type": "highlight", "estimators": ["simple", "softsub", "ste_gumbel", "imle_gumbel"]},
        {
            "type": "comparison",
            "estimator": "simple",
            "baselines": {"straight-through Gumbel-top-k": ["ste_gumbel", "imle_gumbel"], "SoftSub": ["softsub"]},
        },
        _complexity("SIMPLE, Algorithms 1 and 2", _SEQUENTIAL, work="O(n k)", powers="n¹ k¹"),
        _complexity(
            "SIMPLE, Algorithms 5 and 6",
            _DIVIDED,
            vectorised="O(log k log n), samples O(log n)",
            vectorised_powers="n⁰ k⁰",
        ),
        _complexity(
            "SIMPLE, as in this library",
            "simple",
            "this project",
            work="O(n √k) at most",
            powers="n¹ k^½",
            vectorised="O(log n) deep",
            vectorised_powers="n⁰ k⁰",
        ),
        _complexity(
            "SoftSub", "softsub", work="O(n k)", powers="n¹ k¹", vectorised="O(k log n)", vectorised_powers="n⁰ k¹"
        ),
        _complexity("straight-through Gumbel-top-k, a baseline", "ste_gumbel", ""),
    ),
    presets={
        # The smallest grid that gives slopes, at k = n/16. It takes two minutes on two cores, mostly compiling by jax.
        "quick": Sweep(_FEW, ((10, 5), (64, 4), (256, 16), (1024, 64)), Effort(0.6, 0.03)),
        "paper": Sweep((*_EVERY, *PAPER_FORMS), _grid(10, 32, 100, 320, 1000, 3200, 10_000), Effort(3.0, 0.02)),
        "full": Sweep(
            (*_EVERY, *PAPER_FORMS),
            _grid(10, 32, 100, 320, 1000, 3200, 10_000, 32_000, 100_000),
            Effort(10.0, 0.02),
            dtypes=("float32", "float64"),
            other_modes_up_to=100,
        ),
    },
    largest_n={
        "exact_enum": (16, "because it sums over all subsets"),
        **dict.fromkeys(PAPER_FORMS, (1024, "because these forms take n steps one after another, or hold k² numbers")),
    },
)
