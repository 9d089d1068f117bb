"""The sweeps of time as data: what is timed at which sizes, and how a user's choices change it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from subsetgrad import Estimator

from .. import backends
from ..cost.steps import MODES
from ..results import provenance
from ..results.cell import Effort, TimingCell
from ..results.names import COST
from .base import refuse_below_one, resolve, split_selectors

BATCH = 64  # rows of theta in one step


@dataclass(frozen=True)
class Sweep:
    """What one preset times.

    Attributes:
      estimators: `name` or `name[param=value,...]`.
      sizes: pairs of n and k.
      dtypes: `float32`, `float64`.
      effort: how well.
      other_modes_up_to: at up to this n, every mode of a backend is timed, above it only that of its users.
    """

    estimators: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    effort: Effort
    dtypes: tuple[str, ...] = ("float32",)
    other_modes_up_to: int = 0


@dataclass(frozen=True)
class ClockExperiment:
    """What to time.

    Attributes:
      name: id, as on the command line.
      summary: one sentence, for `list`.
      presets: name -> sweep.
      largest_n: estimator -> the largest n at which it is timed, and why.
      heading, reading: title of the experiment's section on the page, and how to read its figures.
      annotations: entries for the page, as JSON data: `highlight`, the estimators drawn in colour; `comparison`, an
        estimator and its baselines by name, of each the first that was timed; `complexity`, stated of an algorithm.
    """

    kind: ClassVar[str] = COST
    name: str
    summary: str
    presets: Mapping[str, Sweep]
    largest_n: Mapping[str, tuple[int, str]]
    heading: str = ""
    reading: str = ""
    annotations: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class ClockPlan:
    """The cells of an experiment, what was left out with the reason, and how well to measure."""

    experiment: str
    cells: tuple[TimingCell, ...]
    skipped: tuple[str, ...]
    effort: Effort


def clock_plan(
    experiment: ClockExperiment,
    preset: str,
    backend_names: Sequence[str],
    *,
    estimators: Sequence[str] | None = None,
    n: Sequence[int] | None = None,
    k: Sequence[int] | None = None,
    samples: int | None = None,
    batch: Sequence[int] | None = None,
    dtype: str | None = None,
    mode: str | None = None,
) -> ClockPlan:
    """Returns the cells, small sizes first, with a user's choices in the place of the preset's.

    Args:
      experiment, preset: what to time.
      backend_names: where.
      estimators, dtype: in the place of the preset's.
      batch: rows of theta, `BATCH` if left out.
      n, k: one of them keeps the preset's values of the other, in so far as k <= n/2.
      samples: S, 1 if left out.
      mode: `eager`, `compiled` or both, with a comma; at any n.

    Raises:
      ValueError: an unknown estimator, parameter, backend or mode, or a size out of range.
    """
    sweep = experiment.presets[preset]
    refuse_below_one("-n", n or ())
    refuse_below_one("--batch", batch or ())
    known = MODES["torch"]
    modes = split_selectors([mode or ""])
    for name in modes:
        if name not in known:
            raise ValueError(f"--mode {name!r} is not known; choose from {', '.join(known)}")
    chosen = resolve(estimators or sweep.estimators)
    environment = provenance.environment()
    cells: list[TimingCell] = []
    sizes, skipped = _sizes(sweep, n, k)
    axes = itertools.product(
        sorted(sizes),
        batch or (BATCH,),
        [backends.parse(name) for name in backend_names],
        (dtype,) if dtype else sweep.dtypes,
        known,
        chosen,
    )
    for (items, choices), rows, (backend, device), kind, how, (name, record, params) in axes:
        if how not in (modes or MODES[backend][: 2 if items <= sweep.other_modes_up_to else 1]):
            continue
        if not 1 <= choices <= items / 2:
            skipped.append(
                f"n={items} k={choices}: {experiment.name} goes from k=1 to k=n/2; n − k items cost about what k do"
            )
            continue
        reason = _reason(experiment, record, name, items, choices, backend)
        if reason:
            skipped.append(f"{name}: {reason}")
            continue
        cells.append(
            TimingCell(
                estimator=name,
                params=params,
                logits="normal",
                n=items,
                k=choices,
                seed=0,
                samples=record.samples(samples or 1),
                batch=rows,
                mode=how,
                threads=1,
                backend=backend,
                device=device,
                dtype=kind,
                environment=environment,
            )
        )
    return ClockPlan(experiment.name, tuple(dict.fromkeys(cells)), tuple(dict.fromkeys(skipped)), sweep.effort)


def _sizes(sweep: Sweep, n: Sequence[int] | None, k: Sequence[int] | None) -> tuple[set[tuple[int, int]], list[str]]:
    """Returns the preset's pairs, or the product of the chosen axes, with what the preset has no partner for.

    A k that was not asked for is at most n/2, an n that was not asked for at least 2k.
    """
    if n is None and k is None:
        return set(sweep.sizes), []
    pairs = itertools.product(n or [size for size, _ in sweep.sizes], k or [choice for _, choice in sweep.sizes])
    if n and k:
        return set(pairs), []
    found = {(items, choices) for items, choices in pairs if 2 * choices <= items}
    lonely = [
        f"-n {items}: no k of the preset is at most n/2; give -k" for items in n or () if items not in dict(found)
    ]
    taken = {choices for _, choices in found}
    lonely += [
        f"-k {choices}: no n of the preset is at least 2k; give -n" for choices in k or () if choices not in taken
    ]
    return found, lonely


def _reason(experiment: ClockExperiment, record: Estimator, name: str, n: int, k: int, backend: str) -> str:
    """Returns why a cell is left out, or nothing."""
    try:
        backends.check(record, backend, n, k)
    except ValueError as error:
        return str(error)
    largest, why = experiment.largest_n.get(name, (n, ""))
    return f"n={n}: timed up to n={largest}, {why}" if n > largest else ""
