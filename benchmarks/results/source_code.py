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
      folders: top-level name -> the folder that holds the package of that name. The names of its `__init__` count one
        by one. A missing module or name is an error.
      plug_in: the same for a plug-in. The empty name stands for every other top-level name, if the folder has a module
        of that name. An `__init__` counts as a whole, because it may do anything. A missing module is ignored, because
        it may be optional.
    """

    def __init__(self, folders: Mapping[str, Path], plug_in: Mapping[str, Path] = {}) -> None:
        self._strict = frozenset(folders)
        self._folders = {**plug_in, **folders}

    def unit(self, module: str, name: str) -> Unit | None:
        """Returns the unit that `from module import name` needs; None for a module of another library.

        Args:
          module: a full name.
          name: a global name or submodule of it; empty for `import module`.

        Raises:
          LookupError: the module is not part of a plug-in, and it or the name is missing.
        """
        file = self._file(module)
        top = module.partition(".")[0]
        if file is None:
            if top not in self._strict:
                return None
            if not self._is_namespace(module):
                raise LookupError(f"no module {module} below {self._folders[top]}")
            return self.unit(f"{module}.{name}", "") if name else None
        if file.name != "__init__.py" or top not in self._strict:
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
            return _text(tree), list(self._imports(tree, package))
        statement = _bindings(file)[unit.name]
        if isinstance(statement, ast.Import | ast.ImportFrom):  # a name that the package re-exports
            aliases = zip(_targets(statement, package), statement.names, strict=True)
            targets = [self._submodule(target) for target, alias in aliases if unit.name == _bound_name(alias)]
            return str(targets), targets
        names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - {unit.name}
        neighbours = [(unit.module, name) for name in sorted(names & _bindings(file).keys())]
        return _text(statement), [*self._imports(statement, package), *neighbours]

    def _submodule(self, target: tuple[str, str]) -> tuple[str, str]:
        """Returns the target of a re-export; `from . import name` in an `__init__` re-exports a submodule."""
        module, name = target
        return (f"{module}.{name}", "") if name and self._file(f"{module}.{name}") else target

    def _imports(self, tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
        """Yields the `(module, name)` of all imports in a tree; of an imported package, the names used."""
        packages: set[tuple[str, str]] = set()  # the local name of each package, and the package
        modules: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                for (module, name), alias in zip(_targets(node, package), node.names, strict=True):
                    full_name = f"{module}.{name}" if name else module
                    if module.partition(".")[0] not in self._strict:
                        yield from ((parent, "") for parent in _with_parents(full_name))
                        continue
                    if isinstance(node, ast.Import) and not alias.asname:
                        parents = _with_parents(module)
                        modules.update(parents)
                        packages.update((parent, parent) for parent in parents if self._is_package(parent))
                    elif alias.name != "*" and self._is_package(full_name):
                        packages.add((alias.asname or alias.name, full_name))
                    if alias.name == "*" or not self._is_package(full_name):
                        yield module, name
        for local_name, module in sorted(packages):
            names = _names_used(tree, local_name)
            yield from ((module, name) for name in sorted(names) if f"{local_name}.{name}" not in modules)

    def _is_package(self, module: str) -> bool:
        file = self._file(module)
        return file is not None and file.name == "__init__.py"

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


def _text(value: object) -> str:
    """Returns a syntax tree as text that is the same on every version of Python, unlike that of `ast.dump`."""
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    fields = (f"{name}={_text(field)}" for name, field in ast.iter_fields(value) if field not in (None, []))
    return f"{type(value).__name__}({', '.join(fields)})"


def _with_parents(module: str) -> list[str]:
    """Returns `a`, `a.b` and `a.b.c` for `a.b.c`: an import runs the `__init__` of each package on its path."""
    parts = module.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _names_used(tree: ast.AST, alias: str) -> set[str]:
    """Returns the attributes of a dotted name in a tree, and "" (all of them) if the name is used without attribute."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
    attributes = [node.attr for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node.value) == alias]
    uses = sum(ast.unparse(node) == alias for node in nodes)
    return {*attributes, ""} if uses > len(attributes) else set(attributes)


@cache
def _parsed(file: Path) -> ast.Module:
    """Returns the module without docstrings and without imports for type checkers."""
    tree = ast.parse(file.read_bytes(), file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:]
        elif isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    return tree


@cache
def _bindings(file: Path) -> dict[str, ast.stmt]:
    """Returns the top-level statement that binds each global name of a module."""
    return {name: statement for statement in _parsed(file).body for name in _bindings_of(statement)}


def _bindings_of(statement: ast.stmt) -> set[str]:
    """Returns the global names that a top-level statement binds."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    names = {each.id for each in ast.walk(statement) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    imports = (each for each in ast.walk(statement) if isinstance(each, ast.Import | ast.ImportFrom))
    return names.union(_bound_name(alias) for each in imports for alias in each.names)


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
