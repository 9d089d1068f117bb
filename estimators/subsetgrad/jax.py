"""The k-subset layer for JAX: pure functions of a key, for use under jit, grad and vmap.

```python
import jax
import jax.numpy as jnp

from subsetgrad.jax import expectation, most_likely, sample

theta = jnp.array([[0.5, -1.0, 2.0, 0.0]])  # one row of logits for 4 items
target = jnp.array([1.0, 1.0, 0.0, 0.0])
key = jax.random.key(0)

z = sample(key, theta, k=2, samples=8)  # [8, 1, 4], with exactly two ones in each row


def loss(theta):
    def f(z):  # subsets [S, 1, 4] -> losses [S, 1]
        return jnp.sum((z - target) ** 2, axis=-1)

    return expectation(key, theta, f, k=2, estimator="simple", samples=8).sum()


step = jax.jit(jax.value_and_grad(loss))
for _ in range(100):
    value, theta_bar = step(theta)
    theta = theta - 0.1 * theta_bar

chosen = most_likely(theta, k=2)  # [[1, 1, 0, 0]]
```

`expectation` works with every estimator. `sample` works with those that need no more of f than its gradient at the
sample. Estimators with a state (`aimle`, `rebar_pl`) take it as an argument: `init_state` makes the first one, and
`expectation` returns the next.
"""

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
      estimator: a name in `subsetgrad.ESTIMATORS`, `package.module:NAME`, or a record.
      samples: None for one sample of theta's shape, or S for a leading axis of S samples.
      state: of an estimator that has one, from `init_state` or `expectation`; this function does not update it.
      params: parameters of the estimator; the others keep their defaults.
      **more_params: the same by keyword; a parameter with the name of an argument above must be given in `params`.

    Returns:
      `[..., n]` or `[S, ..., n]`. The backward pass takes the cotangent of each sample for the gradient of f. If you
      average over rows or samples, that gradient is smaller by this factor, which matters to rules with a step size
      (I-MLE, SIMPLE-B); `expectation` gives them the gradient of f itself.

    Raises:
      TypeError: the estimator needs the objective (use `expectation`), or an argument has a wrong type.
      ValueError: invalid arguments. Invalid values of theta raise outside jit; inside, their rows are NaN.
    """
    record = _layer.find_estimator(estimator)
    resolved = _layer.check_settings(record, k, samples, params, more_params)
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
    samples: int | None = None,
    state: Any = None,
    params: Mapping[str, Any] | None = None,
    **more_params: Any,
) -> Any:
    """Returns an estimate of E f(z), differentiable in theta (by the estimator) and in all that f depends on.

    Args:
      key: a jax random key, consumed.
      theta: `[..., n]` float32 or float64 logits; -inf means never chosen.
      f: maps points `[S, ..., n]` to losses `[S, ...]`, samples and rows independent. It is called more than once.
      k: static, 0 <= k <= n.
      estimator: as in `sample`.
      samples: S >= 1, raised to the estimator's minimum; None for 1.
      state: of an estimator that has one; `init_state` makes the first.
      params: as in `sample`.
      **more_params: as in `sample`.

    Returns:
      `[...]`, or `(loss, state)` for an estimator with state. Apply jit to the training step that calls this function,
      since a new f would be compiled at each call.

    Raises:
      TypeError: an argument has a wrong type.
      ValueError: invalid arguments, f returns another shape, or no state for an estimator that has one.
    """
    record = _layer.find_estimator(estimator)
    resolved = _layer.check_settings(record, k, samples, params, more_params)
    ops = _ops(theta, k)
    value, state = _layer.loss(
        record,
        ops,
        theta,
        f,
        ops.draw(key),
        k=k,
        samples=samples or 1,
        params=resolved,
        state=_flat(record, state, theta),
    )
    if record.initial_state is None:
        return value
    return value, {name: array.reshape(theta.shape[:-1]) for name, array in state.items()}


def init_state(theta: Array, estimator: str | Estimator) -> Any:
    """Returns the first state of an estimator for the rows of theta.

    Args:
      theta: `[..., n]` logits.
      estimator: as in `sample`.

    Returns:
      name -> array `[...]`; None for an estimator without state.
    """
    record = _layer.find_estimator(estimator)
    if record.initial_state is None:
        return None
    return record.initial_state(_ops(theta, 0), theta)


def most_likely(theta: Array, *, k: int) -> Array:
    """Returns the most likely subset, the k largest of theta `[..., n]`, without a gradient; for evaluating a model."""
    return _layer.most_likely(_ops(theta, k), theta, k)


def _ops(theta: Array, k: int) -> Ops:
    """Returns the backend of theta, after checking theta and k."""
    if not isinstance(theta, jax.Array):
        raise TypeError(f"theta is a {type(theta).__name__}, not a jax.Array: pass jnp.asarray(theta)")
    if str(theta.dtype) not in ("float32", "float64"):
        raise TypeError(
            f"theta has dtype {theta.dtype}; float32 and float64 are supported: pass theta.astype('float32')"
        )
    platform = "cuda" if jax.default_backend() == "gpu" else "cpu"
    ops = load(f"jax:{platform}", str(theta.dtype))
    subsets.check(ops, theta, k)
    return ops


def _flat(record: Estimator, state: Any, theta: Array) -> Any:
    """Returns the state with its leading axes flattened to `[B]`; None for an estimator without state."""
    if record.initial_state is None:
        return None
    if state is None:
        raise ValueError(
            f"{record.name} has a state: pass state=init_state(theta, {record.name!r}) first, and after that the state "
            "that expectation returns"
        )
    rows = theta[..., 0].size
    return {name: jax.numpy.broadcast_to(array, theta.shape[:-1]).reshape(rows) for name, array in state.items()}
