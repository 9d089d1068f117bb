"""Runs experiments: plans, progress with the time left, provenance."""

from __future__ import annotations

import datetime
import time
import tomllib
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeElapsedColumn as _TimeElapsedColumn  # asv takes public names like Time* for benchmarks

import subsetgrad

from .. import backends
from .. import experiments as catalogue
from ..cost import measure as cost
from ..experiments.base import (
    Experiment,
    Plan,
    parse_integers,
    plan,
    split_selectors,
)
from ..experiments.cost_sweep import ClockExperiment, ClockPlan, clock_plan
from ..quality import measure as quality
from ..results import provenance, resume
from ..results.cell import AnyCell, Cell, Effort
from ..results.fingerprint import fingerprint
from ..results.forecast import Forecast
from ..results.outcome import Outcome, Report
from ..results.store import Store

_QUIET_SECONDS = 20  # without a terminal, a line this often


def plans(names: Sequence[str], choices: Mapping[str, Any]) -> list[Plan | ClockPlan]:
    """Returns the plan of each named experiment or TOML file; of figure1 and figure3, preset quick, if none is named.

    Raises:
      ValueError: an unknown name or option, or a choice that contradicts the experiment.
    """
    preset = "paper" if names else "quick"
    found = []
    for name in names or ("figure1", "figure3"):
        options = dict(choices)
        experiment = name
        if name.endswith(".toml"):
            experiment, in_file = _read(Path(name))
            options = in_file | {key: value for key, value in choices.items() if value not in (None, ())}
        found.append(_plan(catalogue.get(experiment), options, preset))
    return found


def _plan(experiment: Experiment | ClockExperiment, options: Mapping[str, Any], preset: str) -> Plan | ClockPlan:
    options = dict(options)
    names = options.pop("backend_names", None)
    if names is not None and not split_selectors([names]):
        raise ValueError(f"--backend {names!r} names no backend")
    names = backends.installed() if names is None else split_selectors([names])
    if not names:
        raise ValueError("no backend is installed: pip install 'subsetgrad[torch]' or 'subsetgrad[jax]'")
    preset = options.pop("preset", None) or preset
    texts = options.get("estimators") or ()
    options["estimators"] = split_selectors(texts) or None
    if texts and not options["estimators"]:
        raise ValueError(f"-e {' '.join(texts)!r} names no estimator")
    if isinstance(experiment, ClockExperiment):
        _refuse(experiment.name, options, ("seeds", "replicates", "objective"), "it measures time")
        return clock_plan(experiment, preset, names, **options)
    _refuse(experiment.name, options, ("batch", "mode"), "it measures quality; scaling measures time")
    replicates = options.pop("replicates", None) or experiment.replicates[preset]
    return plan(experiment.adapt(**options), names, replicates)


def _refuse(experiment: str, options: dict[str, Any], foreign: Sequence[str], why: str) -> None:
    """Takes out the options that the experiment does not have; raises ValueError if one of them was chosen."""
    for name in foreign:
        value = options.pop(name, None)
        if value is not None:
            raise ValueError(f"{name}={value!r}: {experiment} has no {name}: {why}")


class Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a TOML file may say: an experiment and the options of the command line."""

    experiment: str = "sweep"
    preset: Literal["quick", "paper", "full"] | None = None
    estimators: list[str] = []
    n: list[int] | int | str | None = None
    k: list[int] | int | str | None = None
    seeds: list[int] | int | str | None = None
    replicates: Annotated[int, msgspec.Meta(ge=200)] | None = None
    samples: Annotated[int, msgspec.Meta(ge=1)] | None = None
    objective: str | None = None
    backend: str | None = None
    dtype: Literal["float32", "float64"] | None = None
    batch: list[int] | int | str | None = None
    mode: str | None = None


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """Returns the experiment's name and the options of a TOML file.

    Raises:
      ValueError: the file is no TOML, or says what `Settings` does not know.
    """
    try:
        settings = msgspec.toml.decode(path.read_bytes(), type=Settings)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    options = msgspec.structs.asdict(settings)
    for axis in ("n", "k", "seeds", "batch"):
        value = options[axis]
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            options[axis] = parse_integers(f"{path}: {axis}", text)
    options["backend_names"] = options.pop("backend")
    return options.pop("experiment"), options


def run(wanted: Sequence[Plan | ClockPlan], path: Path, *, dry_run: bool, force: bool, command: str) -> int:
    """Computes what is not stored yet.

    Returns:
      The exit status: 0; 1 if a cell failed; 130 if interrupted.
    """
    console = Console(stderr=True)
    cells: list[AnyCell] = list(dict.fromkeys(cell for one in wanted for cell in one.cells))
    if not cells:
        reasons = "; ".join(reason for one in wanted for reason in one.skipped)
        raise ValueError(f"nothing to compute: {reasons or 'no estimator, size or seed is left'}")
    for one in wanted:
        for reason in one.skipped:
            console.print(f"{one.experiment}: left out {reason}", highlight=False, markup=False)
    code = {cell: fingerprint(cell) for cell in cells}
    if dry_run and not path.exists():  # a look makes no file
        return _announce(cells, cells, path, console, show=True)
    with Store(path) as store:
        efforts = _efforts(wanted)
        missing = resume.cells_to_compute(cells, store, code, force=force, efforts=efforts)
        _announce(cells, missing, path, console, show=dry_run)
        if dry_run:
            return 0
        for text in catalogue.described():
            store.describe(*text)
        for one in wanted:
            store.enrol(one.experiment, one.cells)
        if not missing:
            return 0
        try:
            return 1 if _compute(missing, wanted, efforts, store, console, code, command) else 0
        except KeyboardInterrupt:
            console.print("Interrupted. What was computed is stored; the same command goes on from there.")
            return 130


def _efforts(wanted: Sequence[Plan | ClockPlan]) -> dict[AnyCell, Effort]:
    """Returns how well to measure each cell of time: by the largest budget, where several plans have it."""
    found: dict[AnyCell, Effort] = {}
    for one in (one for one in wanted if isinstance(one, ClockPlan)):
        for cell in one.cells:
            found[cell] = max(found.get(cell, one.effort), one.effort, key=lambda effort: effort.budget_seconds)
    return found


def _announce(cells: Sequence[AnyCell], missing: Sequence[AnyCell], path: Path, console: Console, *, show: bool) -> int:
    """Says how much there is to do, and shows each cell if asked; returns 0."""
    console.print(f"{len(cells)} cells, {len(cells) - len(missing)} stored in {path}, {len(missing)} to compute")
    if show:
        for cell in missing:
            print(cell)
    return 0


def _compute(
    missing: list[AnyCell],
    wanted: Sequence[Plan | ClockPlan],
    efforts: Mapping[AnyCell, Effort],
    store: Store,
    console: Console,
    code: Mapping[AnyCell, str],
    command: str,
) -> int:
    """Runs the missing cells under a progress bar; returns how many failed."""
    run_id = uuid.uuid4().hex[:12]
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    document = provenance.collect(command) | {"started": started}
    store.begin_run(run_id, started, document)
    begun = time.perf_counter()
    forecast = Forecast(missing)
    laws = {cell.estimator: subsetgrad.get(cell.estimator).law for cell in missing}
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        _TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(missing), left="")
        spoken = begun

        def show(outcome: Outcome) -> None:
            nonlocal spoken
            forecast.note(outcome)
            left = _left(forecast.seconds_left())
            progress.update(task, advance=1, left=left)
            if outcome.status != "ok":
                text = f"{outcome.status}: {outcome.cell}\n  {outcome.reason}"
                console.print(text, highlight=False, markup=False, soft_wrap=True)
            now = time.perf_counter()
            if not console.is_terminal and now - spoken > _QUIET_SECONDS:
                spoken = now
                console.print(f"{progress.tasks[task].completed:.0f} of {len(missing)} cells, {left}", highlight=False)

        def store_each(outcomes: Iterable[Outcome]) -> Counter[str]:
            return resume.store_each(outcomes, store, laws=laws, fingerprints=code, run=run_id, after_each=show)

        report = Report(
            notice=lambda text: console.print(text, highlight=False, markup=False),
            doing=lambda text: progress.update(task, description=text),
            command=command,
        )
        counts = store_each(quality.measure([cell for cell in missing if isinstance(cell, Cell)], None, report))
        untimed = set(missing)
        # Times last: jax starts its threads once, for all cores or, pinned, for those that are timed.
        for one in wanted:
            if not isinstance(one, ClockPlan):
                continue
            todo = [cell for cell in one.cells if cell in untimed and efforts[cell] == one.effort]
            untimed.difference_update(todo)
            with closing(cost.measure(todo, one.effort, report)) as timed:  # frees the lock even if storing fails
                counts += store_each(timed)
    seconds = time.perf_counter() - begun
    # Threads are known only once a framework is loaded.
    document |= {"seconds": round(seconds, 2), "threads": backends.threads()}
    document["finished"] = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    store.finish_run(run_id, document)
    others = "".join(f", {counts[status]} {status}" for status in ("skipped", "failed") if counts[status])
    console.print(f"{counts['ok']} cells computed in {seconds:.1f} s{others}")
    return counts["failed"]


def _left(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s left" if minutes else f"{rest} s left"
