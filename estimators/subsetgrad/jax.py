"""The k-subset layer for JAX: pure functions with a key, to be used under jit, grad and vmap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax

from . import _layer, subsets
from .base import Estimator
from .ops import Array, Ops, load


def sample(
    key: Array,
    theta: Array,
    *,
    k: int,
    estimator: str | Estimator = "simple",
    samples: int | None = None,
    state: Any = None,
    params: Mapping[str, Any] | None = None,
    **more_params: Any,
) -> Array:
    """Returns k-hot samples with the estimator's backward pass, or relaxed ones for a relaxation.

    Args:
      key: a jax random key, consumed.
      theta: `[..., n]` float32 or float64 logits; -inf means never chosen.
      k: static, 0 <= k <= n.
      estimator: a name of `subsetgrad.ESTIMATORS`, `package.module:NAME`, or a record.
      samples: None for one sample of theta's shape, or S for a leading axis of S samples.
      state: of an estimator that has one, from `init_state` or `expectation`; it is used, not moved.
      params: the estimator's parameters; the rest keep their defaults.
      **more_params: the same, by keyword; one that is named as an argument above goes into `params`.

    Returns:
      `[..., n]` or `[S, ..., n]`. The backward pass applies the estimator's rule to the cotangent as it arrives: a mean
      over rows outside reaches rules with a step size as a smaller gradient. `expectation` gives them f's own.

    Raises:
      TypeError: the estimator needs the objective; use `expectation`.
      ValueError: invalid arguments; invalid values of theta outside jit (inside, their rows are NaN).
    """
    record, resolved = _layer.record_of(estimator, k, samples, params, more_params)
    ops = _ops(theta, k)
    z = _layer.sample(
        record,
        ops,
        theta,
        ops.draw(key),
        k=k,
        samples=samples or 1,
        params=resolved,
        state=_flat(record, state, theta),
    )
    return z[0] if samples is None else z


def expectation(
    key: Array,
    theta: Array,
    f: Callable[[Array], Array],
    *,
    k: int,
    estimator: str | Estimator = "simple",
    samples: int = 1,
    state: Any = None,
    params: Mapping[str, Any] | None = None,
    **more_params: Any,
) -> Any:
    """Returns an estimate of E f(z), with the estimator's gradient to theta and f's own to what f closes over.

    Args:
      key: a jax random key, consumed.
      theta: `[..., n]` float32 or float64 logits.
      f: maps points `[S, ..., n]` to losses `[S, ...]`, samples and rows independent; called more than once.
      k: static, 0 <= k <= n.
      estimator: as in `sample`.
      samples: S >= 1, raised to the estimator's minimum.
      state: of an estimator that has one; `init_state` makes the first.
      params, **more_params: the estimator's parameters, as in `sample`.

    Returns:
      `[...]`; for an estimator with state `(loss, state)`. jit the step that calls this, not this: f is a new function
      each time.

    Raises:
      ValueError: invalid arguments, f returns another shape, or no state for an estimator that has one.
    """
    record, resolved = _layer.record_of(estimator, k, samples, params, more_params)
    ops = _ops(theta, k)
    value, state = _layer.loss(
        record,
        ops,
        theta,
        f,
        ops.draw(key),
        k=k,
        samples=samples,
        params=resolved,
        state=_flat(record, state, theta),
    )
    if record.initial_state is None:
        return value
    return value, {name: array.reshape(theta.shape[:-1]) for name, array in state.items()}


def init_state(theta: Array, estimator: str | Estimator) -> Any:
    """Returns the first state of an estimator for rows `theta [..., n]`, arrays `[...]`; None if it has none."""
    record, _ = _layer.record_of(estimator, 1, None, None, {})
    if record.initial_state is None:
        return None
    return record.initial_state(_ops(theta, 0), theta)


def most_likely(theta: Array, *, k: int) -> Array:
    """Returns the most likely subset, top-k of theta `[..., n]`: what to use when evaluating a model. No gradient."""
    return _layer.most_likely(_ops(theta, k), theta, k)


def _ops(theta: Array, k: int) -> Ops:
    if not isinstance(theta, jax.Array):
        raise TypeError(f"theta is a {type(theta).__name__}, not a jax.Array: pass jnp.asarray(theta)")
    if str(theta.dtype) not in ("float32", "float64"):
        raise TypeError(f"theta has dtype {theta.dtype}; float32 and float64 are supported")
    platform = "cuda" if jax.default_backend() == "gpu" else "cpu"
    ops = load(f"jax:{platform}", str(theta.dtype))
    subsets.check(ops, theta, k)
    return ops


def _flat(record: Estimator, state: Any, theta: Array) -> Any:
    """Returns the state with its leading axes flattened, `[B]`."""
    if record.initial_state is None:
        return None
    if state is None:
        raise ValueError(
            f"{record.name} has a state: pass state=init_state(theta, {record.name!r}) and keep what returns"
        )
    rows = theta[..., 0].size
    return {name: jax.numpy.broadcast_to(array, theta.shape[:-1]).reshape(rows) for name, array in state.items()}
