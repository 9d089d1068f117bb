"""Runs experiments: computes the cells that have no valid result yet, and stores each as soon as it is computed."""

from __future__ import annotations

import datetime
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

import subsetgrad

from .. import backends, experiments
from ..cost import measure as cost
from ..experiments import settings
from ..experiments.base import Choices, Plan
from ..quality import measure as quality
from ..results import names, provenance, resume
from ..results.cell import AnyCell, Effort
from ..results.fingerprint import fingerprint
from ..results.outcome import Report
from ..results.store import Store
from .progress import Display, display

# Quality is measured first and cost last. Measuring cost pins the process to some cores, and jax starts its threads
# only once, for the cores allowed at that time: if cost came first, cells of quality could not use all cores.
_MEASURES: Mapping[str, Callable[..., Any]] = {names.QUALITY: quality.measure, names.COST: cost.measure}


def plans(selected: Sequence[str], choices: Choices) -> list[Plan]:
    """Returns one plan for each selected experiment or TOML file.

    If none is selected, returns the plans of the default experiments, with preset quick unless another is chosen.

    Raises:
      ValueError: an unknown name or option, or a choice that contradicts the experiment.
    """
    if not selected:
        return [experiment.plan(choices.over(Choices(preset="quick"))) for experiment in experiments.DEFAULT]
    planned = []
    for name in selected:
        in_file = Choices()
        if name.endswith(".toml"):
            name, in_file = settings.read(Path(name))
        planned.append(experiments.get(name).plan(choices.over(in_file)))
    return planned


def run(planned: Sequence[Plan], path: Path, *, dry_run: bool, force: bool, command: str) -> int:
    """Computes the cells that have no valid result in the store.

    Args:
      planned: what to compute.
      path: of the store.
      dry_run: list the cells that would be computed, and stop.
      force: recompute even cells that have a valid result.
      command: the command line, which is stored with the run.

    Returns:
      The exit status: 0; 1 if a cell failed; 130 if interrupted.

    Raises:
      ValueError: the plans have no cell, or the file is not a results store.
    """
    console = Console(stderr=True)
    cells: list[AnyCell] = list(dict.fromkeys(cell for plan in planned for cell in plan.cells))
    if not cells:
        reasons = "; ".join(reason for plan in planned for reason in plan.skipped)
        raise ValueError(f"nothing to compute: {reasons or 'no estimator, size or seed is left'}")
    for plan in planned:
        for reason in plan.skipped:
            console.print(f"{plan.experiment.name}: left out {reason}", highlight=False, markup=False)
    if dry_run and not path.exists():  # a dry run makes no file
        _announce(cells, cells, path, console, list_cells=True)
        return 0
    with Store(path) as store:
        efforts = _efforts(planned)
        fingerprints = {cell: fingerprint(cell) for cell in cells}
        missing = resume.cells_to_compute(cells, store, fingerprints, force=force, efforts=efforts)
        _announce(cells, missing, path, console, list_cells=dry_run)
        if dry_run:
            return 0
        for text in experiments.described():
            store.describe(*text)
        for plan in planned:
            store.enrol(plan.experiment.name, plan.cells)
        if not missing:
            return 0
        try:
            return 1 if _compute(missing, planned, efforts, store, console, fingerprints, command) else 0
        except KeyboardInterrupt:
            console.print("Interrupted. The computed cells are stored; the same command continues from there.")
            return 130


def _efforts(planned: Sequence[Plan]) -> dict[AnyCell, Effort]:
    """Returns how precisely to measure each cost cell; if several plans have the cell, the largest budget counts."""
    efforts: dict[AnyCell, Effort] = {}
    for plan in sorted(planned, key=lambda plan: plan.effort.budget_seconds if plan.effort else 0.0):
        if plan.effort:
            efforts |= dict.fromkeys(plan.cells, plan.effort)
    return efforts


def _announce(
    cells: Sequence[AnyCell], missing: Sequence[AnyCell], path: Path, console: Console, *, list_cells: bool
) -> None:
    """Prints how many cells are to be computed, and each of them if asked."""
    console.print(f"{len(cells)} cells, {len(cells) - len(missing)} stored in {path}, {len(missing)} to compute")
    if list_cells:
        for cell in missing:
            print(cell)


def _compute(
    missing: list[AnyCell],
    planned: Sequence[Plan],
    efforts: Mapping[AnyCell, Effort],
    store: Store,
    console: Console,
    fingerprints: Mapping[AnyCell, str],
    command: str,
) -> int:
    """Measures and stores the missing cells; returns how many failed."""
    run_id = uuid.uuid4().hex[:12]
    document = provenance.collect(command) | {"started": _now()}
    store.begin_run(run_id, document["started"], document)
    start = time.perf_counter()
    with display(console, missing) as shown:
        counts = _measure_and_store(missing, planned, efforts, store, fingerprints, run_id, command, shown)
    seconds = time.perf_counter() - start
    # The number of threads is known only once a framework is loaded.
    document |= {"seconds": round(seconds, 2), "threads": backends.threads(), "finished": _now()}
    store.finish_run(run_id, document)
    others = "".join(f", {counts[status]} {status}" for status in ("skipped", "failed") if counts[status])
    console.print(f"{counts['ok']} cells computed in {seconds:.1f} s{others}")
    return counts["failed"]


def _measure_and_store(
    missing: Sequence[AnyCell],
    planned: Sequence[Plan],
    efforts: Mapping[AnyCell, Effort],
    store: Store,
    fingerprints: Mapping[AnyCell, str],
    run_id: str,
    command: str,
    shown: Display,
) -> Counter[str]:
    """Measures and stores the missing cells, kind by kind; returns the number of cells with each status."""
    report = Report(notice=shown.print, doing=shown.show_activity, command=command)
    laws = {cell.estimator: subsetgrad.get(cell.estimator).law for cell in missing}
    counts: Counter[str] = Counter()
    remaining = set(missing)
    for kind, measure in _MEASURES.items():
        for plan in (plan for plan in planned if plan.experiment.kind == kind):
            cells = [cell for cell in plan.cells if cell in remaining and efforts.get(cell) == plan.effort]
            remaining.difference_update(cells)
            with closing(measure(cells, plan.effort, report)) as outcomes:  # ends the measurement if storing fails
                counts += resume.store_each(
                    outcomes, store, laws=laws, fingerprints=fingerprints, run=run_id, after_each=shown.advance
                )
    return counts


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
