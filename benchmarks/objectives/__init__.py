"""Set functions with named smooth extensions, on which estimators are judged; one file a family.

An objective's parameters are drawn by numpy from the problem's seed and handed to the backend as arrays, so that one
compiled function serves every seed.
"""

from __future__ import annotations

from subsetgrad.lookup import find_record

from .base import Objective as Objective
from .coverage import COVERAGE
from .distance import DISTANCE, DISTANCE_SIGNED
from .nonlinear import ABSOLUTE, NETWORK, SMOOTH
from .polynomial import AFFINE, PAIRWISE

__all__ = [
    "ABSOLUTE",
    "AFFINE",
    "COVERAGE",
    "DISTANCE",
    "DISTANCE_SIGNED",
    "NETWORK",
    "OBJECTIVES",
    "PAIRWISE",
    "SMOOTH",
    "get",
]

OBJECTIVES: tuple[Objective, ...] = (
    DISTANCE,
    DISTANCE_SIGNED,
    AFFINE,
    PAIRWISE,
    SMOOTH,
    COVERAGE,
    NETWORK,
    ABSOLUTE,
)


def get(name: str) -> Objective:
    """Returns the objective of that name.

    Raises:
      ValueError: no such objective.
    """
    return find_record("objective", name, OBJECTIVES)
