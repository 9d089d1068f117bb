"""The `Ops` of jax. Only `ops.load` imports this module."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from . import Array, Ops


def custom_vjp(forward: Callable[..., Array], backward: Callable[..., Array]) -> Callable[..., Array]:
    """Returns `forward` with `backward` as its reverse-mode rule; see `Ops`."""

    @jax.custom_vjp
    def rule(theta: Array, *constants: Array) -> Array:
        return forward(theta, *constants)

    def rule_forward(theta: Array, *constants: Array) -> tuple[Array, tuple[Array, ...]]:
        out = forward(theta, *constants)
        return out, (theta, *constants, out)

    def rule_backward(saved: tuple[Array, ...], out_bar: Array) -> tuple[Array, ...]:
        return (backward(*saved, out_bar), *(jnp.zeros_like(constant) for constant in saved[1:-1]))

    rule.defvjp(rule_forward, rule_backward)
    return rule


def scan(
    body: Callable[..., tuple[Any, tuple[Array, ...]]], carry: Any, xs: tuple[Array, ...], reverse: bool = False
) -> tuple[Any, tuple[Array, ...]]:
    """Runs `body` over the leading axis of `xs`; see `Ops`."""
    result: tuple[Any, tuple[Array, ...]] = jax.lax.scan(body, carry, xs, reverse=reverse)
    return result


def while_loop(going: Callable[[Any], Array], body: Callable[[Any], Any], carry: Any, limit: int) -> Any:
    """Applies `body` until no entry of `going(carry)` is true; see `Ops`."""

    def condition(state: tuple[Array, Any]) -> Array:
        return (state[0] < limit) & jnp.any(going(state[1]))

    def step(state: tuple[Array, Any]) -> tuple[Array, Any]:
        return state[0] + 1, body(state[1])

    return jax.lax.while_loop(condition, step, (0, carry))[1]


def top_k_mask(scores: Array, k: int) -> Array:
    """Returns 1 at the k largest scores of each row; see `Ops`."""
    # lax.top_k is many times faster than a double argsort.
    indices = jax.lax.top_k(scores, k)[1]
    return jnp.put_along_axis(jnp.zeros_like(scores), indices, 1.0, axis=-1, inplace=False)


def make(device: str, dtype: str) -> Ops:
    """Returns the `Ops` for `device` and `dtype`."""
    try:
        jax_device = jax.devices("gpu" if device == "cuda" else device)[0]
    except RuntimeError as error:
        raise ValueError(f"backend 'jax:{device}' needs such a device, and jax finds none; use 'jax:cpu'") from error
    if dtype == "float64" and not jax.config.jax_enable_x64:
        raise ValueError(
            "dtype='float64' needs jax's 64-bit mode: call jax.config.update('jax_enable_x64', True) before the first "
            "use of jax, or choose dtype='float32'"
        )

    def asarray(array: Any) -> Array:
        if isinstance(array, jax.Array):
            return array.astype(dtype)
        return jax.device_put(jnp.asarray(array, dtype=dtype), jax_device)

    def draw(key: Array) -> Callable[..., Array]:
        count = 0

        def primitive(name: str, shape: tuple[int, ...], parameter: float | None = None) -> Array:
            nonlocal count
            count += 1
            subkey = jax.random.fold_in(key, count)
            if name == "gamma":
                return jax.random.gamma(subkey, parameter, shape, dtype)
            return getattr(jax.random, name)(subkey, shape, dtype)

        return primitive

    return Ops(
        name=f"jax:{device}",
        dtype=dtype,
        xp=jnp,
        asarray=asarray,
        stop_gradient=jax.lax.stop_gradient,
        sigmoid=jax.nn.sigmoid,
        # By default, jax rounds the factors of float32 products to TF32 on GPUs that support it.
        matmul=partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST),
        complex=jax.lax.complex,
        jvp=jax.jvp,
        value_and_grad=lambda function, has_aux=False: jax.value_and_grad(function, has_aux=has_aux),
        custom_vjp=custom_vjp,
        scan=scan,
        while_loop=while_loop,
        # Not cached, because an array made inside jit belongs to that trace.
        constant=lambda build, *args: asarray(build(*args)),
        top_k_mask=top_k_mask,
        draw=draw,
        compile=jax.jit,
        block=jax.block_until_ready,
        is_array=lambda value: isinstance(value, jax.Array),
        is_concrete=lambda array: not isinstance(array, jax.core.Tracer),
    )
