"""Command line: `python -m reports build` and `python -m reports table EXPERIMENT`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd

    from .load import Results

_STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("results/subsetgrad.sqlite"),
    show_default=True,
    help="The results to read, as `python -m benchmarks run` wrote them.",
)

_ASV = Path(".asv/results")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Reads a results store and writes a page or a table."""


@main.command()
@_STORE
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("reports/_build/index.html"),
    show_default=True,
    help="The page to write: one file, which needs no network.",
)
@click.option(
    "--asv-results",
    type=click.Path(path_type=Path, file_okay=False),
    help="asv's results, for the history on the page.  [default: .asv/results, if there is one]",
)
def build(store: Path, out: Path, asv_results: Path | None) -> None:
    """Writes the page and prints its path."""
    results = _read(store)
    history = _history(asv_results)
    from . import page  # the drawing libraries take a second: not for --help, nor for an error message

    text = page.build(results, history, str(asv_results or _ASV))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _Stop(f"cannot write {out}: {error.strerror}") from error
    click.echo(out)


@main.command()
@click.argument("experiment")
@click.option(
    "--format", "style", type=click.Choice(["markdown", "latex", "csv"]), default="markdown", show_default=True
)
@_STORE
def table(experiment: str, style: str, store: Path) -> None:
    """Prints the leaderboard of EXPERIMENT, or its times at every size."""
    results = _read(store)
    known = sorted({*results.rows["experiment"], *results.timings["experiment"]})
    if experiment not in known:
        raise _Stop(f"{store} holds no {experiment!r}; it holds: {', '.join(known)}")
    from . import costs, tables, timing

    rows = results.rows[results.rows["experiment"] == experiment]
    if len(rows):
        click.echo(tables.printed(rows, style), nl=False)
        return
    timings = timing.choose(results.only(experiment))
    for other in timings.set_aside:
        click.echo(f"set aside: {other}", err=True)
    if timings.table.empty:
        raise _Stop(f"nothing of {experiment} was measured in {timings.place}: {timings.missing['reason'].iloc[0]}")
    click.echo(costs.printed(timings.table, costs.blocks(timings.table), style), nl=False)


def _history(folder: Path | None) -> pd.DataFrame | None:
    """Returns asv's results; None where there are none, unless the user named the folder."""
    from . import history, load

    try:
        return history.read(folder or _ASV)
    except load.StoreError as error:
        if folder is None and isinstance(error, history.NoResultsError):
            return None
        raise _Stop(str(error)) from error


def _read(store: Path) -> Results:
    from . import load

    try:
        return load.read(store)
    except load.StoreError as error:
        raise _Stop(str(error)) from error


class _Stop(click.ClickException):
    """Prints one line and ends with exit code 2."""

    exit_code = 2


if __name__ == "__main__":
    main(prog_name="python -m reports")
