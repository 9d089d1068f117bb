"""The wheel contains only `subsetgrad`, and a user's module or folder `estimators` does not hide it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# This imports no framework, which would take seconds and is not needed to see whether the package is hidden.
CODE = "import subsetgrad, subsetgrad.subsets; print(subsetgrad.__file__, len(subsetgrad.ESTIMATORS))"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_contains_only_the_package_and_its_metadata(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    (metadata,) = tops - {"subsetgrad"}
    assert metadata.startswith("subsetgrad-") and metadata.endswith(".dist-info")
    assert "subsetgrad/py.typed" in wheel.namelist()
    in_checkout = (ROOT / "estimators" / "subsetgrad").rglob("*.py")
    assert {str(file.relative_to(ROOT / "estimators")) for file in in_checkout} <= set(wheel.namelist())


@pytest.mark.parametrize("user_file", ["estimators.py", "estimators/__init__.py", "estimators/mine.py"])
def test_a_users_estimators_do_not_hide_the_package_and_are_not_hidden(wheel, tmp_path, user_file):
    wheel.extractall(tmp_path / "installed")
    file = tmp_path / "work" / user_file
    file.parent.mkdir(parents=True)
    file.write_text("HERE = True\n")
    user_module = "estimators.mine" if user_file.endswith("mine.py") else "estimators"
    done = subprocess.run(
        [sys.executable, "-c", f"{CODE}\nfrom {user_module} import HERE"],
        cwd=file.parent if file.parent.name == "work" else file.parent.parent,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    path, count = done.stdout.split()
    assert Path(path).is_relative_to(tmp_path / "installed") and int(count) >= 18
