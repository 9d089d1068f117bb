"""Seconds of the exact core's functions, for asv. Modules only are imported: asv takes names like time_* as its own."""

from .tracked import asv_common, cases

asv_common.preload()


class Functions:
    """One call of a function of `subsetgrad.subsets`, compiled on jax."""

    params = tuple(case.id for case in cases.FUNCTIONS)
    param_names = ("case",)
    version = "1"
    repeat = (10, 100, 0.5)  # calls at least, at most, seconds; in each of two processes
    timer = staticmethod(asv_common.seconds)

    def setup(self, case: str) -> None:
        """Builds the call, or skips the case."""
        asv_common.settle()
        self.step = asv_common.function_step(cases.BY_ID[case])

    def time_call(self, _: str) -> None:
        """Calls once."""
        self.step()
