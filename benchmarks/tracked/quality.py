"""The quality that asv follows: one problem, each estimator's metrics, computed once for all look-ups."""

from __future__ import annotations

from .asv_common import LackingError, lacking_is_a_skip, require
from .cases import BACKENDS, QUALITY

METRICS = ("bias", "variance", "error")
REPLICATES = 2_000  # where moments are sampled; their noise comes from the seed, so that more would change little
# What is below is rounding, and asv would call 1e-16 where 0 was infinitely worse.
_DIGITS = 9

Quality = dict[str, dict[str, float] | str]  # label -> metrics, or why there are none


def label(selector: str, backend: str) -> str:
    """Returns the name of one history."""
    return f"{selector}-{backend}"


LABELS = tuple(label(selector, backend) for selector in QUALITY for backend in BACKENDS)


def measure_all() -> Quality:
    """Returns label -> the metrics against the conditional Poisson law, or the reason why an estimate failed.

    An estimator that the commit under test lacks is left out.
    """
    found: Quality = {}
    for selector in QUALITY:
        for backend in BACKENDS:
            try:
                with lacking_is_a_skip(selector):
                    found[label(selector, backend)] = _measure(selector, backend)
            except LackingError:
                continue
            except Exception as error:  # one estimator's failure is its own
                found[label(selector, backend)] = f"{type(error).__name__}: {error}"
    return found


def look_up(quality: Quality, name: str, metric: str) -> float:
    """Returns one metric of one estimator.

    Raises:
      RuntimeError: its measurement failed.
    """
    found = quality[name]
    if isinstance(found, str):
        raise RuntimeError(f"{name}: {found}")
    return found[metric]


def _measure(selector: str, backend: str) -> dict[str, float]:
    from ..experiments.base import parse_selector, plan
    from ..experiments.figure1 import FIGURE1
    from ..quality.measure import quality_of
    from ..results.names import CONDITIONAL_POISSON

    require(parse_selector(selector)[0])
    one = FIGURE1.adapt(estimators=(selector,), seeds=FIGURE1.seeds[:1])
    (cell,) = plan(one, (backend,), REPLICATES).cells
    found = {row.metric: row.value for row in quality_of(cell) if row.target == CONDITIONAL_POISSON}
    known = {metric: value for metric in METRICS if (value := found[metric]) is not None}
    if len(known) < len(METRICS):  # NaN would be a skip to asv, which says nothing of it
        raise ValueError(f"no value of {', '.join(metric for metric in METRICS if metric not in known)}")
    return {metric: round(value, _DIGITS) for metric, value in known.items()}
