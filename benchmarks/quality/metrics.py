"""Quality metrics, as functions of the moments of a gradient estimate, which are exact or averages over replicates.

The paper has three cosine metrics (Section 5.1): bias 1 − cos(∇, E ĝ), variance Var cos(ĝ, E ĝ) and error
E[1 − cos(∇, ĝ)]. A cosine with ĝ = 0 counts as 0. If ∇ = 0, every metric is undefined.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..results.names import QUALITY_METRICS
from ..results.outcome import Measurement


@dataclass(frozen=True)
class Moments:
    """Expectations over the law of an estimate, or averages over replicates, with any leading axes.

    Attributes:
      mean, second: `[..., n]` E ĝ and `[..., n, n]` E ĝĝᵀ.
      unit_mean, unit_second: the same of ĝ/‖ĝ‖, 0 where ĝ = 0.
      zero: `[...]` P(ĝ = 0).
      descent: `[..., T]` P(ĝ·∇ > 0) for each of T reference gradients.
    """

    mean: np.ndarray
    second: np.ndarray
    unit_mean: np.ndarray
    unit_second: np.ndarray
    zero: np.ndarray
    descent: np.ndarray

    @classmethod
    def of(cls, gradients: np.ndarray, weights: np.ndarray, references: np.ndarray) -> Moments:
        """Returns the moments of `gradients [K, n]` with weights `[K]` against `references [T, n]`."""
        g = np.asarray(gradients, np.float64)
        norms = np.linalg.norm(g, axis=-1, keepdims=True)
        unit = g / np.where(norms > 0, norms, 1.0)
        return cls(
            mean=weights @ g,
            second=(weights[:, None] * g).T @ g,
            unit_mean=weights @ unit,
            unit_second=(weights[:, None] * unit).T @ unit,
            zero=weights @ (norms[:, 0] == 0),
            descent=weights @ (g @ references.T > 0),
        )

    def map(self, function: Any) -> Moments:
        """Returns the moments with `function` applied to each array."""
        return Moments(**{f.name: function(getattr(self, f.name)) for f in fields(self)})


def quality(moments: Moments, reference: np.ndarray, target: int, replicates: int, *, exact: bool) -> dict[str, Any]:
    """Returns each metric, `[...]`, against the reference gradient `[n]`, the `target`-th of the moments' references.

    Args:
      moments: of the law if `exact`, else averages over `replicates`.
      reference: the exact gradient ∇, not 0.
      target: its index.
      replicates: R, for which `bias_floor` and `bias_raw` are computed.
      exact: whether the moments are of the law itself.

    In addition to the metrics the result has `SQUARED`, the square of the relative bias before it is floored at 0.
    With sampled moments, `bias` is the raw bias; `sampled_measurements` corrects it by the jackknife.
    """
    m = moments.mean
    norm, m_norm = np.linalg.norm(reference), np.linalg.norm(m, axis=-1)
    towards = reference / norm
    direction = m / np.where(m_norm > 0, m_norm, 1.0)[..., None]
    cosine = direction @ towards
    # 1 − cos is half the squared distance of unit vectors, a form without cancellation. E ĝ = 0 counts as cos = 0.
    bias = np.where(m_norm > 0, np.sum((direction - towards) ** 2, axis=-1) / 2, 1.0)
    along = np.sum(direction * moments.unit_mean, axis=-1)
    spread = _quadratic(moments.unit_second, direction) - along**2
    error = 1 - moments.unit_mean @ towards
    error_variance = _quadratic(moments.unit_second, towards) - (1 - error) ** 2
    covariance = moments.second - m[..., :, None] * m[..., None, :]
    unbiasing = 1.0 if exact else replicates / (replicates - 1)
    total_variance = np.trace(covariance, axis1=-2, axis2=-1) * unbiasing
    lengthwise = _quadratic(covariance, direction) * unbiasing
    scale = 2 * replicates * np.where(m_norm > 0, m_norm, np.nan) ** 2
    floor = (total_variance - lengthwise) / scale
    squared_bias = np.sum((m - reference) ** 2, axis=-1) - (0.0 if exact else total_variance / replicates)
    # The expected 1 − cos(∇, mean of R replicates), expanded to second order in the noise of that mean.
    across = np.einsum("i,...ij,...j->...", towards, covariance, direction) * unbiasing
    expected_raw = bias + (cosine * (total_variance - 3 * lengthwise) + 2 * across) / scale
    return {
        "bias": bias,
        "bias_raw": expected_raw if exact else bias,
        "bias_floor": floor,
        "variance": np.maximum(spread, 0.0),
        "error": error,
        "error_std": np.sqrt(np.maximum(error_variance, 0.0)),
        "relative_bias": np.sqrt(np.maximum(squared_bias, 0)) / norm,
        SQUARED: squared_bias / norm**2,
        "total_variance": total_variance,
        "relative_mse": (np.trace(moments.second, axis1=-2, axis2=-1) - 2 * m @ reference + norm**2) / norm**2,
        "zero_probability": moments.zero,
        "descent_probability": moments.descent[..., target],
    }


SQUARED = "relative_bias_squared"  # can be negative; its standard error gives that of `relative_bias`


def exact_measurements(
    moments: Moments, references: dict[str, np.ndarray], replicates: int, epsilon: float
) -> list[Measurement]:
    """Returns the metrics from exact moments; `epsilon` is the machine precision of the estimates' dtype."""
    rows = []
    for index, (target, reference) in enumerate(references.items()):
        if not _defined(reference):
            rows += undefined(target)
            continue
        values = quality(moments, reference, index, replicates, exact=True)
        # Values below the rounding error are 0. The bias is a squared distance, so its rounding error is squared, too.
        resolution = dict.fromkeys(QUALITY_METRICS, 1e3 * epsilon) | {"bias": (1e3 * epsilon) ** 2}
        # This is the root of a difference of sums, and sums are float64 for every dtype.
        resolution["error_std"] = max(1e3 * epsilon, float(np.sqrt(1e3 * np.finfo(np.float64).eps)))
        for metric in QUALITY_METRICS:
            number = float(values[metric])
            small = abs(number) < resolution[metric]
            rows.append(Measurement(target, metric, 0.0 if small else _finite(number), 0.0, exact=True))
    return rows


