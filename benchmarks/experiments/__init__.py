"""The experiments: each module says what to run, and how to read it."""

from typing import Any

from subsetgrad.parameters import find_record

from . import published
from .base import Experiment
from .cost_sweep import ClockExperiment
from .figure1 import FIGURE1
from .figure3 import FIGURE3
from .scaling import SCALING
from .sweep import SWEEP

EXPERIMENTS: tuple[Experiment | ClockExperiment, ...] = (FIGURE1, FIGURE3, SWEEP, SCALING)


def get(name: str) -> Experiment | ClockExperiment:
    """Returns the experiment of that name.

    Raises:
      ValueError: no such experiment.
    """
    return find_record("experiment", name, EXPERIMENTS)


def described() -> list[tuple[str, str, str, str, list[Any]]]:
    """Returns the arguments of `Store.describe` for every experiment: a page also names those that were not run."""
    return [
        (each.name, each.kind, each.heading, each.reading, [*each.annotations, *published.of(each.name)])
        for each in EXPERIMENTS
    ]
