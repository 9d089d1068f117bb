"""Bias, variance and error from commit to commit, for asv: a change that makes an estimator wrong shows in its history.

The problem is the first of Figure 1, in float64, with noise from a fixed seed: a value changes with the code alone.
"""

from .tracked import asv_common
from .tracked import quality as tracked_quality

asv_common.preload()


class Quality:
    """The paper's three metrics, lower is better; computed once a commit, then looked up."""

    params = tracked_quality.LABELS
    param_names = ("estimator",)
    version = "1"
    unit = "of cosines"

    def setup_cache(self) -> tracked_quality.Quality:
        """Returns all of them."""
        return tracked_quality.measure_all()

    def setup(self, quality: tracked_quality.Quality, estimator: str) -> None:
        """Skips what the commit does not have."""
        if estimator not in quality:
            raise asv_common.LackingError(f"{estimator} is not in this version of estimators")

    def track_bias(self, quality: tracked_quality.Quality, estimator: str) -> float:
        """Returns 1 − cos(∇, E ĝ)."""
        return tracked_quality.look_up(quality, estimator, "bias")

    def track_variance(self, quality: tracked_quality.Quality, estimator: str) -> float:
        """Returns Var cos(ĝ, E ĝ)."""
        return tracked_quality.look_up(quality, estimator, "variance")

    def track_error(self, quality: tracked_quality.Quality, estimator: str) -> float:
        """Returns E[1 − cos(∇, ĝ)]."""
        return tracked_quality.look_up(quality, estimator, "error")
