"""The experiments: each module says what to run, and how to read it."""

from subsetgrad.parameters import find_record

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
