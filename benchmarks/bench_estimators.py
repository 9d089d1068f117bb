"""Seconds and memory of an estimator's training step, for asv; the steps are those of `cost.steps`.

Modules only are imported: asv takes every public name like time_* for a benchmark of its own.
"""

from .tracked import asv_common, cases

asv_common.preload()


class Sample:
    """Drawing noise and subsets."""

    params = tuple(case.id for case in cases.ESTIMATORS)
    param_names = ("case",)
    version = "1"  # of what is measured: raise it when that changes, and its history starts anew
    repeat = (5, 100, 0.5)  # calls at least, at most, seconds; in each of two processes
    timer = staticmethod(asv_common.seconds)

    def setup(self, case: str) -> None:
        """Builds the step and calls it once, or skips the case."""
        asv_common.settle()
        self.step = asv_common.estimator_step(cases.BY_ID[case], "sample")

    def time_sample(self, _: str) -> None:
        """Draws once."""
        self.step()


class Total:
    """Forward and backward."""

    params = tuple(case.id for case in cases.ESTIMATORS)
    param_names = ("case",)
    version = "1"
    repeat = (5, 100, 0.5)
    timer = staticmethod(asv_common.seconds)

    def setup(self, case: str) -> None:
        """Builds the step and calls it once, or skips the case."""
        asv_common.settle()
        self.step = asv_common.estimator_step(cases.BY_ID[case], "total")

    def time_total(self, _: str) -> None:
        """Steps once."""
        self.step()


class Memory:
    """The most that one step forward and backward holds, by the framework's own accounting."""

    params = tuple(case.id for case in cases.ESTIMATORS)
    param_names = ("case",)
    version = "1"
    unit = "bytes"

    def setup(self, case: str) -> None:
        """Skips what the commit does not have."""
        self.bytes = asv_common.peak_bytes(cases.BY_ID[case])

    def track_peak_bytes(self, _: str) -> int:
        """Returns bytes beside the step's inputs."""
        return self.bytes
