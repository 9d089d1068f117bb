"""Calls the command line in this process, and reads its output and its store."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.results.store import Store

ROOT = Path(__file__).parents[2]
# Options that keep a run of quality cells short.
FEW = ("--backend", "torch:cpu", "--seeds", "1234,1067", "--replicates", "200")
# The first arguments of a run of timing cells.
TIMING = ("run", "scaling", "--preset", "quick", "--backend", "torch:cpu")
# The metrics that the clock reads.
READ = {"sample_seconds", "forward_seconds", "backward_seconds", "total_seconds"}


def call(*arguments):
    """Runs the command line and returns its result; fails if there is a traceback."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert "Traceback" not in result.output
    return result


def words(result):
    """Returns the output with single blanks for all white space, because the console wraps lines."""
    return " ".join(result.output.split())


def rows_of(path):
    """Returns the rows of the store at a path."""
    with Store(path) as opened:
        return opened.rows()
