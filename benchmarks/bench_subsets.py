"""Seconds of the functions of `subsetgrad.subsets`, for asv.

This file imports modules only, because asv takes every public name like time_* for a benchmark, imported ones too.
"""

from .tracked import asv_common, cases

asv_common.preload()


class Functions:
    """One call of a function of `subsetgrad.subsets`, compiled on jax."""

    params = tuple(case.id for case in cases.FUNCTIONS)
    param_names = ("case",)
    version = "1"
    repeat = (10, 100, 0.5)  # least calls, most calls, seconds; in each of two processes
    timer = staticmethod(asv_common.seconds_without_waits)

    def setup(self, case: str) -> None:
        """Builds the call, or skips the case if the commit lacks its function."""
        asv_common.pin_process()
        self.step = asv_common.function_step(cases.BY_ID[case])

    def time_call(self, _: str) -> None:
        """Calls once."""
        self.step()
