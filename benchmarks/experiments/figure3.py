"""Figure 3 of the paper: SIMPLE against straight-through Gumbel-softmax at k = 1.

One problem of ten items (the notebook's seed). Read it as Figure 1: lower is better. At k = 1 Gumbel-top-k and the
conditional Poisson are the same law, so every estimator is compared to the gradient of its own law.
"""

from . import published
from .figure1 import FIGURE1
from .quality_grid import QualityExperiment

FIGURE3 = QualityExperiment(
    name="figure3",
    summary="the paper's Figure 3: SIMPLE against straight-through Gumbel-softmax at n=10, k=1",
    heading="Figure 3",
    reading="k = 1 of n = 10: one categorical choice, one problem. Here the Gumbel trick samples the same law.",
    annotations=(
        published.EXACT_GRADIENT,
        published.bars(
            "As in the paper's Figure 3",
            ("bias", "variance"),
            (("simple", {}, "SIMPLE"), ("stgs", {}, "ST Gumbel-Softmax")),
        ),
        *published.of("figure3"),
    ),
    settings={**FIGURE1.settings, "stgs": ("stgs[temperature=1]",), "gs": ("gs[temperature=1]",)},
    n=(10,),
    k=(1,),
    seeds=published.SEEDS[:1],
    replicates=FIGURE1.replicates,
    fixed=frozenset({"n", "k"}),
)
