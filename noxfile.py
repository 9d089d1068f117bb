"""The workshop: `nox -s tests` for developers, `nox -s bench` for users; `nox -l` lists the rest."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nox
import nox.command

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]
# Not uv: it does not read pip's configuration, and picked a CUDA build of torch where pip had been told otherwise.
nox.options.default_venv_backend = "virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
PAGE = "reports/_build/index.html"
STORE = "results/subsetgrad.sqlite"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
# Programs that jax compiled in an earlier run of the tests, or in an earlier process of this one: compiling is most of
# their time. The clock of `scaling` switches this cache off for what it measures.
JAX_CACHE = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(".nox/jax-cache").absolute()),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
}
COMMITS = ("HEAD~1", "HEAD")
# What `asv continuous` allows: options, factor and benchmarks. Each benchmark is in one of them.
GATES: tuple[tuple[tuple[str, ...], str, str], ...] = (
    # Both commits by turns, against drift.
    (("--interleave-rounds",), "1.25", r"^bench_(estimators|subsets)\."),
    # Seeds are fixed, so that only code changes quality; as asv.conf.json's regressions_thresholds.
    ((), "1.01", r"^bench_quality\."),
)


def _install(session: nox.Session, *groups: str, extras: str = "") -> None:
    """Installs the project with extras and dependency groups, under the constraints."""
    own = f"-e.[{extras}]" if extras else "-e."
    session.install(*_pinned(), own, *nox.project.dependency_groups(PROJECT, *groups))


def _pinned() -> tuple[str, ...]:
    # What was tested, torch as its CPU build; empty to bring your own (README, "Your own torch or jax").
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
    # Status 1 says that a cell failed: the page shows which, so it is written all the same.
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
    if failed:
        session.error(f"something got slower or worse, or failed: see above what asv prints for {' and '.join(failed)}")


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

    passed = measure(benchmarks)
    command = ("python", "-m", "benchmarks.tracked.asv_results", *COMMITS, "--factor", factor, "--bench", benchmarks)
    comparison = json.loads(str(session.run(*command, silent=True)))
    if passed:
        if not comparison["comparable"]:
            session.warn(
                f"nothing to compare in {benchmarks}: no case has a value at both commits "
                f"({COMMITS[0]}: {comparison['base_values']} values, {COMMITS[1]}: {comparison['head_values']}); "
                "asv prints above why it skipped the others"
            )
        return True
    worse = comparison["worse"]
    return bool(worse) and measure(f"^({'|'.join(map(re.escape, worse))})$")
