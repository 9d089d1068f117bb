"""The shape of every experiment: the user's choices become a plan, which is a list of cells of one kind."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from .. import backends
from ..results.cell import AnyCell, Effort
from .selectors import Selected, select

PRESETS = ("quick", "paper", "full")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The user's choices, from the command line or a TOML file. None stands for the experiment's default.

    Attributes:
      preset: one of `PRESETS`.
      estimators: `name` or `name[param=value,...]`, each. A bare name stands for its settings in the experiment.
      n, k, seeds, batch: axes of the grid: items, items chosen, seeds of problems, rows of theta.
      replicates: R, the number of estimates in a cell with sampled moments.
      samples: S, the number of samples that one estimate averages.
      objective: `name` or `name[extension=...]`.
      backends: `torch`, `jax:cpu`, ...
      dtype: `float32` or `float64`.
      mode: `eager`, `compiled`, or both.
    """

    preset: str | None = None
    estimators: tuple[str, ...] | None = None
    n: tuple[int, ...] | None = None
    k: tuple[int, ...] | None = None
    seeds: tuple[int, ...] | None = None
    replicates: int | None = None
    samples: int | None = None
    objective: str | None = None
    backends: tuple[str, ...] | None = None
    dtype: str | None = None
    batch: tuple[int, ...] | None = None
    mode: tuple[str, ...] | None = None

    def given(self) -> dict[str, Any]:
        """Returns the choices that were made."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}

    def over(self, defaults: Choices) -> Choices:
        """Returns these choices, and for all other options the choices of `defaults`."""
        return Choices(**(defaults.given() | self.given()))


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment.

    Attributes:
      experiment: the experiment.
      cells: its cells, all of its kind, in the order in which they are measured.
      skipped: the reasons for leaving out other cells, each with the estimator or size.
      effort: how precisely to measure; None for quality, where each cell has its number of replicates.
    """

    experiment: Experiment
    cells: tuple[AnyCell, ...]
    skipped: tuple[str, ...]
    effort: Effort | None


@dataclass(frozen=True, kw_only=True)
class Experiment(abc.ABC):
    """An experiment of one kind.

    Attributes:
      kind: one of `names.KINDS`.
      accepts: the fields of `Choices` that apply to this kind.
      name: id, as on the command line.
      summary: one sentence, for `list`.
      heading: of its section on the page.
      reading: how to read its figures, a sentence or two; stored with its rows.
      settings: estimator -> the selectors that its bare name stands for. Other estimators have default parameters.
      annotations: published numbers and remarks, as JSON data; stored with its rows.
    """

    kind: ClassVar[str]
    accepts: ClassVar[frozenset[str]]
    name: str
    summary: str
    heading: str
    reading: str
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    annotations: Sequence[Mapping[str, Any]] = ()

    def plan(self, choices: Choices) -> Plan:
        """Returns the cells under the user's choices.

        Raises:
          ValueError: a choice does not apply to this experiment or contradicts its definition, a name is unknown, or
            a value is out of range.
        """
        for name, value in choices.given().items():
            if name not in self.accepts:
                raise ValueError(
                    f"{name}={_as_written(value)}: {self.name} has no {name}: it measures {self.kind}; "
                    "see python -m benchmarks list experiments"
                )
        cells, skipped, effort = self._grid(choices, choices.preset or "paper")
        return Plan(self, tuple(dict.fromkeys(cells)), tuple(dict.fromkeys(skipped)), effort)

    @abc.abstractmethod
    def _grid(self, choices: Choices, preset: str) -> tuple[list[Any], list[str], Effort | None]:
        """Returns cells, reasons for what was left out, and effort; cells and reasons may repeat."""

    def selected(self, selectors: Iterable[str]) -> list[Selected]:
        """Returns the estimators of selectors, with this experiment's settings for bare names."""
        return select(setting for text in selectors for setting in self.settings.get(text, (text,)))


def _as_written(value: Any) -> str:
    """Returns the value of a choice as on the command line."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def parsed_backends(chosen: Sequence[str] | None) -> list[tuple[str, str]]:
    """Returns `(backend, device)` of the chosen backends, or of all installed ones if none is chosen.

    Raises:
      ValueError: a backend is unknown, or none is installed.
    """
    names = backends.installed() if chosen is None else chosen
    if not names:
        raise ValueError("no backend is installed: pip install 'subsetgrad[torch]' or 'subsetgrad[jax]'")
    return [backends.parse(name) for name in names]


def require_positive(option: str, values: Iterable[int]) -> None:
    """Raises ValueError if one of the values is below 1."""
    least = min(values, default=1)
    if least < 1:
        raise ValueError(f"{option} {least} is too small; it is at least 1")
