"""A sweep over what the command line names: estimators, n, k, seeds, objective; every estimator at its own defaults.

Read it row by row: each cell is judged on its own problem; nothing is averaged over n or k.
"""

import subsetgrad

from .base import Experiment

SWEEP = Experiment(
    name="sweep",
    summary="any estimators over any n, k, seeds and objective: -e, -n, -k, --seeds, --objective",
    estimators=tuple(estimator.name for estimator in subsetgrad.ESTIMATORS),
    n=(8, 10),
    k=(2, 5),
    seeds=(0, 1, 2),
    replicates={"quick": 2_000, "paper": 10_000, "full": 100_000},
    heading="Sweep",
    reading="Each table is one problem: nothing is averaged over objectives, n or k.",
)
