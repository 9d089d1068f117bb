"""Bias, variance and error of estimators, for asv: a commit that makes an estimator wrong shows in its history.

The problem is the first one of Figure 1, in float64. Noise comes from a fixed seed, so that only code changes a value.
"""

from .tracked import asv_common
from .tracked import quality as tracked_quality

asv_common.preload()


class Quality:
    """The paper's three metrics, lower is better. They are computed once for each commit, then looked up."""

    params = tracked_quality.LABELS
    param_names = ("estimator",)
    version = "1"
    unit = "of cosines"

    def setup_cache(self) -> tracked_quality.Quality:
        """Returns the metrics of all estimators."""
        return tracked_quality.measure_all()

    def setup(self, quality: tracked_quality.Quality, estimator: str) -> None:
        """Skips the case if the commit lacks its estimator."""
        tracked_quality.skip_if_entry_lacks(quality, estimator)

    def track_bias(self, quality: tracked_quality.Quality, estimator: str) -> float:
        """Returns 1 − cos(∇, E ĝ)."""
        return tracked_quality.look_up(quality, estimator, "bias")

    def track_variance(self, quality: tracked_quality.Quality, estimator: str) -> float:
        """Returns Var cos(ĝ, E ĝ)."""
        return tracked_quality.look_up(quality, estimator, "variance")

    def track_error(self, quality: tracked_quality.Quality, estimator: str) -> float:
        """Returns E[1 − cos(∇, ĝ)]."""
        return tracked_quality.look_up(quality, estimator, "error")
