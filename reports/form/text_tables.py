"""Tables as Markdown, LaTeX and CSV, to print and to download."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence

from tabulate import tabulate

_LATEX = {
    "⟦": r"\textbf{",
    "⟧": "}",
    "±": r"$\pm$",
    "P(ĝ = 0)": r"$P(\hat g=0)$",
    "–": "--",
    "×": r"$\times$",
    "µ": r"$\mu$",
}
_FILES = {
    "CSV": ("csv", "text/csv"),
    "Markdown": ("md", "text/markdown"),
    "LaTeX": ("tex", "application/x-tex"),
}


def bold(text: str) -> str:
    """Returns `text` marked as the best of its column, for `as_text` to print."""
    return f"⟦{text}⟧"


def as_text(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]], style: str) -> str:
    """Returns a table as `markdown` or `latex`, with its title above it unless that is empty."""
    if style == "markdown":
        cells = [[cell.replace("⟦", "**").replace("⟧", "**") for cell in line] for line in lines]
        table: str = tabulate(cells, heads, tablefmt="github", disable_numparse=True)
        return (f"**{title}**\n\n" if title else "") + table + "\n"
    table = tabulate(lines, heads, tablefmt="latex_booktabs", disable_numparse=True)
    for mark, latex in _LATEX.items():
        table = table.replace(mark, latex)
    return (f"% {title}\n" if title else "") + table + "\n"


def files(printed: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """Returns a table's files to download: by format, the ending of the name, and a link.

    Args:
      printed: returns the table in the format `csv`, `markdown` or `latex`.
    """
    return {
        kind: (ending, data_link(f"{media};charset=utf-8", printed(kind.lower()).encode()))
        for kind, (ending, media) in _FILES.items()
    }


def data_link(kind: str, content: bytes) -> str:
    """Returns `content` as a link that needs no server."""
    return f"data:{kind};base64,{b64encode(content).decode()}"
