"""Reads Python modules as source: the code of a module or of one name of a package, and what it imports.

Nothing is imported or executed. Docstrings, comments, layout and imports for type checkers do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

EVERYTHING = "*"


class Unit(NamedTuple):
    """A module; or one global name of a package's `__init__`, or all of them, as `EVERYTHING`."""

    module: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.module}:{self.name}" if self.name else self.module


class Sources:
    """The modules below some folders.

    Args:
      folders: top-level name -> the folder that holds the module or package of that name. The empty name stands for
        every other top-level name, if the folder has a module of that name.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders

    def unit(self, module: str, name: str) -> Unit | None:
        """Returns the unit that `from module import name` needs; None for a module of another library.

        Args:
          module: a full name.
          name: a global name or submodule of it; empty for `import module`.

        Raises:
          LookupError: the module lies in one of the named folders, and it or the name is missing.
        """
        file = self._file(module)
        if file is None:
            top = module.partition(".")[0]
            if top in self._folders and not self._is_namespace(module):
                raise LookupError(f"no module {module} below {self._folders[top]}")
            return self.unit(f"{module}.{name}", "") if name and top in self._folders else None
        if file.name != "__init__.py":
            return Unit(module)
        if not name:
            return Unit(module, EVERYTHING)
        if name in _bindings(file):
            return Unit(module, name)
        if self._file(f"{module}.{name}"):
            return self.unit(f"{module}.{name}", "")
        if "*" in _bindings(file):
            return Unit(module, EVERYTHING)
        if name.startswith("__"):
            return None
        raise LookupError(f"{module} has no {name}")

    def read(self, unit: Unit) -> tuple[str, list[tuple[str, str]]]:
        """Returns the code of a unit as text, and the `(module, name)` of everything that it imports."""
        file = self._file(unit.module)
        if file is None:
            raise LookupError(f"no module {unit.module}")
        package = unit.module if file.name == "__init__.py" else unit.module.rpartition(".")[0]
        if unit.name in ("", EVERYTHING):
            tree = _parsed(file)
            return ast.dump(tree), list(self._imports(tree, package))
        statement = _bindings(file)[unit.name]
        if isinstance(statement, ast.Import | ast.ImportFrom):  # a name that the package re-exports
            aliases = zip(_targets(statement, package), statement.names, strict=True)
            return "", [target for target, alias in aliases if unit.name == _bound_name(alias)]
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - {unit.name}
        neighbours = [(unit.module, name) for name in sorted(names & _bindings(file).keys())]
        return ast.dump(statement), [*self._imports(statement, package), *neighbours]

    def _imports(self, tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
        """Yields the `(module, name)` of all imports in a tree; of an imported package, the names used."""
        packages: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for (module, name), alias in zip(_targets(node, package), node.names, strict=True):
                    file = self._file(f"{module}.{name}" if name else module)
                    if file is not None and file.name == "__init__.py":
                        packages[alias.asname or alias.name] = f"{module}.{name}" if name else module
                    else:
                        yield module, name
        for local_name, module in packages.items():
            yield from ((module, name) for name in _names_used(tree, local_name))

    def _file(self, module: str) -> Path | None:
        top, *rest = module.split(".")
        folder = self._folders.get(top, self._folders.get(""))
        if folder is None:
            return None
        path = folder.joinpath(top, *rest)
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)

    def _is_namespace(self, module: str) -> bool:
        top, *rest = module.split(".")
        return self._folders[top].joinpath(top, *rest).is_dir()


def _names_used(tree: ast.AST, alias: str) -> set[str]:
    """Returns the attributes of a dotted name in a tree, and "" (all of them) if the name is used without attribute."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
    attributes = [node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == alias]
    uses = sum(ast.unparse(node) == alias for node in nodes)
    return {*attributes, ""} if uses > len(attributes) else set(attributes)


@cache
def _parsed(file: Path) -> ast.Module:
    """Returns the module without docstrings and without imports for type checkers."""
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = [ast.Pass()]
    return tree


@cache
def _bindings(file: Path) -> dict[str, ast.stmt]:
    """Returns the top-level statement that binds each global name of a module."""
    bindings: dict[str, ast.stmt] = {}
    for statement in _parsed(file).body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            bindings[statement.name] = statement
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bindings[node.id] = statement
            elif isinstance(node, ast.Import | ast.ImportFrom):
                bindings |= {_bound_name(alias): statement for alias in node.names}
    return bindings


def _bound_name(alias: ast.alias) -> str:
    """Returns the global name that an import binds."""
    return alias.asname or alias.name.partition(".")[0]


def _targets(statement: ast.Import | ast.ImportFrom, package: str) -> Iterator[tuple[str, str]]:
    """Yields the `(module, name)` of each alias of an import; the name is empty for `import module`."""
    if isinstance(statement, ast.Import):
        yield from ((alias.name, "") for alias in statement.names)
        return
    parents = package.split(".")
    start = parents[: len(parents) - statement.level + 1] if statement.level else []
    module = ".".join([*start, *filter(None, [statement.module])])
    yield from ((module, "" if alias.name == "*" else alias.name) for alias in statement.names)
