"""Checks of arguments: shape, k and dtype always, and the values of theta where they can be read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import Array, Ops


def check_k(k: Any, n: int | None = None) -> None:
    """Raises unless k is a number of chosen items.

    Args:
      k: items chosen.
      n: items to choose from; None where it is not known yet.

    Raises:
      TypeError: k is no int.
      ValueError: k is negative, or larger than n.
    """
    if not isinstance(k, int) or isinstance(k, bool):
        raise TypeError(f"k={k!r} is a {type(k).__name__}; the number of chosen items must be a Python int")
    if n is not None and not 0 <= k <= n:
        raise ValueError(f"k={k} is outside [0, {n}] for n={n} items")
    if k < 0:
        raise ValueError(f"k={k} is negative; choose k between 0 and the number of items")


def check_static(ops: Ops, theta: Array, k: int) -> int:
    """Returns n after checking all that does not depend on the values of theta.

    Raises:
      TypeError: theta is no array of this backend and dtype, or k no int.
      ValueError: theta has no axis or no items, or k is outside [0, n].
    """
    _check_array(ops, "theta", theta)
    if theta.ndim == 0 or theta.shape[-1] == 0:
        raise ValueError(f"theta has shape {tuple(theta.shape)}; it needs at least one item on its last axis")
    n = int(theta.shape[-1])
    check_k(k, n)
    return n


def check_items(ops: Ops, name: str, array: Array, n: int) -> None:
    """Raises TypeError or ValueError unless `array` belongs to `ops` and its last axis has length n."""
    _check_array(ops, name, array)
    if array.ndim == 0 or array.shape[-1] != n:
        raise ValueError(f"{name} has shape {tuple(array.shape)}; its last axis holds the n={n} items of theta")


def _check_array(ops: Ops, name: str, array: Array) -> None:
    if not ops.is_array(array):
        raise TypeError(f"{name} is a {type(array).__name__}, not an array of {ops.name}: pass ops.asarray({name})")
    if str(array.dtype).removeprefix("torch.") != ops.dtype:
        raise TypeError(
            f"{name} has dtype {array.dtype}, but these ops are {ops.name} in {ops.dtype}: "
            f"pass ops.asarray({name}), or load the ops of that dtype"
        )


def valid_rows(ops: Ops, theta: Array, k: int) -> Array:
    """Returns `[...]` booleans: True for a row with no NaN, no +inf and at least k finite logits."""
    xp = ops.xp
    possible = xp.sum(xp.astype(theta > -xp.inf, theta.dtype), axis=-1)
    # The maximum of a row with a NaN is NaN, and the comparison with it is False.
    return (xp.max(theta, axis=-1) < xp.inf) & (possible >= k)


def check(ops: Ops, theta: Array, k: int) -> None:
    """Raises if `theta` and `k` do not define a k-subset distribution.

    Values are checked where they can be read. Under jit, vmap or grad they cannot: there, invalid rows give NaN.

    Args:
      ops: the backend of theta.
      theta: `[..., n]` logits; -inf means never chosen.
      k: 0 <= k <= n.

    Raises:
      TypeError: theta is no array of this backend and dtype, or k no int.
      ValueError: wrong shape, k outside [0, n], or an invalid row; the message names the first one.
    """
    check_static(ops, theta, k)
    if not ops.is_concrete(theta):
        return
    valid = valid_rows(ops, theta, k)
    # Under jit, operations on a constant that the function closes over are traced as well.
    if not ops.is_concrete(valid) or bool(ops.xp.all(valid)):
        return
    row = next(index for index in np.ndindex(tuple(valid.shape)) if not bool(valid[index]))
    values = [float(value) for value in theta[row]]
    name = f"theta[{', '.join(map(str, row))}]" if row else "theta"
    if any(value != value for value in values):
        raise ValueError(f"{name} has a NaN logit; logits are finite, or -inf for an item that is never chosen")
    if any(value == float("inf") for value in values):
        raise ValueError(f"{name} has a +inf logit; use a large finite logit for an item that is always chosen")
    finite = sum(value > float("-inf") for value in values)
    raise ValueError(f"{name} has {finite} finite logits, fewer than k={k}; lower k or raise some of them")
