"""Shows a run's progress: on a terminal a bar with the time left, elsewhere a line every 20 seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeElapsedColumn as _TimeElapsedColumn  # asv takes public names like Time* for benchmarks

from ..results.cell import AnyCell
from ..results.forecast import Forecast
from ..results.outcome import Outcome

_QUIET_SECONDS = 20  # between two lines if there is no terminal


class Display:
    """The progress of a run over some cells; made by `display`."""

    def __init__(self, progress: Progress, console: Console, cells: Sequence[AnyCell]) -> None:
        self._progress, self._console, self._forecast = progress, console, Forecast(cells)
        self._count = len(cells)
        self._task = progress.add_task("", total=len(cells), left="")
        self._last_line = time.perf_counter()

    def show_activity(self, text: str) -> None:
        """Shows the current activity next to the bar."""
        self._progress.update(self._task, description=text)

    def print(self, text: str) -> None:
        """Prints a line above the bar."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def advance(self, outcome: Outcome) -> None:
        """Counts a finished cell, and prints its reason if it failed or was skipped."""
        self._forecast.note(outcome)
        left = _duration(self._forecast.seconds_left())
        self._progress.update(self._task, advance=1, left=left)
        if outcome.status != "ok":
            self.print(f"{outcome.status}: {outcome.cell}\n  {outcome.reason}")
        now = time.perf_counter()
        if not self._console.is_terminal and now - self._last_line > _QUIET_SECONDS:
            self._last_line = now
            self.print(f"{self._progress.tasks[self._task].completed:.0f} of {self._count} cells, {left}")


@contextmanager
def display(console: Console, cells: Sequence[AnyCell]) -> Iterator[Display]:
    """Shows the progress of a run over `cells` until the block ends."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        _TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield Display(progress, console, cells)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s left" if minutes else f"{rest} s left"
