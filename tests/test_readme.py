"""The examples and commands of README.md and CONTRIBUTING.md work."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import subsetgrad
from benchmarks.conformance.candidate import Candidate, NotApplicableError
from benchmarks.conformance.checks import CHECKS
from subsetgrad import ops as ops_module

ROOT = Path(__file__).parents[1]


def example(document: str, name: str) -> str:
    match = re.search(rf"<!-- test: {name} -->\n```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert match, f"{document} has no example {name}"
    return match[1]


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_readme_example_finds_the_three_features(backend: str, capsys: pytest.CaptureFixture) -> None:
    exec(compile(example("README.md", backend), f"README.md ({backend})", "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out
    assert [int(number) for number in re.findall(r"\d+", printed)] == [1, 4, 7]


def test_contributed_estimator_conforms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(example("CONTRIBUTING.md", "plug-in"))
    monkeypatch.syspath_prepend(tmp_path)
    record = subsetgrad.get("mine:STE_CENTRED")
    candidate = Candidate(record, ops_module.load("torch:cpu", "float64"))
    passed = 0
    for check in CHECKS:
        try:
            check(candidate)
            passed += 1
        except NotApplicableError:
            continue
    del sys.modules["mine"]
    assert passed == len(CHECKS) - 1  # one check is not applicable: the record claims no unbiasedness


def test_every_command_of_the_readme_exists() -> None:
    from click.testing import CliRunner

    from benchmarks.__main__ import main as benchmarks_main
    from reports.__main__ import main as reports_main

    text = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"python -m (benchmarks|reports) (\w+)", text))
    assert len(commands) >= 6
    for package, command in sorted(commands):
        group = benchmarks_main if package == "benchmarks" else reports_main
        assert CliRunner().invoke(group, [command, "--help"]).exit_code == 0
