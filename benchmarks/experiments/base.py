"""The sweeps as data: what an experiment runs, and how a user's choices change it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import subsetgrad

from .. import backends, objectives
from ..quality.moments import BATCHES
from ..results.cell import Cell
from ..results.names import QUALITY


@dataclass(frozen=True)
class Experiment:
    """What to run.

    Attributes:
      name: id, as on the command line.
      summary: one sentence, for `list`.
      estimators: `name` or `name[param=value,...]`, with this experiment's settings.
      n, k, seeds: axes of the grid.
      objective: `name` or `name[extension=...]`.
      replicates: per preset, R where moments are sampled.
      fixed: names of the options that would make it another experiment.
      samples, logits, dtype: as in a cell.
      heading, reading: title of the experiment's section on the page, and how to read its figures.
      annotations: entries for the page, as JSON data, stored with the published numbers: `reference` names estimators
        that are the exact gradient, and are not ranked.
    """

    kind: ClassVar[str] = QUALITY
    name: str
    summary: str
    estimators: tuple[str, ...]
    n: tuple[int, ...]
    k: tuple[int, ...]
    seeds: tuple[int, ...]
    replicates: dict[str, int]
    objective: str = "distance"
    samples: int = 1
    logits: str = "normal"
    dtype: str = "float64"
    fixed: frozenset[str] = field(default_factory=frozenset)
    heading: str = ""
    reading: str = ""
    annotations: tuple[Mapping[str, Any], ...] = ({"type": "reference", "estimators": ["exact_enum"]},)

    def adapt(self, **chosen: Any) -> Experiment:
        """Returns the experiment with the user's choices; None means not chosen.

        Raises:
          ValueError: a choice this experiment fixes.
        """
        given = {name: value for name, value in chosen.items() if value is not None}
        for name in sorted(self.fixed & set(given)):
            mine = getattr(self, name)
            if given[name] != mine:
                wanted, own = (",".join(map(str, v)) if isinstance(v, tuple) else v for v in (given[name], mine))
                raise ValueError(
                    f"{name}={wanted}: {self.name} has {name}={own} by definition; use the experiment sweep for others"
                )
        if "estimators" in given:
            given["estimators"] = tuple(itertools.chain.from_iterable(map(self._settings, given["estimators"])))
        return replace(self, **given)

    def _settings(self, wanted: str) -> tuple[str, ...]:
        """Returns this experiment's settings of a bare estimator name, or what is wanted as it is."""
        mine = tuple(entry for entry in self.estimators if entry.partition("[")[0] == wanted)
        return mine or (wanted,)


@dataclass(frozen=True)
class Plan:
    """The cells of an experiment, and what was left out with the reason."""

    experiment: str
    cells: tuple[Cell, ...]
    skipped: tuple[str, ...]


def plan(experiment: Experiment, backend_names: Sequence[str], replicates: int) -> Plan:
    """Returns the cells of `experiment` on each backend, in an order that shares noise between neighbours.

    Raises:
      ValueError: an unknown estimator, parameter, objective, extension or backend; seeds or replicates out of range.
    """
    if replicates < 2 * BATCHES or replicates % BATCHES:
        raise ValueError(f"--replicates {replicates} is not a multiple of {BATCHES} and at least {2 * BATCHES}")
    for seed in experiment.seeds:
        if not 0 <= seed < 2**32:
            raise ValueError(f"--seeds {seed} is outside [0, {2**32 - 1}]")
    refuse_below_one("-n", experiment.n)
    objective_name, options = parse_selector(experiment.objective)
    objective = objectives.get(objective_name)
    unknown = sorted(set(options) - {"extension"})
    if unknown:
        raise ValueError(f"objective {objective_name} has no option {unknown[0]!r}; it has: extension")
    extension = objective.extension(options.get("extension", ""))
    chosen = resolve(experiment.estimators)
    places = [backends.parse(name) for name in backend_names]
    cells: list[Cell] = []
    skipped: list[str] = []
    for (backend, device), n, k, seed in itertools.product(places, experiment.n, experiment.k, experiment.seeds):
        for name, record, params in chosen:
            try:
                backends.check(record, backend, n, k)
            except ValueError as reason:
                skipped.append(f"{name}: {reason}")
                continue
            cells.append(
                Cell(
                    estimator=name,
                    params=params,
                    objective=objective_name,
                    extension=extension,
                    logits=experiment.logits,
                    n=n,
                    k=k,
                    seed=seed,
                    samples=record.samples(experiment.samples),
                    replicates=replicates,
                    backend=backend,
                    device=device,
                    dtype=experiment.dtype,
                )
            )
    return Plan(experiment.name, tuple(dict.fromkeys(cells)), tuple(dict.fromkeys(skipped)))


def refuse_below_one(option: str, values: Iterable[int]) -> None:
    """Raises ValueError if one of the values is below 1."""
    least = min(values, default=1)
    if least < 1:
        raise ValueError(f"{option} {least} is too small; it is at least 1")


def resolve(selectors: Iterable[str]) -> list[tuple[str, subsetgrad.Estimator, tuple[tuple[str, Any], ...]]]:
    """Returns of each selector the name, the record, and all parameters as sorted pairs.

    Raises:
      ValueError: an unknown estimator or parameter, or a parameter out of range.
    """
    found = []
    for text in selectors:
        name, given = parse_selector(text)
        record = subsetgrad.get(name)
        found.append((name, record, tuple(sorted(record.resolve_params(given).items()))))
    return found


def parse_selector(text: str) -> tuple[str, dict[str, Any]]:
    """Returns `(name, options)` of `name` or `name[option=value,...]`.

    Raises:
      ValueError: it has another form.
    """
    name, bracket, rest = text.strip().partition("[")
    if not bracket:
        return name, {}
    if not rest.endswith("]"):
        raise ValueError(f"{text!r} is not of the form name[param=value,...]: the closing bracket is missing")
    options = {}
    for part in rest[:-1].split(","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ValueError(f"{text!r} is not of the form name[param=value,...]: look at {part!r}")
        options[key.strip()] = _value(value.strip())
    return name, options


def split_selectors(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the selectors in texts that may hold several, separated by commas or blanks outside brackets."""
    found = [""]
    depth = 0
    for character in " ".join(texts):
        depth += (character == "[") - (character == "]")
        if character in ", " and depth == 0:
            found.append("")
        else:
            found[-1] += character
    return tuple(filter(None, found))


def _value(text: str) -> Any:
    """Returns a bool, int or float if the text is one, else the text."""
    if text in ("true", "false", "True", "False"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def parse_integers(option: str, text: str) -> tuple[int, ...]:
    """Returns the integers of `8,10` or `0:10` (the end excluded), or of a mixture.

    Raises:
      ValueError: it has another form.
    """
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, colon, last = part.partition(":")
            numbers += range(int(first or 0), int(last)) if colon else [int(part)]
    except ValueError:
        raise ValueError(f"{option} {text!r} is not a list of whole numbers; write 8,10 or 0:10") from None
    if not numbers:
        raise ValueError(f"{option} {text!r} names no number")
    return tuple(dict.fromkeys(numbers))
