"""Experiments of cost: estimators at pairs of n and k, on every backend, dtype, batch and mode."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from subsetgrad import Estimator

from .. import backends
from ..cost.steps import MODES
from ..results import names, provenance
from ..results.cell import Effort, TimingCell
from .base import Choices, Experiment, parsed_backends, require_positive

BATCH = 64  # rows of theta in one step


@dataclass(frozen=True)
class Sweep:
    """The cells of one preset.

    Attributes:
      estimators: `name` or `name[param=value,...]`, each.
      sizes: pairs of n and k.
      effort: how precisely to measure.
      dtypes: `float32`, `float64`.
      other_modes_up_to: up to this n, every mode of a backend is timed; above it only the mode that its users run.
    """

    estimators: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    effort: Effort
    dtypes: tuple[str, ...] = ("float32",)
    other_modes_up_to: int = 0


@dataclass(frozen=True, kw_only=True)
class CostExperiment(Experiment):
    """An experiment of cost.

    Attributes:
      presets: name -> sweep.
      largest_n: estimator -> the largest n at which it is timed, and the reason.
    """

    kind = names.COST
    accepts: ClassVar = frozenset("preset estimators n k samples backends dtype batch mode".split())
    presets: Mapping[str, Sweep]
    largest_n: Mapping[str, tuple[int, str]]

    def _grid(self, choices: Choices, preset: str) -> tuple[list[TimingCell], list[str], Effort | None]:
        sweep = self.presets[preset]
        require_positive("-n", choices.n or ())
        require_positive("--batch", choices.batch or ())
        _check_modes(choices.mode or ())
        selected = self.selected(choices.estimators or sweep.estimators)
        environment = provenance.environment()
        cells: list[TimingCell] = []
        sizes, skipped = _sizes(sweep, choices)
        axes = itertools.product(
            sorted(sizes),
            choices.batch or (BATCH,),
            parsed_backends(choices.backends),
            (choices.dtype,) if choices.dtype else sweep.dtypes,
            MODES["torch"],
            selected,
        )
        # Small sizes come first. Estimators vary fastest, so that cells that are timed together follow each other.
        for (n, k), batch, (backend, device), dtype, mode, (name, record, params) in axes:
            if mode not in (choices.mode or MODES[backend][: 2 if n <= sweep.other_modes_up_to else 1]):
                continue
            reason = self._reason_to_skip(record, name, n, k, backend)
            if reason:
                skipped.append(reason)
                continue
            cells.append(
                TimingCell(
                    estimator=name,
                    params=params,
                    logits="normal",
                    n=n,
                    k=k,
                    seed=0,
                    samples=record.samples(choices.samples or 1),
                    batch=batch,
                    mode=mode,
                    threads=1,
                    backend=backend,
                    device=device,
                    dtype=dtype,
                    environment=environment,
                )
            )
        return cells, skipped, sweep.effort

    def _reason_to_skip(self, record: Estimator, name: str, n: int, k: int, backend: str) -> str:
        """Returns the reason for leaving a cell out; empty if there is none."""
        if not 1 <= k <= n / 2:
            return f"n={n} k={k}: {self.name} goes from k=1 to k=n/2; n − k items cost about what k do"
        try:
            backends.check(record, backend, n, k)
        except ValueError as error:
            return f"{name}: {error}"
        largest, why = self.largest_n.get(name, (n, ""))
        return f"{name}: n={n}: timed up to n={largest}, {why}" if n > largest else ""


def _check_modes(chosen: Iterable[str]) -> None:
    for mode in chosen:
        if mode not in MODES["torch"]:
            raise ValueError(f"--mode {mode!r} is not known; choose from {', '.join(MODES['torch'])}")


def _sizes(sweep: Sweep, choices: Choices) -> tuple[set[tuple[int, int]], list[str]]:
    """Returns the pairs of n and k, and reasons for values without a partner in the preset.

    If only one of the two is chosen, the other takes all values of the preset with k <= n/2.
    """
    if choices.n is None and choices.k is None:
        return set(sweep.sizes), []
    all_n = choices.n or tuple(n for n, _ in sweep.sizes)
    all_k = choices.k or tuple(k for _, k in sweep.sizes)
    pairs = set(itertools.product(all_n, all_k))
    if choices.n and choices.k:
        return pairs, []
    pairs = {(n, k) for n, k in pairs if 2 * k <= n}
    paired_n, paired_k = ({pair[axis] for pair in pairs} for axis in (0, 1))
    unpaired = [f"-n {n}: no k of the preset is at most n/2; give -k" for n in choices.n or () if n not in paired_n]
    unpaired += [f"-k {k}: no n of the preset is at least 2k; give -n" for k in choices.k or () if k not in paired_k]
    return pairs, unpaired
