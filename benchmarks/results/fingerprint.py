"""The hash of the code that a cell's result depends on: the import closure of its measurement.

The closure begins at the roots of a cell: the measurement of its kind, its estimator, its objective and its backend.
From there all imports are followed, also those inside functions, to modules of `subsetgrad`, `benchmarks` and the
plug-in's folder or package.

Of a package's `__init__`, only the names that are imported from it count, not all that it imports. Therefore a new
estimator makes no result stale, although `subsetgrad/__init__.py` lists it. The tuples in which records are looked up
(`REGISTRIES`) are not followed, because the record that a cell names is one of its roots. The packages of a plug-in
count as a whole, because their `__init__` may do anything.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import subsetgrad

from . import names
from .cell import AnyCell
from .source_code import Sources, Unit

_FOLDERS = {"subsetgrad": Path(subsetgrad.__file__).parents[1], "benchmarks": Path(__file__).parents[2]}
# Package and variable of each tuple in which records are looked up by name.
_ESTIMATORS = ("subsetgrad", "ESTIMATORS")
REGISTRIES = frozenset({_ESTIMATORS, ("benchmarks.objectives", "OBJECTIVES")})
# A plug-in that uses one of these may run any estimator, so it depends on all of them.
_LOOKUPS = frozenset({_ESTIMATORS, ("subsetgrad", "get")})
# Backend -> the module that is imported by a computed name. A test finds any that this table lacks.
COMPUTED = {"torch": "subsetgrad.ops.torch", "jax": "subsetgrad.ops.jax"}
_MEASUREMENTS = {names.QUALITY: "benchmarks.quality.measure", names.COST: "benchmarks.cost.measure"}


def fingerprint(cell: AnyCell) -> str:
    """Returns the hash of the code that the cell's result depends on."""
    return _hash(*_deciding(cell))


def closure(cell: AnyCell) -> tuple[Unit, ...]:
    """Returns the parts of the code that the cell's result depends on, sorted."""
    return tuple(_closure(*_deciding(cell)))


def _deciding(cell: AnyCell) -> tuple[str, str, str, str]:
    """Returns the fields that decide which code a cell runs."""
    return cell.kind, cell.estimator, getattr(cell, "objective", ""), cell.backend


@cache  # the source does not change while a process runs it
def _hash(kind: str, estimator: str, objective: str, backend: str) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for unit, code in _closure(kind, estimator, objective, backend).items():
        digest.update(f"{unit}\n{code}\n".encode())
    return digest.hexdigest()


@cache
def _closure(kind: str, estimator: str, objective: str, backend: str) -> dict[Unit, str]:
    """Returns the code of each unit of the closure, in sorted order."""
    sources = Sources(_FOLDERS, _plug_in_folders(estimator))
    waiting = list(_roots(kind, estimator, objective, backend))
    code: dict[Unit, str] = {}
    while waiting:
        target = waiting.pop()
        unit = None if target in REGISTRIES else sources.unit(*target)
        if unit is not None and unit not in code:
            code[unit], imports = sources.read(unit)
            waiting += imports
            if unit.module.partition(".")[0] not in _FOLDERS and _LOOKUPS & {*imports}:
                waiting += [_record(*_ESTIMATORS, record.name) for record in subsetgrad.ESTIMATORS]
    return dict(sorted(code.items()))


def _roots(kind: str, estimator: str, objective: str, backend: str) -> Iterator[tuple[str, str]]:
    """Yields the `(module, name)` of the roots of a cell."""
    yield _MEASUREMENTS[kind], ""
    yield COMPUTED[backend], ""
    module, _, attribute = estimator.partition(":")
    yield (module, attribute) if attribute else _record(*_ESTIMATORS, estimator)
    if objective:
        yield _record("benchmarks.objectives", "OBJECTIVES", objective)


def _record(package: str, registry: str, name: str) -> tuple[str, str]:
    """Returns the package and the variable that holds the record called `name`."""
    variables = vars(importlib.import_module(package))
    record = next(record for record in variables[registry] if record.name == name)
    return package, next(variable for variable, value in variables.items() if value is record)


def _plug_in_folders(estimator: str) -> dict[str, Path]:
    """Returns the folders of a plug-in's modules, as `Sources` takes them.

    For an installed plug-in these are the modules of its package; else they are all modules in its folder.
    """
    module, _, attribute = estimator.partition(":")
    top = module.partition(".")[0]
    spec = importlib.util.find_spec(top) if attribute and top not in _FOLDERS else None
    if spec is None:
        return {}
    paths = [*(spec.submodule_search_locations or ()), spec.origin]
    folder = Path(str(paths[0])).parent
    return {top: folder} if folder.name in ("site-packages", "dist-packages") else {top: folder, "": folder}