def sampled_measurements(batches: Moments, references: dict[str, np.ndarray], replicates: int) -> list[Measurement]:
    """Returns the metrics from sampled moments, each with its jackknife standard error.

    Args:
      batches: averages over equal batches of replicates, `[batches, ...]`, at least 2.
      references: target -> exact gradient, in the order of the moments' references.
      replicates: R, over all batches.

    Each batch is left out in turn. This gives the standard errors, and a correction that makes `bias`, `variance` and
    `error_std` unbiased to order 1/R.
    """
    count = batches.zero.shape[0]
    overall = batches.map(lambda a: a.mean(axis=0))
    without_one = batches.map(lambda a: (a.sum(axis=0) - a) / (count - 1))
    rows = []
    for index, (target, reference) in enumerate(references.items()):
        if not _defined(reference):
            rows += undefined(target)
            continue
        values = quality(overall, reference, index, replicates, exact=False)
        jackknifed = quality(without_one, reference, index, replicates * (count - 1) // count, exact=False)
        errors = {
            name: float(np.sqrt((count - 1) * np.mean((value - value.mean()) ** 2)))
            for name, value in jackknifed.items()
        }
        # The root is floored at 0, where it has no spread, so its error is derived from that of the square.
        root, square_error = float(values["relative_bias"]), errors[SQUARED]
        errors["relative_bias"] = square_error / max(2 * root, np.sqrt(square_error), 1e-300)
        for metric in ("zero_probability", "descent_probability"):
            errors[metric] = max(
                errors[metric], 1 / replicates
            )  # an event that no replicate shows may have probability 1/R
        for metric in QUALITY_METRICS:
            value = values[metric]
            if metric in ("bias", "variance", "error_std"):
                value = count * value - (count - 1) * jackknifed[metric].mean()
            rows.append(Measurement(target, metric, _finite(float(value)), _finite(errors[metric]), exact=False))
    return rows


def undefined(target: str) -> list[Measurement]:
    """Returns the metrics of a target whose gradient is 0 or not known: all without a value."""
    return [Measurement(target, metric, None, None, exact=False) for metric in QUALITY_METRICS]


def _defined(reference: np.ndarray | None) -> bool:
    # Objectives are of order 1, so a gradient below 1e-13 is 0 up to rounding.
    return reference is not None and bool(np.all(np.isfinite(reference))) and bool(np.linalg.norm(reference) > 1e-13)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _quadratic(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Returns vᵀMv over leading axes."""
    result: np.ndarray = np.einsum("...i,...ij,...j->...", vector, matrix, vector)
    return result
