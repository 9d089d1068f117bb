"""The quality that asv follows: one problem, and each estimator's metrics on it, computed once for all benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, cast

from .asv_common import LackingError, require, skip_if_lacking
from .cases import BACKENDS, QUALITY

if TYPE_CHECKING:
    from ..results.cell import Cell

METRICS = ("bias", "variance", "error")
# Used where moments are sampled. The seed fixes their noise, so that more replicates would hardly change the history.
REPLICATES = 2_000
# Round to 9 digits: a value that moves from 0 to 1e-16 would look like an infinite regression to asv.
_DIGITS = 9


class Entry(NamedTuple):
    """An estimator's metrics on a backend; empty if `lacking` or `failure` gives a reason.

    Attributes:
      metrics: metric -> value.
      lacking: what the installed version of subsetgrad lacks.
      failure: the exception that the estimator raised.
    """

    metrics: Mapping[str, float] = {}
    lacking: str = ""
    failure: str = ""


Quality = dict[str, Entry]  # label -> entry


def label(selector: str, backend: str) -> str:
    """Returns the name of one history."""
    return f"{selector}-{backend}"


LABELS = tuple(label(selector, backend) for selector in QUALITY for backend in BACKENDS)


def measure_all() -> Quality:
    """Returns the entry of every estimator on every backend, measured against the conditional Poisson distribution."""
    return {label(selector, backend): _entry(selector, backend) for selector in QUALITY for backend in BACKENDS}


def skip_if_entry_lacks(quality: Quality, name: str) -> None:
    """Raises LackingError if the installed version of subsetgrad lacks the estimator of this label."""
    if quality[name].lacking:
        raise LackingError(quality[name].lacking)


def look_up(quality: Quality, name: str, metric: str) -> float:
    """Returns one metric of one estimator.

    Raises:
      RuntimeError: its measurement failed.
    """
    if quality[name].failure:
        raise RuntimeError(f"{name}: {quality[name].failure}")
    return quality[name].metrics[metric]


def _entry(selector: str, backend: str) -> Entry:
    try:
        with skip_if_lacking(selector):
            return Entry(_measure(selector, backend))
    except LackingError as error:
        return Entry(lacking=str(error))
    except Exception as error:  # the other estimators are measured all the same
        return Entry(failure=f"{type(error).__name__}: {error}")


def _measure(selector: str, backend: str) -> dict[str, float]:
    from ..experiments.base import Choices
    from ..experiments.figure1 import FIGURE1
    from ..experiments.selectors import parse_selector
    from ..quality.measure import quality_of
    from ..results.names import CONDITIONAL_POISSON

    require(parse_selector(selector)[0])
    choices = Choices(estimators=(selector,), seeds=FIGURE1.seeds[:1], backends=(backend,), replicates=REPLICATES)
    (cell,) = FIGURE1.plan(choices).cells
    values = {row.metric: row.value for row in quality_of(cast("Cell", cell)) if row.target == CONDITIONAL_POISSON}
    undefined = [metric for metric in METRICS if values[metric] is None]
    if undefined:  # asv would take NaN for a skipped case and show no reason
        raise ValueError(f"no value of {', '.join(undefined)}")
    return {metric: round(value, _DIGITS) for metric in METRICS if (value := values[metric]) is not None}
