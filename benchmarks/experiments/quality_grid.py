"""Experiments of quality: a grid of estimators, sizes and seeds on one objective."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import subsetgrad

from .. import backends, objectives
from ..quality.moments import BATCHES
from ..results import names
from ..results.cell import Cell, Effort
from .base import Choices, Experiment, parsed_backends, require_positive
from .selectors import parse_selector


@dataclass(frozen=True, kw_only=True)
class QualityExperiment(Experiment):
    """An experiment of quality. By default it runs every estimator that is defined at one of its k.

    Attributes:
      n, k, seeds: axes of the grid.
      replicates: preset -> R, where moments are sampled.
      objective: `name` or `name[extension=...]`.
      dtype, logits: as in a cell.
      fixed: the axes that define this experiment and cannot be overridden.
    """

    kind = names.QUALITY
    accepts: ClassVar = frozenset("preset estimators n k seeds replicates samples objective backends dtype".split())
    n: tuple[int, ...]
    k: tuple[int, ...]
    seeds: tuple[int, ...]
    replicates: Mapping[str, int]
    objective: str = "distance"
    dtype: str = "float64"
    logits: str = "normal"
    fixed: frozenset[str] = frozenset()

    @property
    def estimators(self) -> tuple[str, ...]:
        """The names that run by default."""
        return tuple(record.name for record in subsetgrad.ESTIMATORS if record.k == "any" or record.k in self.k)

    def _grid(self, choices: Choices, preset: str) -> tuple[list[Cell], list[str], Effort | None]:
        axes = {axis: getattr(choices, axis) or getattr(self, axis) for axis in ("n", "k", "seeds")}
        self._refuse_fixed(axes)
        _check_ranges(axes)
        replicates = choices.replicates or self.replicates[preset]
        if replicates < 2 * BATCHES or replicates % BATCHES:
            raise ValueError(f"--replicates {replicates} is not a multiple of {BATCHES} and at least {2 * BATCHES}")
        objective, extension = _objective(self.objective if choices.objective is None else choices.objective)
        selected = self.selected(choices.estimators or self.estimators)
        cells, skipped = [], []
        grid = itertools.product(parsed_backends(choices.backends), *axes.values())
        # Estimators vary fastest, so that consecutive cells share the noise of their problem.
        for ((backend, device), n, k, seed), (name, record, params) in itertools.product(grid, selected):
            try:
                backends.check(record, backend, n, k)
            except ValueError as reason:
                skipped.append(f"{name}: {reason}")
                continue
            cells.append(
                Cell(
                    estimator=name,
                    params=params,
                    objective=objective,
                    extension=extension,
                    logits=self.logits,
                    n=n,
                    k=k,
                    seed=seed,
                    samples=record.samples(choices.samples or 1),
                    replicates=replicates,
                    backend=backend,
                    device=device,
                    dtype=choices.dtype or self.dtype,
                )
            )
        return cells, skipped, None

    def _refuse_fixed(self, axes: Mapping[str, Any]) -> None:
        for axis in sorted(self.fixed):
            chosen, defined = (",".join(map(str, values)) for values in (axes[axis], getattr(self, axis)))
            if chosen != defined:
                raise ValueError(
                    f"{axis}={chosen}: {self.name} has {axis}={defined} by definition; "
                    "use the experiment sweep for others"
                )


def _check_ranges(axes: Mapping[str, tuple[int, ...]]) -> None:
    require_positive("-n", axes["n"])
    for seed in axes["seeds"]:
        if not 0 <= seed < 2**32:
            raise ValueError(f"--seeds {seed} is outside [0, {2**32 - 1}]")


def _objective(text: str) -> tuple[str, str]:
    """Returns the names of objective and extension in `name` or `name[extension=...]`."""
    name, options = parse_selector(text)
    objective = objectives.get(name)
    unknown = sorted(set(options) - {"extension"})
    if unknown:
        raise ValueError(f"objective {name} has no option {unknown[0]!r}; it has: extension")
    return name, objective.extension(options.get("extension", ""))
