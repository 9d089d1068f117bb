"""The k-subset layer for PyTorch models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from . import _layer, subsets
from .base import Estimator
from .ops import Ops, load


class SubsetLayer(torch.nn.Module):
    """Chooses k of n items per row, with the gradient of a named estimator.

    In training mode `layer(theta)` samples; in evaluation mode it returns the most likely subset, top-k of theta.

    Args:
      estimator: a name of `subsetgrad.ESTIMATORS`, `package.module:NAME`, or a record.
      k: items chosen, 0 <= k <= n.
      samples: None for one sample of theta's shape, or S for a leading axis of S samples.
      validate: whether to check theta's values at each call; None checks on the CPU only, since the check waits for a
        GPU. Exact samples and marginals of more than 256 subsets wait for it in any case, in the search of their
        tilt: an estimator that uses them cannot be captured in a CUDA graph.
      generator: of random numbers, on theta's device; None for torch's global one.
      params: the estimator's parameters; the rest keep their defaults.
      **more_params: the same, by keyword; one that is named as an argument above goes into `params`.

    An estimator with state keeps one for all rows, in buffers `state_*`: a step's rows are averaged into the next. It
    moves in training mode only and is saved with the model.

    Raises:
      ValueError: unknown estimator or parameter, a parameter given twice, or a k the estimator is not defined for.
    """

    def __init__(
        self,
        estimator: str | Estimator,
        k: int,
        *,
        samples: int | None = None,
        validate: bool | None = None,
        generator: torch.Generator | None = None,
        params: Mapping[str, Any] | None = None,
        **more_params: Any,
    ) -> None:
        super().__init__()
        self.record, self.params = _layer.record_of(estimator, k, samples, params, more_params)
        self.k = k
        self.samples = samples
        self.validate = validate
        self.generator = generator
        self._state_names: tuple[str, ...] = ()
        if self.record.initial_state is not None:
            initial = self.record.initial_state(load("torch:cpu", "float32"), torch.zeros(1, max(k, 1)))
            self._state_names = tuple(initial)
            for name, value in initial.items():
                self.register_buffer(f"state_{name}", value[0])

    def forward(self, theta: torch.Tensor) -> torch.Tensor:
        """Returns k-hot samples with the estimator's backward pass, or relaxed ones for a relaxation.

        Args:
          theta: `[..., n]` float32 or float64 logits; -inf means never chosen.

        Returns:
          `[..., n]`, or `[S, ..., n]` if `samples` was given. The backward pass applies the estimator's rule to the
          cotangent as it arrives: a mean over rows outside reaches rules with a step size (I-MLE, SIMPLE-B) as a
          smaller gradient. `expectation` gives rules the gradient of f itself.

        Raises:
          TypeError: the estimator needs the objective; use `expectation`.
          ValueError: invalid theta.
        """
        ops = self._ops(theta)
        if not self.training:
            z = _layer.most_likely(ops, theta, self.k)
            return z if self.samples is None else z.expand(self.samples, *z.shape)
        with torch.cuda.device_of(theta):  # of several GPUs, the one that theta is on
            draw, settings = ops.draw(self.generator), self._settings(ops, theta)
            z = _layer.sample(self.record, ops, theta, draw, keep_state=self._keep_state, **settings)
        return z[0] if self.samples is None else z

    def expectation(self, theta: torch.Tensor, f: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Returns an estimate of E f(z), with the estimator's gradient to theta and f's own to what f closes over.

        Args:
          theta: `[..., n]` logits.
          f: maps points `[S, ..., n]` to losses `[S, ...]`, samples and rows independent. It is called more than
            once, on relaxed points by estimators that need them. A layer in f that changes its buffers in training
            mode (batch normalisation) does not work under torch.func; give it to f in evaluation mode.

        Returns:
          `[...]`. In evaluation mode too it samples (`forward` does not), but leaves a state as it is.

        Raises:
          ValueError: invalid theta, or f returns another shape.
        """
        ops = self._ops(theta)
        with torch.cuda.device_of(theta):
            draw, settings = ops.draw(self.generator), self._settings(ops, theta)
            value, state = _layer.loss(self.record, ops, theta, f, draw, **settings)
        self._keep_state(state)
        return value

    def extra_repr(self) -> str:
        """Returns what `print(model)` shows."""
        return ", ".join([repr(self.record.name), f"k={self.k}", *(f"{a}={b!r}" for a, b in self.params.items())])

    def _ops(self, theta: torch.Tensor) -> Ops:
        if not isinstance(theta, torch.Tensor):
            raise TypeError(f"theta is a {type(theta).__name__}, not a torch.Tensor")
        if theta.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"theta has dtype {theta.dtype}; pass theta.float(): float32 and float64 are supported")
        ops = load(f"torch:{theta.device.type}", str(theta.dtype).removeprefix("torch."))
        if self.validate or (self.validate is None and theta.device.type == "cpu"):
            subsets.check(ops, theta, self.k)
        return ops

    def _settings(self, ops: Ops, theta: torch.Tensor) -> dict[str, Any]:
        state = self._state(ops, theta)
        return {"k": self.k, "samples": self.samples or 1, "params": self.params, "state": state}

    def _state(self, ops: Ops, theta: torch.Tensor) -> dict[str, torch.Tensor] | None:
        if not self._state_names:
            return None
        rows = theta[..., 0].numel()
        return {name: ops.asarray(getattr(self, f"state_{name}")).expand(rows) for name in self._state_names}

    def _keep_state(self, state: dict[str, torch.Tensor] | None) -> None:
        if state is None or not self.training:
            return
        with torch.no_grad():
            for name in self._state_names:
                kept, rows = getattr(self, f"state_{name}"), state[name]
                # Rows that are invalid, or none at all, leave no trace; no look at the values, which would wait.
                finite = rows.isfinite()
                mean = torch.where(finite, rows, 0.0).sum() / finite.sum()
                kept.copy_(torch.where(finite.any(), mean, kept.to(rows)))
