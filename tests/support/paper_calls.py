"""The named forms of the paper's algorithms, and calls of them."""

from __future__ import annotations

from functools import cache

import numpy as np

from subsetgrad.subsets import paper

FORMS = ("sequential", "divided")
LOG_PARTITIONS = {"sequential": paper.sequential_log_partition, "divided": paper.divided_log_partition}
MARGINALS = {"sequential": paper.sequential_marginals, "divided": paper.divided_marginals}
SAMPLERS = {"sequential": paper.sequential_sample, "divided": paper.divided_sample}


@cache
def compiled(ops, function, k):
    return ops.compile(lambda *arrays: function(ops, arrays[0], k, *arrays[1:]))


def call(ops, function, theta, k, *more):
    """Returns what a form says, as numpy; compiled, so that a shape costs jax one compilation."""
    return np.asarray(compiled(ops, function, k)(ops.asarray(theta), *map(ops.asarray, more)))
