"""The k-subset layer for PyTorch models.

```python
import torch

from subsetgrad.torch import SubsetLayer

theta = torch.nn.Parameter(torch.tensor([[0.5, -1.0, 2.0, 0.0]]))  # one row of logits for 4 items
target = torch.tensor([1.0, 1.0, 0.0, 0.0])
layer = SubsetLayer("simple", k=2, samples=8)
optimizer = torch.optim.SGD([theta], lr=0.1)

z = layer(theta)  # [8, 1, 4], with exactly two ones in each row


def f(z):  # subsets [S, 1, 4] -> losses [S, 1]
    return ((z - target) ** 2).sum(dim=-1)


for _ in range(100):
    optimizer.zero_grad()
    layer.expectation(theta, f).sum().backward()
    optimizer.step()

layer.eval()
chosen = layer(theta)[0]  # the most likely subset, [[1, 1, 0, 0]]
```

`layer.expectation(theta, f)` works with every estimator. `layer(theta)` works with those that need no more of f than
its gradient at the sample, and fits inside `torch.nn.Sequential`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from . import _layer, subsets
from .base import Estimator
from .ops import BACKENDS, Ops, load

_DEVICES = tuple(backend.split(":")[1] for backend in BACKENDS if backend.startswith("torch:"))


class SubsetLayer(torch.nn.Module):
    """Chooses k of n items in each row, with the gradient of a named estimator.

    In training mode `layer(theta)` samples. In evaluation mode it returns the most likely subset, the k largest logits.

    Args:
      estimator: a name in `subsetgrad.ESTIMATORS`, `package.module:NAME`, or a record.
      k: items chosen, 0 <= k <= n.
      samples: None for one sample of theta's shape, or S for a leading axis of S samples.
      validate: whether to check the values of theta at each call. None checks on the CPU only, because the check makes
        the CPU wait for the GPU. Exact samples and marginals of more than 256 subsets wait for the GPU in any case, so
        an estimator that uses them cannot be captured in a CUDA graph.
      generator: the source of random numbers, on theta's device; None for torch's global one.
      params: parameters of the estimator; the others keep their defaults.
      **more_params: the same by keyword; a parameter with the name of an argument above must be given in `params`.

    The state of an estimator that has one is kept in buffers `state_*` and saved with the model. All rows share it: the
    new states of the rows are averaged after each step. It changes in training mode only.

    Raises:
      TypeError: k is no int.
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
        self.record = _layer.find_estimator(estimator)
        self.params = _layer.check_settings(self.record, k, samples, params, more_params)
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
          `[..., n]`, or `[S, ..., n]` if `samples` was given. The backward pass takes the cotangent of each sample for
          the gradient of f. If you average over rows or samples, that gradient is smaller by this factor, which
          matters to rules with a step size (I-MLE, SIMPLE-B); `expectation` gives them the gradient of f itself.

        Raises:
          TypeError: the estimator needs the objective (use `expectation`), or theta is no float tensor.
          ValueError: invalid theta, or theta on a device that is not supported.
        """
        ops = self._ops(theta)
        if not self.training:
            z = _layer.most_likely(ops, theta, self.k)
            return z if self.samples is None else z.expand(self.samples, *z.shape)
        with torch.cuda.device_of(theta):  # the GPU of theta, if there are several
            draw, settings = ops.draw(self.generator), self._settings(ops, theta)
            z = _layer.sample(self.record, ops, theta, draw, keep_state=self._keep_state, **settings)
        return z[0] if self.samples is None else z

    def expectation(self, theta: torch.Tensor, f: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Returns an estimate of E f(z), differentiable in theta (by the estimator) and in all that f depends on.

        Args:
          theta: `[..., n]` float32 or float64 logits; -inf means never chosen.
          f: maps points `[S, ..., n]` to losses `[S, ...]`, samples and rows independent. It is called more than
            once; estimators that need relaxed points call it on these. A layer in f that changes its buffers in
            training mode, such as batch normalisation, does not work under torch.func; put it in evaluation mode.

        Returns:
          `[...]`. Unlike `forward`, it samples in evaluation mode as well, but does not update the state there.

        Raises:
          TypeError: theta is no float tensor.
          ValueError: invalid theta, theta on a device that is not supported, or f returns another shape.
        """
        ops = self._ops(theta)
        with torch.cuda.device_of(theta):
            draw, settings = ops.draw(self.generator), self._settings(ops, theta)
            value, state = _layer.loss(self.record, ops, theta, f, draw, **settings)
        self._keep_state(state)
        return value

    def extra_repr(self) -> str:
        """Returns the estimator, k and the parameters, as `print(model)` shows them."""
        return ", ".join(
            [repr(self.record.name), f"k={self.k}", *(f"{name}={value!r}" for name, value in self.params.items())]
        )

    def _ops(self, theta: torch.Tensor) -> Ops:
        """Returns the backend of theta, after checking theta."""
        if not isinstance(theta, torch.Tensor):
            raise TypeError(f"theta is a {type(theta).__name__}, not a torch.Tensor: pass torch.as_tensor(theta)")
        if theta.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"theta has dtype {theta.dtype}; float32 and float64 are supported: pass theta.float()")
        if theta.device.type not in _DEVICES:
            raise ValueError(
                f"theta is on device '{theta.device}'; subset layers run on {' and '.join(_DEVICES)}: "
                "move theta there, for example with theta.to('cpu')"
            )
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
                buffer, rows = getattr(self, f"state_{name}"), state[name]
                # Only valid rows count; without any, the buffer keeps its value. `torch.where` and not `if`, which
                # would wait for the GPU.
                finite = rows.isfinite()
                mean = torch.where(finite, rows, 0.0).sum() / finite.sum()
                buffer.copy_(torch.where(finite.any(), mean, buffer.to(rows)))
