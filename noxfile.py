"""The workshop: `nox -s tests` for developers, `nox -s bench` for users; `nox -l` lists the rest."""

from __future__ import annotations

import os

import nox

nox.needs_version = ">=2025.2.9"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "tests"]
# Not uv: it does not read pip's configuration, and picked a CUDA build of torch where pip had been told otherwise.
nox.options.default_venv_backend = "virtualenv"

PROJECT = nox.project.load_toml("pyproject.toml")
PAGE = "reports/_build/index.html"
STORE = "results/subsetgrad.sqlite"


def _install(session: nox.Session, *groups: str, extras: str = "") -> None:
    """Installs the project with extras and dependency groups, under the constraints."""
    # What was tested, torch as its CPU build; empty to bring your own (README, "Your own torch or jax").
    constraints = os.environ.get("SUBSETGRAD_CONSTRAINTS", "constraints.txt")
    pinned = ("-c", constraints) if constraints else ()
    session.install(*pinned, f"-e.[{extras}]" if extras else "-e.", *nox.project.dependency_groups(PROJECT, *groups))


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
    session.run("pytest", *session.posargs)


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
