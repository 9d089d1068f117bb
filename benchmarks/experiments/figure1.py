"""Figure 1 of the paper: bias, variance and error of single estimates on a 5-subset of 10 items.

Read it as in Section 5.1: lower is better for all three. The objective is ‖z − b‖² with b = |N(0, I)|, as in the
authors' notebook; `--objective distance_signed` takes b ~ N(0, I), as in the paper's text.

The settings are the notebook's: λ = 2.5; sum-of-gamma noise with κ = 5, τ = 1 and 10 terms, shared by I-MLE and
SIMPLE-B; SoftSub at t = 2 on log σ(θ) with ε = 1e-7. Estimators that are not in the notebook run with their default
parameters.
"""

from . import published
from .quality_grid import QualityExperiment

_BARS: tuple[published.Bar, ...] = (
    ("sfe", {}, "SFE"),
    ("softsub", published.LOGSIGMOID, "SoftSub"),
    ("imle_sog", published.SUM_OF_GAMMA, "I-MLE"),
    ("simple_f", published.STEP, "SIMPLE-F"),
    ("simple_b", published.SUM_OF_GAMMA, "SIMPLE-B"),
    ("simple", {}, "SIMPLE"),
)

FIGURE1 = QualityExperiment(
    name="figure1",
    summary="the paper's Figure 1: bias, variance and error at n=10, k=5, ten seeds",
    heading="Figure 1",
    reading="n = 10 items, k = 5 chosen, a distance as objective; ten problems, each with its own seed.",
    annotations=(
        published.EXACT_GRADIENT,
        published.bars("As in the paper's Figure 1, left", ("bias", "variance"), _BARS),
        published.bars("As in the paper's Figure 1, right", ("error",), _BARS),
        *published.of("figure1"),
    ),
    settings={
        "simple_b": ("simple_b[kappa=5]",),
        "imle_sog": ("imle_sog[step_size=2.5,kappa=5]",),
        "imle_gumbel": ("imle_gumbel[step_size=2.5]",),
        "softsub": (
            "softsub[temperature=2,epsilon=1e-7,logits=logsigmoid]",
            "softsub[temperature=2,epsilon=1e-7,logits=theta]",
        ),
        "perturbed_opt": ("perturbed_opt[samples=16]",),
    },
    n=(10,),
    k=(5,),
    seeds=published.SEEDS,
    # The paper's protocol takes seconds here, so the quick preset is no smaller.
    replicates={"quick": 10_000, "paper": 10_000, "full": 1_000_000},
    fixed=frozenset({"n", "k"}),
)
