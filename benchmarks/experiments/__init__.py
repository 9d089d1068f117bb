"""The experiments: each module says which cells to measure, and how to read the result."""

from typing import Any

from subsetgrad.lookup import find_record

from .base import Experiment
from .figure1 import FIGURE1
from .figure3 import FIGURE3
from .scaling import SCALING
from .sweep import SWEEP

EXPERIMENTS: tuple[Experiment, ...] = (FIGURE1, FIGURE3, SWEEP, SCALING)
DEFAULT = (FIGURE1, FIGURE3)  # these run if no experiment is named


def get(name: str) -> Experiment:
    """Returns the experiment of that name.

    Raises:
      ValueError: no such experiment.
    """
    return find_record("experiment", name, EXPERIMENTS)


def described() -> list[tuple[str, str, str, str, list[Any]]]:
    """Returns the arguments of `Store.describe` for every experiment: a page also names those that were not run."""
    return [(each.name, each.kind, each.heading, each.reading, list(each.annotations)) for each in EXPERIMENTS]
