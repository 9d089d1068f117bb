"""Checks of the arguments: shape, k and dtype always; values where they can be looked at."""

from __future__ import annotations

import numpy as np

from ..ops import Array, Ops


def check_static(ops: Ops, theta: Array, k: int) -> int:
    """Returns n after checking what is known without values.

    Raises:
      TypeError: theta is no array of this backend's dtype, or k no int.
      ValueError: theta has no axis or no items, or k is outside [0, n].
    """
    _check_array(ops, "theta", theta)
    if theta.ndim == 0 or theta.shape[-1] == 0:
        raise ValueError(f"theta has shape {tuple(theta.shape)}; it needs at least one item on its last axis")
    return check_k(k, theta.shape[-1])


def check_count(k: int) -> None:
    """Raises TypeError unless k is an int."""
    if not isinstance(k, int) or isinstance(k, bool):
        raise TypeError(f"k={k!r} is a {type(k).__name__}; the number of chosen items is a Python int")


def check_k(k: int, n: int) -> int:
    """Returns n after checking that k is an int in [0, n]."""
    check_count(k)
    if not 0 <= k <= n:
        raise ValueError(f"k={k} is outside [0, {n}] for n={n} items")
    return int(n)


def check_items(ops: Ops, name: str, array: Array, n: int) -> None:
    """Raises TypeError or ValueError unless `array` is one of these ops whose last axis holds the n items."""
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
    """Returns `[...]` booleans: no NaN, no +inf, at least k finite logits."""
    xp = ops.xp
    possible = xp.sum(xp.astype(theta > -xp.inf, theta.dtype), axis=-1)
    return (xp.max(theta, axis=-1) < xp.inf) & (possible >= k)  # the maximum is NaN if one is


def check(ops: Ops, theta: Array, k: int) -> None:
    """Raises if `theta` and `k` do not define a k-subset distribution; values are checked where they are concrete.

    Args:
      theta: `[..., n]` logits; -inf means never chosen.
      k: 0 <= k <= n.

    Raises:
      TypeError, ValueError: as described, naming the first bad row.
    """
    check_static(ops, theta, k)
    if not ops.is_concrete(theta):
        return
    valid = valid_rows(ops, theta, k)
    # Under jit even a concrete theta that the function closes over gives traced results.
    if not ops.is_concrete(valid) or bool(ops.xp.all(valid)):
        return
    row = next(index for index in np.ndindex(tuple(valid.shape)) if not bool(valid[index]))
    values = [float(value) for value in theta[row]]
    where = f"theta[{', '.join(map(str, row))}]" if row else "theta"
    if any(value != value for value in values):
        raise ValueError(f"{where} has a NaN logit; logits are finite, or -inf for an item that is never chosen")
    if any(value == float("inf") for value in values):
        raise ValueError(f"{where} has a +inf logit; use a large finite logit for an item that is always chosen")
    finite = sum(value > float("-inf") for value in values)
    raise ValueError(f"{where} has {finite} finite logits, fewer than k={k}; lower k or raise some of them")
