"""The `Ops` of torch. Only `ops.load` imports this module."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch

from . import Array, Ops


class _Rule(torch.autograd.Function):
    """A function with its reverse-mode rule. One class serves all functions, because making a class takes time."""

    # The transforms of torch.func accept only a function with `setup_context` and a vmap rule.
    generate_vmap_rule = True

    @staticmethod
    def forward(forward: Callable[..., Array], backward: Callable[..., Array], *inputs: Array) -> Array:
        del backward  # `setup_context` saves it
        output = forward(*inputs)
        # If the output is one of the inputs, only a view of it can be saved for the backward pass.
        return output.view_as(output) if any(output is given for given in inputs) else output

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Array) -> None:
        ctx.rule = inputs[1]
        ctx.save_for_backward(*inputs[2:], output)

    @staticmethod
    def backward(ctx: Any, out_bar: Array) -> tuple[Array | None, ...]:
        saved = ctx.saved_tensors
        return (None, None, ctx.rule(*saved, out_bar), *([None] * (len(saved) - 2)))


def custom_vjp(forward: Callable[..., Array], backward: Callable[..., Array]) -> Callable[..., Array]:
    """Returns `forward` with `backward` as its reverse-mode rule; see `Ops`."""
    return partial(_Rule.apply, forward, backward)


def value_and_grad(function: Callable[..., Any], has_aux: bool = False) -> Callable[..., tuple[Any, Array]]:
    """Returns a function of the same arguments that returns `(value, gradient)`; see `Ops`."""
    # Inside another derivative, torch.autograd.grad would silently cut the outer graph; torch.func does not.
    differentiated = torch.func.grad_and_value(function, has_aux=has_aux)

    def call(*args: Any) -> tuple[Any, Array]:
        gradient, value = differentiated(*args)
        return value, gradient

    return call


def scan(
    body: Callable[..., tuple[Any, tuple[Array, ...]]], carry: Any, xs: tuple[Array, ...], reverse: bool = False
) -> tuple[Any, tuple[Array, ...]]:
    """Runs `body` over the leading axis of `xs`; see `Ops`."""
    steps = list(zip(*(torch.unbind(x) for x in xs), strict=True))
    outputs = []
    for step in reversed(steps) if reverse else steps:
        carry, output = body(carry, step)
        outputs.append(output)
    if reverse:
        outputs.reverse()
    return carry, tuple(torch.stack(column) for column in zip(*outputs, strict=True))


def while_loop(going: Callable[[Any], Array], body: Callable[[Any], Any], carry: Any, limit: int) -> Any:
    """Applies `body` until no entry of `going(carry)` is true; see `Ops`."""
    for _ in range(limit):
        if not bool(torch.any(_unwrapped(going(carry)))):  # under vmap, all mapped entries are considered together
            break
        carry = body(carry)
    return carry


def _unwrapped(array: Array) -> Array:
    """Returns the plain array inside the wrappers of the torch.func transforms that are being applied, if any."""
    while torch._C._functorch.is_functorch_wrapped_tensor(array):
        array = torch._C._functorch.get_unwrapped(array)
    return array


def top_k_mask(scores: Array, k: int) -> Array:
    """Returns 1 at the k largest scores of each row; see `Ops`."""
    # topk and scatter are many times faster than a double argsort.
    indices = torch.topk(scores, k, dim=-1).indices
    return torch.zeros_like(scores).scatter(-1, indices, 1.0)


def is_concrete(array: Array) -> bool:
    """Returns whether the values of an array can be read: not inside a torch.func transform or a compiled graph."""
    return not (torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(array))


def make(device: str, dtype: str) -> Ops:
    """Returns the `Ops` for `device` and `dtype`."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("backend 'torch:cuda' needs a CUDA device, and torch finds none; use 'torch:cpu'")
    torch_dtype = getattr(torch, dtype)

    def asarray(array: Any) -> Array:
        if isinstance(array, np.ndarray) and not array.flags.writeable:
            array = array.copy()  # torch would share the read-only memory, and warns about it
        return torch.as_tensor(array, dtype=torch_dtype, device=device)

    def matmul(a: Array, b: Array) -> Array:
        if not torch.is_autocast_enabled(device):
            return torch.matmul(a, b)
        with torch.autocast(device, enabled=False):  # autocast would round float32 to half precision
            return torch.matmul(a, b)

    @lru_cache(maxsize=512)
    def cached(gpu: int | None, build: Callable[..., np.ndarray], *args: Any) -> Array:
        del gpu  # part of the key, since each GPU needs its own copy
        # The array must also be usable in a later backward pass and outside the current transform.
        with torch.inference_mode(False):
            return _unwrapped(asarray(build(*args)))

    def constant(build: Callable[..., np.ndarray], *args: Any) -> Array:
        if torch.compiler.is_compiling():  # dynamo ignores an lru_cache, and warns about it
            return asarray(build(*args))
        return cached(torch.cuda.current_device() if device == "cuda" else None, build, *args)

    def draw(generator: torch.Generator | None) -> Callable[..., Array]:
        def primitive(name: str, shape: tuple[int, ...], parameter: float | None = None) -> Array:
            empty = torch.empty(shape, dtype=torch_dtype, device=device)
            if name == "uniform":
                return empty.uniform_(generator=generator)
            if name == "exponential":
                return empty.exponential_(generator=generator)
            if name == "normal":
                return empty.normal_(generator=generator)
            # torch.distributions.Gamma takes no generator; this is the function that it calls.
            return torch._standard_gamma(empty.fill_(parameter), generator=generator)

        return primitive

    def block(arrays: Any) -> Any:
        if device == "cuda":
            torch.cuda.synchronize()
        return arrays

    return Ops(
        name=f"torch:{device}",
        dtype=dtype,
        xp=xp,
        asarray=asarray,
        stop_gradient=torch.Tensor.detach,
        sigmoid=torch.sigmoid,
        matmul=matmul,
        complex=torch.complex,
        jvp=torch.func.jvp,
        value_and_grad=value_and_grad,
        custom_vjp=custom_vjp,
        scan=scan,
        while_loop=while_loop,
        constant=constant,
        top_k_mask=top_k_mask,
        draw=draw,
        compile=lambda function: function,
        block=block,
        is_array=lambda value: isinstance(value, torch.Tensor),
        is_concrete=is_concrete,
    )
