"""The code that the sequential and the divided algorithms share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...ops import Array, Ops
from ..checks import check_items, check_static, valid_rows


def gradient(ops: Ops, log_partition: Callable[..., Array], theta: Array, k: int) -> Array:
    """Returns ∇A, the marginals of each row, by reverse mode; NaN in invalid rows."""
    marginals = ops.value_and_grad(lambda x: ops.xp.sum(log_partition(ops, x, k)))(theta)[1]
    return ops.xp.where(valid_rows(ops, theta, k)[..., None], marginals, ops.xp.nan)


def sampled(ops: Ops, theta: Array, k: int, uniforms: Array) -> tuple[Array, tuple[int, ...]]:
    """Returns theta without a gradient, and the shape of the samples, after checking the arguments."""
    n = check_static(ops, theta, k)
    check_items(ops, "uniforms", uniforms, n)
    return ops.stop_gradient(theta), tuple(np.broadcast_shapes(theta.shape, uniforms.shape))
