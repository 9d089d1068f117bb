"""The provenance of a result: code, versions, machine, threads."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from .. import backends, machine

_LIBRARIES = ("numpy", "torch", "jax", "jaxlib", "array-api-compat", "subsetgrad")
_TIMED_LIBRARIES = tuple(name for name in _LIBRARIES if name != "subsetgrad")  # its code has a fingerprint
_ROOT = Path(__file__).resolve().parents[2]


def collect(command: str) -> dict[str, Any]:
    """Returns the provenance of a run started by `command`, as JSON data."""
    return {
        "command": command,
        **_commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {
            "cpu": _processor(),
            "cores": os.cpu_count(),
            "gpus": _gpus(),
            "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        },
        "threads": backends.threads(),
        "environment": environment(),
    }


@cache
def environment() -> str:
    """Returns a short hash of what times depend on, except the code: processor, cores, GPUs, system, versions."""
    parts = {
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "pinned": machine.can_pin(),
        "gpus": _gpus(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **_versions(_TIMED_LIBRARIES)},
    }
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=4).hexdigest()


def _commit() -> dict[str, Any]:
    """Returns the commit, and whether the work tree differs from it; empty outside a git checkout."""
    try:
        commit = _git("rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _versions(libraries: Iterable[str] = _LIBRARIES) -> dict[str, str]:
    versions = {}
    for library in libraries:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def _processor() -> str:
    """Returns the processor's model as Linux names it, or on other systems as Python does."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """Returns the models of NVIDIA GPUs as their driver lists them, so that no framework is loaded."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = [line for file in files for line in file.read_text().splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
