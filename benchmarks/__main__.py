"""The command line, `python -m benchmarks run | list | compare | forget | export`. Only `run` loads a framework."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

DEFAULT_STORE = Path("results/subsetgrad.sqlite")
_STORE = click.option("--store", type=click.Path(path_type=Path), default=DEFAULT_STORE, show_default=True)


class Commands(click.Group):
    """A group of commands that report a user's mistake in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; prints an error that the user can correct as one line."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # click ends the program silently when the reader of a pipe, such as `head`, has closed it
        except (ValueError, ImportError, OSError) as error:
            if ctx.params["debug"]:
                raise
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Measure gradient estimators for k-subset sampling."""
    del debug  # read by `Commands`


def _integers(option: str) -> Callable[..., tuple[int, ...] | None]:
    def parse(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, ...] | None:
        from .experiments.selectors import parse_integers

        return None if text is None else parse_integers(option, text)

    return parse


def _names(option: str, noun: str) -> Callable[..., tuple[str, ...] | None]:
    def parse(_: click.Context, __: click.Parameter, texts: str | tuple[str, ...] | None) -> tuple[str, ...] | None:
        from .experiments.selectors import parse_names

        if texts is None or texts == ():
            return None
        return parse_names(option, noun, [texts] if isinstance(texts, str) else texts)

    return parse


@main.command()
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT|FILE.toml]...")
@click.option(
    "--preset", type=click.Choice(("quick", "paper", "full")), help="[default: paper; quick if no experiment is named]"
)
@click.option(
    "-e",
    "--estimator",
    "estimators",
    multiple=True,
    metavar="NAME[param=value]",
    callback=_names("-e", "estimator"),
    help="May be repeated.",
)
@click.option("-n", "n", metavar="8,10", callback=_integers("-n"), help="Items.")
@click.option("-k", "k", metavar="2,5", callback=_integers("-k"), help="Items chosen.")
@click.option("--seeds", metavar="0:10", callback=_integers("--seeds"), help="Problems.")
@click.option("--replicates", type=click.IntRange(min=200), help="Estimates per cell where moments are sampled.")
@click.option("--samples", type=click.IntRange(min=1), help="Samples averaged in one estimate.")
@click.option("--objective", metavar="NAME[extension=...]")
@click.option(
    "--backend",
    "backends",
    metavar="torch:cpu,jax:cpu",
    callback=_names("--backend", "backend"),
    help="[default: all installed]",
)
@click.option("--dtype", type=click.Choice(("float32", "float64")))
@click.option("--batch", metavar="64,1", callback=_integers("--batch"), help="Rows of theta in one step (scaling).")
@click.option(
    "--mode",
    metavar="eager,compiled",
    callback=_names("--mode", "mode"),
    help="Op by op, or compiled (scaling).  [default: as users run it]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be computed, and stop.")
@click.option("--force", is_flag=True, help="Recompute even cells that have a valid result.")
@_STORE
def run(experiments: tuple[str, ...], dry_run: bool, force: bool, store: Path, **options: Any) -> None:
    """Compute the cells of EXPERIMENTs that have no valid result yet.

    Without an EXPERIMENT, figure1 and figure3 run with preset quick on every installed backend. A TOML file holds the
    name of an experiment and any of the options below.
    """
    from .commands import run as command
    from .experiments.base import Choices

    planned = command.plans(experiments, Choices(**options))
    sys.exit(command.run(planned, store, dry_run=dry_run, force=force, command=_command()))


def _command() -> str:
    return " ".join(["python -m benchmarks", *sys.argv[1:]])


@main.command(name="list")
@click.argument(
    "table", type=click.Choice(("estimators", "objectives", "experiments", "backends")), default="estimators"
)
def list_(table: str) -> None:
    """List the estimators, objectives, experiments or backends."""
    from .commands import list as command

    command.show(table)


@main.command()
@click.argument("first", type=click.Path(exists=True, path_type=Path))
@click.argument("second", type=click.Path(exists=True, path_type=Path))
def compare(first: Path, second: Path) -> None:
    """Compare two stores cell by cell; exit 1 if a metric differs by more than its standard errors explain."""
    from .commands import compare as command

    sys.exit(command.compare(first, second))


@main.command()
@click.argument("experiment")
@click.option(
    "-e", "--estimator", required=True, metavar="NAME", help="Its name in the run: NAME or package.module:NAME."
)
@_STORE
def forget(experiment: str, estimator: str, store: Path) -> None:
    """Remove an estimator's cells from EXPERIMENT, and so from the page."""
    from .results.store import Store

    if not store.exists():
        raise ValueError(f"{store} does not exist; name another with --store")
    with Store(store) as opened:
        removed = opened.forget(experiment, estimator)
    if not removed:
        raise ValueError(f"{store} holds no cell of {estimator!r} in experiment {experiment!r}")
    click.echo(f"{removed} cells of {estimator} removed from {experiment}")


@main.command()
@click.option("--format", "format_", type=click.Choice(("csv", "jsonl", "parquet")), default="csv", show_default=True)
@click.option("--experiment", help="Write only the rows of this experiment.")
@click.option("--out", type=click.Path(path_type=Path), help="A file; parquet needs one.  [default: standard output]")
@_STORE
def export(format_: str, experiment: str | None, out: Path | None, store: Path) -> None:
    """Write the results, one metric a row."""
    from .commands import export as command

    command.export(store, format_, experiment, out)


if __name__ == "__main__":
    main()
