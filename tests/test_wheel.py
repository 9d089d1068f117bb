"""The wheel: `subsetgrad` alone, and not hidden by what users have beside their own code."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Importing torch or jax takes seconds, and what hides a package shows without them.
CODE = "import subsetgrad, subsetgrad.subsets; print(subsetgrad.__file__, len(subsetgrad.ESTIMATORS))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_the_package_and_its_metadata_alone(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    (metadata,) = tops - {"subsetgrad"}
    assert metadata.startswith("subsetgrad-") and metadata.endswith(".dist-info")
    assert "subsetgrad/py.typed" in wheel.namelist()
    in_checkout = (ROOT / "estimators" / "subsetgrad").rglob("*.py")
    assert {str(file.relative_to(ROOT / "estimators")) for file in in_checkout} <= set(wheel.namelist())


@pytest.mark.parametrize("theirs", ["estimators.py", "estimators/__init__.py", "estimators/mine.py"])
def test_a_user_s_own_estimators_neither_hide_the_package_nor_are_hidden(wheel, tmp_path, theirs):
    wheel.extractall(tmp_path / "installed")
    file = tmp_path / "work" / theirs
    file.parent.mkdir(parents=True)
    file.write_text("HERE = True\n")
    own = "estimators.mine" if theirs.endswith("mine.py") else "estimators"
    done = subprocess.run(
        [sys.executable, "-c", f"{CODE}\nfrom {own} import HERE"],
        cwd=file.parent if file.parent.name == "work" else file.parent.parent,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    path, count = done.stdout.split()
    assert Path(path).is_relative_to(tmp_path / "installed") and int(count) >= 18
