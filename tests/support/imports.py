"""Imports as the source has them: of one file, and as a graph of all modules of some packages."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "estimators" / "subsetgrad"
FOLDERS = {"subsetgrad": PACKAGE.parent, "benchmarks": ROOT, "reports": ROOT}


class WithoutTypeChecking(ast.NodeTransformer):
    """Removes the blocks that only type checkers read."""

    def visit_If(self, node: ast.If) -> ast.AST:
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):
            node.body = [ast.Pass()]
        return self.generic_visit(node)


def imports(tree: ast.AST, package: list[str]) -> Iterator[tuple[str, str]]:
    """Yields `(module, name)` of every import in a module, inside functions too; `import module` has an empty name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*start, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def imported(file: Path) -> set[str]:
    """Returns the full names of what a file imports, anywhere in it; `from a import b` gives a and a.b."""
    base = PACKAGE.parent if PACKAGE in file.parents else ROOT
    package = list(file.relative_to(base).parts)[:-1]
    pairs = set(imports(ast.parse(file.read_text()), package))
    return {module for module, _ in pairs} | {f"{module}.{name}" for module, name in pairs if name}


def import_graph(folders: Mapping[str, Path]) -> dict[str, set[str]]:
    """Returns module -> the modules that it imports when it runs, among all modules of some packages.

    `from a import b` imports the module a.b if there is one. If b is a name in a's `__init__`, it imports a.

    Args:
      folders: package -> the folder that holds it.
    """
    files = {}
    for top, folder in folders.items():
        for file in sorted((folder / top).rglob("*.py")):
            files[".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")] = file
    graph = {}
    for module, file in files.items():
        package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
        tree = WithoutTypeChecking().visit(ast.parse(file.read_text()))
        targets = {
            f"{origin}.{name}" if f"{origin}.{name}" in files else origin for origin, name in imports(tree, package)
        }
        graph[module] = targets & files.keys() - {module}
    return graph


def cycle_in(graph: Mapping[str, set[str]]) -> str:
    """Returns a cycle of the graph as `a → b → a`, each module importing the next; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " → ".join(reversed(error.args[1]))
    return ""
