"""Command line: `python -m reports build`, `table EXPERIMENT` and `figure NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd

    from .data import Results

_STORE = click.option(
    "--store",
    type=click.Path(path_type=Path),
    default=Path("results/subsetgrad.sqlite"),
    show_default=True,
    help="The results to read, a file that `python -m benchmarks run` has written.",
)

_ASV = Path(".asv/results")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Reads a results store and writes a page, a table or a figure."""


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
    from . import page  # here, since importing the drawing libraries takes seconds that --help does not need

    _write(out, page.build(results, history, str(asv_results or _ASV)).encode())


@main.command()
@click.argument("experiment")
@click.option(
    "--format", "style", type=click.Choice(["markdown", "latex", "csv"]), default="markdown", show_default=True
)
@_STORE
def table(experiment: str, style: str, store: Path) -> None:
    """Prints the leaderboard of EXPERIMENT, or its times at every size."""
    results = _read(store)
    names = sorted({*results.rows["experiment"], *results.timings["experiment"]})
    if experiment not in names:
        raise _Stop(f"{store} holds no {experiment!r}; it holds: {', '.join(names)}")
    from .cost import tables, timings
    from .quality import board, leaderboard

    results = results.only(experiment)
    if len(results.rows):
        made = [leaderboard.leaderboard(each) for each in board.boards(results)]
        click.echo(leaderboard.printed(made, style), nl=False)
        return
    chosen = timings.choose(results)
    for other in chosen.set_aside:
        click.echo(f"set aside: {other}", err=True)
    if chosen.table.empty:
        raise _Stop(f"nothing of {experiment} was measured in {chosen.setup}: {chosen.missing['reason'].iloc[0]}")
    compared = timings.comparison(chosen.table, results.entries("comparison"))
    blocks = tables.blocks(chosen.table, list(compared.baselines.values()))
    click.echo(tables.printed(chosen.table, blocks, style), nl=False)


@main.command()
@click.argument("name")
@_STORE
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write: an SVG on a white background, or a PDF.",
)
def figure(name: str, store: Path, out: Path) -> None:
    """Writes one figure of the page and prints its path. NAME is its download on the page, without the ending."""
    results = _read(store)
    from . import page

    drawn = page.figures(results)
    if name not in drawn:
        raise _Stop(f"{store} gives no figure {name!r}; it gives: {', '.join(drawn) or 'none'}")
    if out.suffix not in (".svg", ".pdf"):
        raise _Stop(f"--out {out} ends neither in .svg nor in .pdf")
    _write(out, drawn[name].pdf_bytes if out.suffix == ".pdf" else drawn[name].on_white.encode())


def _write(out: Path, content: bytes) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(content)
    except OSError as error:
        raise _Stop(f"cannot write {out}: {error.strerror}") from error
    click.echo(out)


def _history(folder: Path | None) -> pd.DataFrame | None:
    """Returns asv's results; None where there are none, unless the user named the folder."""
    from .data import StoreError
    from .history import asv

    try:
        return asv.read(folder or _ASV)
    except StoreError as error:
        if folder is None and isinstance(error, asv.NoResultsError):
            return None
        raise _Stop(str(error)) from error


def _read(store: Path) -> Results:
    from . import data

    try:
        return data.read(store)
    except data.StoreError as error:
        raise _Stop(str(error)) from error


class _Stop(click.ClickException):
    """Prints one line and ends with exit code 2."""

    exit_code = 2


if __name__ == "__main__":
    main(prog_name="python -m reports")
