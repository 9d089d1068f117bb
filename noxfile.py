"""Sessions: `nox -s tests` for developers, `nox -s bench` for users; `nox -l` lists all."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import nox
import nox.command

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]
# Not uv: it ignores pip's configuration, and so chose a CUDA build of torch against the configured index.
nox.options.default_venv_backend = "virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# Programs that jax compiled in earlier runs, because the tests spend most of their time compiling. The experiment
# `scaling` switches this cache off for the programs that it measures.
JAX_CACHE = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(".nox/jax-cache").absolute()),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}
COMMITS = ("HEAD~1", "HEAD")
# Options, factor and benchmarks of each call of `asv continuous`. Every benchmark belongs to one call.
GATES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    # The commits take turns, so that a machine that slows down affects both.
    (("--interleave-rounds",), "1.25", r"^bench_(estimators|subsets)\."),
    # Seeds are fixed, so that only code changes quality. asv.conf.json has the same threshold.
    ((), "1.01", r"^bench_quality\."),
)


def _install(session: nox.Session, *groups: str, extras: str = "") -> None:
    """Installs the project with extras and dependency groups, under the constraints."""
    project = f"-e.[{extras}]" if extras else "-e."
    session.install(*_pinned(), project, *nox.project.dependency_groups(PROJECT, *groups))


def _pinned() -> tuple[str, ...]:
    # By default the tested versions, with torch's CPU build. Empty: any versions (README, "Your own torch or jax").
    constraints = os.environ.get("SUBSETGRAD_CONSTRAINTS", "constraints.txt")
    return ("-c", constraints) if constraints else ()


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types."""
    _install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests; arguments go to pytest."""
    _install(session, "test", extras="torch,jax,report,bench,parquet")
    session.run("pytest", *session.posargs, env=JAX_CACHE)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Run the experiments (default: Figures 1 and 3, quick), then write the page; arguments go to `benchmarks run`."""
    _install(session, extras="torch,jax,report,bench")
    # Status 1 means that a cell failed. The page is written nevertheless, and shows which one.
    session.run("python", "-m", "benchmarks", "run", *session.posargs, success_codes=[0, 1])
    session.run("python", "-m", "reports", "build")


@nox.session(default=False)
def report(session: nox.Session) -> None:
    """Write the page from what is stored; arguments go to `reports build`. Needs no framework."""
    _install(session, extras="report")
    session.run("python", "-m", "reports", "build", *session.posargs)


@nox.session(default=False)
def timing(session: nox.Session) -> None:
    """Time the steps at a few sizes with pytest-benchmark; arguments go to pytest (`-k simple`, `--benchmark-save`)."""
    _install(session, "test", extras="torch,jax,bench")
    options = ("--benchmark-enable", "--benchmark-only")
    session.run("pytest", "tests/benchmarks/test_timing.py", *options, *session.posargs, env=ONE_THREAD)


@nox.session(default=False)
def asv(session: nox.Session) -> None:
    """Compare HEAD with its parent by asv, status 1 if something got slower or worse; arguments are an asv command."""
    session.install(*_pinned(), *nox.project.dependency_groups(PROJECT, "asv"))
    if not Path("~/.asv-machine.json").expanduser().exists():
        session.run("asv", "machine", "--yes")
    if session.run("git", "status", "--porcelain", "estimators", external=True, silent=True):
        session.warn("asv measures commits: changes in estimators/ that are not committed do not count")
    # asv installs the versions that asv.conf.json pins, whatever SUBSETGRAD_CONSTRAINTS says, because a history
    # compares code, not versions of torch. The constraints pin what those depend on.
    session.env["PIP_CONSTRAINT"] = str(Path("constraints.txt").absolute())
    if session.posargs:
        session.run("asv", *session.posargs)
        return
    # Every gate runs before the session ends: a slower step must not hide a larger bias.
    failed = [benchmarks for options, factor, benchmarks in GATES if not _passes(session, options, factor, benchmarks)]
    for _, factor, benchmarks in GATES:
        counts = _compare(session, factor, benchmarks)
        if not counts["comparable"]:
            session.warn(
                f"nothing to compare in {benchmarks}: no case has a value at both commits "
                f"({COMMITS[0]}: {counts['base_values']} values, {COMMITS[1]}: {counts['head_values']}); "
                "asv prints above why it skipped the others"
            )
    if failed:
        session.error(f"something got slower or worse, or failed: see above what asv prints for {' and '.join(failed)}")


def _compare(session: nox.Session, factor: str, benchmarks: str) -> dict[str, Any]:
    """Returns `asv_results.Comparison` of the two commits, for the benchmarks that match a regular expression."""
    options = ("--factor", factor, "--bench", benchmarks)
    output = session.run("python", "-m", "benchmarks.tracked.asv_results", *COMMITS, *options, silent=True)
    (line,) = (line for line in str(output).splitlines() if line.startswith("{"))  # warnings may surround it
    comparison: dict[str, Any] = json.loads(line)
    return comparison


def _passes(session: nox.Session, options: tuple[str, ...], factor: str, benchmarks: str) -> bool:
    """Returns whether `asv continuous` finds nothing slower or worse, at the first or at a second measurement.

    The second one measures only the cases that the first found worse. Of 60 times of two equal commits, one or two may
    look 1.3 to 1.5 times as long on a machine that does other work, but hardly the same ones twice.
    """

    def measure(which: str) -> bool:
        try:
            # --show-stderr prints why a case was skipped.
            session.run("asv", "continuous", "--show-stderr", *options, "--factor", factor, "--bench", which, *COMMITS)
        except nox.command.CommandFailed:
            return False
        return True

    if measure(benchmarks):
        return True
    worse = _compare(session, factor, benchmarks)["worse"]
    return bool(worse) and measure(f"^({'|'.join(map(re.escape, worse))})$")
