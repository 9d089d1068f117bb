"""Figure 3 of the paper: SIMPLE against straight-through Gumbel-softmax at k = 1.

One problem of ten items (the notebook's seed). Read it as Figure 1: lower is better. At k = 1 Gumbel-top-k and the
conditional Poisson are the same law, so no estimator is judged by a law that is not its own.
"""

from .base import Experiment
from .figure1 import FIGURE1

FIGURE3 = Experiment(
    name="figure3",
    summary="the paper's Figure 3: SIMPLE against straight-through Gumbel-softmax at n=10, k=1",
    estimators=(*FIGURE1.estimators, "stgs[temperature=1]", "gs[temperature=1]"),
    n=(10,),
    k=(1,),
    seeds=(1234,),
    replicates=FIGURE1.replicates,
    fixed=frozenset({"n", "k"}),
    heading="Figure 3",
    reading="k = 1 of n = 10: one categorical choice, one problem. Here the Gumbel trick samples the same law.",
)
