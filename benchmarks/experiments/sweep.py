"""A sweep over estimators, n, k, seeds and objectives of the user's choice; estimators have default parameters.

Read it row by row: each cell is judged on one problem, and nothing is averaged over n or k.
"""

from . import published
from .quality_grid import QualityExperiment

SWEEP = QualityExperiment(
    name="sweep",
    summary="any estimators over any n, k, seeds and objective: -e, -n, -k, --seeds, --objective",
    heading="Sweep",
    reading="Each table is one problem: nothing is averaged over objectives, n or k.",
    annotations=(published.EXACT_GRADIENT,),
    n=(8, 10),
    k=(2, 5),
    seeds=(0, 1, 2),
    replicates={"quick": 2_000, "paper": 10_000, "full": 100_000},
)
