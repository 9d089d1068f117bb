"""`Ops`: what an algorithm needs and the array-API standard lacks, and `load`, which makes one per backend and dtype.

An algorithm is written once, in terms of the namespace `ops.xp` and of these functions. No framework is imported
before `load` asks for it.
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


@dataclass(frozen=True, eq=False)  # by identity: a key of caches
class Ops:
    """One backend at one dtype, as a record of functions.

    Attributes:
      name: `backend:device`, one of `BACKENDS`.
      dtype: `float32` or `float64`, the dtype of every array made here.
      xp: the array-API namespace.
      asarray: `(array) -> array` of this backend, device and dtype; native arrays of that kind pass through.
      stop_gradient: `(array) -> array`, a constant to both modes of differentiation.
      sigmoid: `(array) -> array`, with derivative 0, not NaN, at ±inf, to any order.
      matmul: `(a, b) -> a @ b` in the precision of the dtype, under `torch.autocast`, too; only
        `torch.set_float32_matmul_precision` lowers it.
      complex: `(real, imaginary) -> array` of the complex dtype of that precision.
      jvp: `(function, primals, tangents) -> (value, tangent)`; primals and tangents are tuples.
      value_and_grad: `(function, has_aux=False) -> function` returning `(value, gradient)`, or
        `((value, aux), gradient)`; differentiates the first argument; nests.
      custom_vjp: `(forward, backward) -> function(theta, *constants)`, with `forward(theta, *constants) -> out` and
        `backward(theta, *constants, out, out_bar) -> theta_bar`; no gradient reaches the constants. Reverse mode only.
      scan: `(body, carry, xs, reverse=False) -> (carry, ys)` as `jax.lax.scan`; xs and ys are tuples of arrays.
      while_loop: `(going, body, carry, limit) -> carry`, body applied until no entry of `going(carry)` is true, at most
        `limit` times; not differentiated. torch waits for a GPU at each look.
      constant: `(build, *args) -> array` of the numpy array `build(*args)`; torch keeps the last 512 of them.
      top_k_mask: `(scores [..., n], k) -> [..., n]`, 1 at the k largest and 0 elsewhere; ties go to either, never both.
      draw: `(key) -> (primitive, shape, parameter=None) -> array`, device random numbers: `uniform` on [0, 1),
        `exponential`, `normal`, `gamma` (parameter: its shape). The key is a `torch.Generator` or None, or a jax key.
      compile: `(function) -> function`, `jax.jit` or the function itself.
      block: `(arrays) -> arrays`, returns once they are computed.
      is_array: `(value) -> bool`, whether it is an array of this backend.
      is_concrete: `(array) -> bool`, whether its values can be looked at: not under jit, vmap or grad.
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
    """Returns the `Ops` of a backend, importing its framework on the first call.

    Args:
      name: one of `BACKENDS`; a bare `torch` or `jax` means its CPU.
      dtype: `float32` or `float64`. jax needs its 64-bit mode for the latter; nothing here switches it on, since that
        is a global setting of the caller's program.

    Raises:
      ValueError: an unknown name or dtype, a device that is absent, float64 on jax without its 64-bit mode.
      ImportError: the framework is not installed.
    """
    if name in ("torch", "jax"):
        return load(f"{name}:cpu", dtype)
    if name not in BACKENDS:
        raise ValueError(f"name={name!r} is not a backend; choose one of {', '.join(BACKENDS)}")
    if dtype not in DTYPES:
        raise ValueError(f"dtype={dtype!r} is not supported; choose one of {', '.join(DTYPES)}")
    framework, device = name.split(":")
    missing = [part for part in _NEEDS[framework] if importlib.util.find_spec(part) is None]
    if missing:
        raise ImportError(f"backend {name!r} needs {' and '.join(missing)}: pip install 'subsetgrad[{framework}]'")
    module = importlib.import_module(f"subsetgrad.ops.{framework}")
    ops: Ops = module.make(device, dtype)
    return ops


def compiled(function: Function) -> Function:
    """Returns `function(ops, theta, k, ...)`, compiled as a whole where the backend compiles; k is static.

    Outside jit, jax compiles every operation on every new shape by itself: the first exact sample at n = 300 took 25 s
    so, and 1.9 s as a whole. Inside the user's own jit this changes nothing.
    """

    @wraps(function)
    def call(ops: Ops, theta: Array, k: Any, *args: Array, **kwargs: Array) -> Array:
        # The function says what is wrong; compiled by jax, it would see numpy's float64 as float32.
        if not isinstance(k, int) or not all(map(ops.is_array, (theta, *args, *kwargs.values()))):
            return function(ops, theta, k, *args, **kwargs)
        return _compiled(function, ops, k)(theta, *args, **kwargs)

    return cast("Function", call)


@lru_cache(maxsize=None, typed=True)  # typed: True is no k, though it equals 1
def _compiled(function: Callable[..., Array], ops: Ops, k: int) -> Callable[..., Array]:
    return ops.compile(lambda theta, *args, **kwargs: function(ops, theta, k, *args, **kwargs))


def index_dtype(ops: Ops) -> Any:
    """Returns the integer dtype of indices: int64, or int32 in jax without its 64-bit mode."""
    return ops.xp.__array_namespace_info__().default_dtypes()["integral"]


def index(ops: Ops, indices: Any) -> Array:
    """Returns the indices of a numpy array on the device; below 2^24 float32, through which they go, holds them."""
    return ops.xp.astype(ops.asarray(indices), index_dtype(ops))


_NEEDS = {"torch": ("torch", "array_api_compat"), "jax": ("jax",)}
