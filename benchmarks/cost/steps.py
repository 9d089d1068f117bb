"""An estimator's work in one training step, as callables without arguments: sample, forward, total.

The clock, asv and pytest-benchmark all run these callables. Their inputs are on the device before the first call. Every
call draws new noise there, and returns when its arrays are computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from subsetgrad import Estimator, _layer
from subsetgrad.draws import raw_draws, resolve_draws
from subsetgrad.ops import Array, Ops

from .. import backends
from ..objectives import AFFINE
from . import compile_caches

# backend -> the modes in which its steps can run; the first is the usual one.
MODES: Mapping[str, tuple[str, ...]] = {"torch": ("eager", "compiled"), "jax": ("compiled", "eager")}
NAMES = ("sample", "forward", "total")


@dataclass(frozen=True)
class Build:
    """One compiled program: seconds of tracing and lowering, seconds of compiling, and the executable."""

    trace_seconds: float
    compile_seconds: float
    executable: Any


@dataclass(frozen=True)
class Steps:
    """Callables that each do one complete step and return its arrays once these are computed.

    Attributes:
      sample: draws noise on the device and returns the draws that `Estimator.estimate` receives; `{}` if the estimator
        declares none.
      forward: a forward pass as in training: the layer's sample, or `expectation` if gradients do not flow through a
        sample.
      total: forward and backward with a fixed cotangent; returns the sample or loss, and the gradient `[B, n]`.
      build: `(name) -> Build` of a jax program, which is compiled once, by this or by the first call of the step. None
        in the other modes: they compile during the first call, or not at all.
    """

    sample: Callable[[], Any]
    forward: Callable[[], Any]
    total: Callable[[], Any]
    build: Callable[[str], Build] | None = None


@dataclass(frozen=True)
class _Work:
    """The inputs of the steps, for both backends; see `steps`."""

    record: Estimator
    params: Mapping[str, Any]
    ops: Ops
    k: int
    samples: int
    seed: int
    theta: Array  # [B, n]
    c: Array  # [n], of the affine objective
    z_bar: Array  # [S, B, n], cotangent of a sample

    def f(self, z: Array) -> Array:
        """Returns the affine objective. It is as cheap as possible, so that the estimator dominates the cost."""
        return self.ops.xp.sum(z * self.c, axis=-1)

    @property
    def through_sample(self) -> bool:
        """Whether gradients flow through a sample."""
        return _layer.has_sample_path(self.record, self.k, self.params)

    def draws(self, key: Any, theta: Array) -> Mapping[str, Array]:
        rows, n = theta.shape
        declared = self.record.draws_for(self.k, self.params)
        raw = raw_draws(declared, self.ops.draw(key), self.ops.xp, samples=self.samples, rows=rows, n=n)
        return resolve_draws(declared, self.ops, theta, raw, self.f, k=self.k, params=self.params)


def steps(
    record: Estimator,
    params: Mapping[str, Any],
    ops: Ops,
    *,
    n: int,
    k: int,
    batch: int,
    samples: int = 1,
    seed: int = 0,
    mode: str,
) -> Steps:
    """Returns the steps of an estimator at logits `theta ~ N(0, 1)`, `[batch, n]`.

    Args:
      record, params: the estimator and its parameters; missing ones have their defaults.
      ops: the backend, with device and dtype.
      n, k, batch: items, items chosen, rows of theta.
      samples: samples averaged, raised to the estimator's minimum.
      seed: seed of logits, objective, cotangent and noise.
      mode: `eager` or `compiled`: op by op, or under torch.compile or jax.jit.

    The layer's check of theta's values is off, because a compiled program has none and on a GPU it would wait. torch's
    forward step keeps the arrays that a backward pass needs, as in training; jax's forward program does not.

    Raises:
      ValueError: an unknown mode, parameters out of range, or an n, k or backend that the estimator does not support.
    """
    backend, _ = ops.name.split(":")
    if mode not in MODES[backend]:
        raise ValueError(f"mode={mode!r} is not a mode of {backend}; choose {' or '.join(MODES[backend])}")
    backends.check(record, backend, n, k)
    rng = np.random.RandomState(seed)
    theta = ops.asarray(rng.randn(batch, n))
    c = ops.asarray(AFFINE.draw(rng, n)["c"])
    samples = record.samples(samples)
    z_bar = ops.asarray(rng.randn(samples, batch, n))
    work = _Work(record, record.resolve_params(params), ops, k, samples, seed, theta, c, z_bar)
    return _torch_steps(work, mode) if backend == "torch" else _jax_steps(work, mode)


def _torch_steps(work: _Work, mode: str) -> Steps:
    import torch

    from subsetgrad.torch import SubsetLayer

    theta = work.theta.clone().requires_grad_()
    constant = work.theta
    # A compiled graph can use the global generator only.
    generator = torch.Generator(theta.device).manual_seed(work.seed) if mode == "eager" else None
    module = SubsetLayer(
        work.record, work.k, samples=work.samples, validate=False, generator=generator, params=dict(work.params)
    )

    def draw(logits: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return work.draws(generator, logits)

    def apply(logits: torch.Tensor) -> torch.Tensor:
        z: torch.Tensor = module(logits) if work.through_sample else module.expectation(logits, work.f)
        return z

    out_bar = work.z_bar if work.through_sample else torch.ones_like(theta[:, 0])
    drawing: Callable[[torch.Tensor], Any] = draw
    applying: Callable[[torch.Tensor], torch.Tensor] = apply
    if mode == "compiled":
        # A program for this size, as users get it at first: a program for all sizes may be slower.
        drawing, applying = (torch.compile(function, dynamic=False) for function in (draw, apply))

    def sample() -> Any:
        with torch.no_grad():
            return work.ops.block(drawing(constant))

    def forward() -> Any:
        return work.ops.block(applying(theta))

    def total() -> Any:
        out = applying(theta)
        return work.ops.block((out, *torch.autograd.grad(out, theta, out_bar)))

    return Steps(sample, forward, total)


def _jax_steps(work: _Work, mode: str) -> Steps:
    import jax

    record, ops, k = work.record, work.ops, work.k
    initial = None if record.initial_state is None else record.initial_state(ops, work.theta)
    out_bar = work.z_bar if work.through_sample else ops.xp.ones_like(work.theta[:, 0])
    settings: dict[str, Any] = {"k": k, "samples": work.samples, "params": work.params}

    def draw(key: Array, theta: Array, _: Array, __: Any) -> tuple[Array, Any]:
        key, key_of_call = jax.random.split(key)
        return key, work.draws(key_of_call, theta)

    def apply(key: Array, theta: Array, state: Any) -> Array:
        if work.through_sample:
            return _layer.sample(record, ops, theta, ops.draw(key), state=state, **settings)
        return _layer.loss(record, ops, theta, work.f, ops.draw(key), state=state, **settings)[0]

    def forward(key: Array, theta: Array, _: Array, state: Any) -> tuple[Array, Any]:
        key, key_of_call = jax.random.split(key)
        return key, apply(key_of_call, theta, state)

    def total(key: Array, theta: Array, out_bar: Array, state: Any) -> tuple[Array, Any]:
        key, key_of_call = jax.random.split(key)
        out, vjp = jax.vjp(lambda logits: apply(key_of_call, logits, state), theta)
        return key, (out, *vjp(ops.xp.broadcast_to(out_bar, out.shape)))

    programs: dict[str, Callable[..., tuple[Array, Any]]] = {"sample": draw, "forward": forward, "total": total}
    key = jax.device_put(jax.random.key(work.seed), next(iter(work.theta.devices())))
    inputs = (work.theta, out_bar, initial)

    @cache
    def build(name: str) -> Build:
        with compile_caches.no_jax_disk_cache():
            start = time.perf_counter()
            lowered = jax.jit(programs[name]).trace(key, *inputs).lower()
            traced = time.perf_counter()
            # Steps call the executable directly, because a jitted function would compile again. Both are equally fast.
            executable = lowered.compile()
            return Build(traced - start, time.perf_counter() - traced, executable)

    def step(name: str) -> Callable[[], Any]:
        next_key = key

        def call() -> Any:
            nonlocal next_key
            program = build(name).executable if mode == "compiled" else programs[name]
            next_key, out = program(next_key, *inputs)
            return ops.block(out)

        return call

    return Steps(step("sample"), step("forward"), step("total"), build if mode == "compiled" else None)
