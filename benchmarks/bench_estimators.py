"""Seconds and memory of an estimator's training step, for asv; see `cost.steps`.

This file imports modules only, because asv takes every public name like time_* for a benchmark, imported ones too.
"""

from .tracked import asv_common, cases

asv_common.preload()


class Sample:
    """Drawing noise and subsets."""

    params = tuple(case.id for case in cases.ESTIMATORS)
    param_names = ("case",)
    version = "1"  # raise it when the benchmark changes its meaning: asv then begins a new history
    repeat = (5, 100, 0.5)  # least calls, most calls, seconds; in each of two processes
    timer = staticmethod(asv_common.seconds_without_waits)

    def setup(self, case: str) -> None:
        """Builds the step and calls it once, or skips the case if the commit lacks its estimator."""
        asv_common.pin_process()
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
    timer = staticmethod(asv_common.seconds_without_waits)

    def setup(self, case: str) -> None:
        """Builds the step and calls it once, or skips the case if the commit lacks its estimator."""
        asv_common.pin_process()
        self.step = asv_common.estimator_step(cases.BY_ID[case], "total")

    def time_total(self, _: str) -> None:
        """Steps once."""
        self.step()


class Memory:
    """Peak memory of a step forward and backward, by the framework's own accounting."""

    params = tuple(case.id for case in cases.ESTIMATORS)
    param_names = ("case",)
    version = "1"
    unit = "bytes"

    def setup(self, case: str) -> None:
        """Measures the step, or skips the case if the commit lacks its estimator."""
        self.bytes = asv_common.peak_bytes(cases.BY_ID[case])

    def track_peak_bytes(self, _: str) -> int:
        """Returns bytes, without the step's inputs."""
        return self.bytes
