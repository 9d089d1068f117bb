"""`Ops`, the functions that the array-API standard lacks, and `load`, which returns them for a backend and a dtype.

An algorithm is written once, with the namespace `ops.xp` and the functions of `Ops`. A framework is imported only when
`load` is called for it.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache, wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])
Array = Any  # a torch.Tensor or a jax.Array; shapes are in the docstrings

BACKENDS = ("torch:cpu", "torch:cuda", "jax:cpu", "jax:cuda")
DTYPES = ("float32", "float64")


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, since caches use it as a key
class Ops:
    """The functions of one backend for one dtype.

    Attributes:
      name: `backend:device`, one of `BACKENDS`.
      dtype: `float32` or `float64`, the dtype of every array made here.
      xp: the array-API namespace.
      asarray: `(array) -> array` of this backend, device and dtype; an array that has all three is returned as it is.
      stop_gradient: `(array) -> array`, the same values as a constant, in forward and reverse mode.
      sigmoid: `(array) -> array`; derivatives of any order are 0 at ±inf, not NaN.
      matmul: `(a, b) -> a @ b` in the full precision of the dtype, also under `torch.autocast`. Only
        `torch.set_float32_matmul_precision` lowers it.
      complex: `(real, imaginary) -> array` of the complex dtype of the same precision.
      jvp: `(function, primals, tangents) -> (value, tangent)`; primals and tangents are tuples.
      value_and_grad: `(function, has_aux=False) -> function` that returns `(value, gradient)`, or
        `((value, aux), gradient)`. The gradient is in the first argument. Calls can be nested.
      custom_vjp: `(forward, backward) -> function(theta, *constants)`, with `forward(theta, *constants) -> out` and
        `backward(theta, *constants, out, out_bar) -> theta_bar`. Constants get no gradient. Reverse mode only.
      scan: `(body, carry, xs, reverse=False) -> (carry, ys)` as in `jax.lax.scan`; xs and ys are tuples of arrays.
      while_loop: `(going, body, carry, limit) -> carry`, applies body until no entry of `going(carry)` is true, but at
        most `limit` times. It is not differentiable. torch waits for the GPU at each step.
      constant: `(build, *args) -> array`, the numpy array `build(*args)` on the device; torch keeps the last 512 of
        them.
      top_k_mask: `(scores [..., n], k) -> [..., n]`, exactly k ones, at the largest scores, and zeros elsewhere. Ties
        are broken arbitrarily.
      draw: `(key) -> (primitive, shape, parameter=None) -> array`, random numbers on the device: `uniform` on [0, 1),
        `exponential`, `normal`, and `gamma`, whose shape is the parameter. The key is a `torch.Generator` or None, or a
        jax key.
      compile: `(function) -> function`, `jax.jit` on jax and the function itself on torch.
      block: `(arrays) -> arrays`, waits until they are computed.
      is_array: `(value) -> bool`, whether the value is an array of this backend.
      is_concrete: `(array) -> bool`, whether its values can be read, which is not so under jit, vmap or grad.
    """

    name: str
    dtype: str
    xp: Any
    asarray: Callable[..., Array]
    stop_gradient: Callable[[Array], Array]
    sigmoid: Callable[[Array], Array]
    matmul: Callable[[Array, Array], Array]
    complex: Callable[[Array, Array], Array]
    jvp: Callable[..., tuple[Array, Array]]
    value_and_grad: Callable[..., Callable[..., tuple[Any, Array]]]
    custom_vjp: Callable[..., Callable[..., Array]]
    scan: Callable[..., tuple[Any, Any]]
    while_loop: Callable[..., Any]
    constant: Callable[..., Array]
    top_k_mask: Callable[[Array, int], Array]
    draw: Callable[[Any], Callable[..., Array]]
    compile: Callable[[Callable[..., Any]], Callable[..., Any]]
    block: Callable[[Any], Any]
    is_array: Callable[[Any], bool]
    is_concrete: Callable[[Array], bool]


@cache
def load(name: str = "torch:cpu", dtype: str = "float64") -> Ops:
    """Returns the `Ops` of a backend. The first call imports its framework.

    Args:
      name: one of `BACKENDS`; `torch` or `jax` alone means its CPU.
      dtype: `float32` or `float64`. jax needs its 64-bit mode for float64. This function does not switch it on, because
        it is a global setting of the caller's program.

    Raises:
      ValueError: an unknown name or dtype, a device that is not there, or float64 on jax without its 64-bit mode.
      ImportError: the framework is not installed.
    """
    if name in ("torch", "jax"):
        return load(f"{name}:cpu", dtype)
    if name not in BACKENDS:
        raise ValueError(f"name={name!r} is not a backend; choose one of {', '.join(BACKENDS)}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} is not supported; choose one of {', '.join(DTYPES)}")
    framework, device = name.split(":")
    missing = [package for package in _NEEDS[framework] if importlib.util.find_spec(package) is None]
    if missing:
        raise ImportError(f"backend {name!r} needs {' and '.join(missing)}: pip install 'subsetgrad[{framework}]'")
    module = importlib.import_module(f"subsetgrad.ops.{framework}")
    ops: Ops = module.make(device, dtype)
    return ops


def compiled(function: Function) -> Function:
    """Returns `function(ops, theta, k, ...)`, compiled as one program where the backend compiles; k is static.

    Outside jit, jax compiles each operation separately for each new shape, which takes about ten times as long as one
    program. Inside the user's own jit this changes nothing.
    """

    @wraps(function)
    def call(ops: Ops, theta: Array, k: Any, *args: Array, **kwargs: Array) -> Array:
        # Invalid arguments go to the plain function, which raises the error. `jax.jit` would turn a numpy array of
        # float64 into float32 before the function could refuse it.
        if not isinstance(k, int) or not all(map(ops.is_array, (theta, *args, *kwargs.values()))):
            return function(ops, theta, k, *args, **kwargs)
        return _compiled(function, ops, k)(theta, *args, **kwargs)

    return cast("Function", call)


@lru_cache(maxsize=None, typed=True)  # typed, because True == 1, but True is not a valid k
def _compiled(function: Callable[..., Array], ops: Ops, k: int) -> Callable[..., Array]:
    """Returns the compiled function of `theta, *args` for one k."""
    return ops.compile(lambda theta, *args, **kwargs: function(ops, theta, k, *args, **kwargs))


def index_dtype(ops: Ops) -> Any:
    """Returns the integer dtype of indices: int64, or int32 in jax without its 64-bit mode."""
    return ops.xp.__array_namespace_info__().default_dtypes()["integral"]


def index(ops: Ops, indices: Any) -> Array:
    """Returns integer indices of a numpy array as an array of the backend.

    They are converted through the dtype of `ops`; float32 is exact up to 2^24.
    """
    return ops.xp.astype(ops.asarray(indices), index_dtype(ops))


_NEEDS = {"torch": ("torch", "array_api_compat"), "jax": ("jax",)}
