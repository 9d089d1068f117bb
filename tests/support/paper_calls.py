"""The algorithms of the paper by name, and compiled calls of them."""

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
    """Returns the result of a function as a numpy array; it is compiled once for each shape."""
    return np.asarray(compiled(ops, function, k)(ops.asarray(theta), *map(ops.asarray, more)))
