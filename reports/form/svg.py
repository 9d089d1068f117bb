"""A figure in the page and as a file: drawn once, inlined as SVG, and written as SVG and PDF.

Text and axes are drawn in a marker colour that the inlined SVG replaces by `currentColor`, so that one drawing serves
a light and a dark page. Data colours are those of seaborn's colour-blind palette.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import seaborn as sns
from matplotlib.figure import Figure as Canvas

from .text_tables import data_link

INK = "#010203"  # replaced by `currentColor`, and used for nothing else
WIDTH = 4.7  # inches: readable at full size on a desk, and at three quarters on a telephone
BLUE, ORANGE, GREEN, VERMILION, *REST = sns.color_palette("colorblind").as_hex()
PLUG_IN = VERMILION
COLOURS = (BLUE, ORANGE, *REST)
MARKERS = "oDsv^P"


@dataclass(frozen=True)
class Figure:
    """A figure: its name in files, its heading, the sentences under it, what a screen reader reads, and its files."""

    slug: str
    title: str
    caption: str
    description: str
    svg_text: str
    pdf_bytes: bytes

    @property
    def svg_file(self) -> str:
        """Returns a link to the figure as a file."""
        return data_link("image/svg+xml", self.svg_text.encode())

    @property
    def pdf_file(self) -> str:
        """Returns a link to the figure as a file."""
        return data_link("application/pdf", self.pdf_bytes)

    @property
    def on_white(self) -> str:
        """Returns the SVG with a white background, for a document whose theme we do not know."""
        head, end, body = self.svg_text.partition("<defs>")
        return f'{head}<rect width="100%" height="100%" fill="white"/>\n{end}{body}'

    @property
    def inline(self) -> str:
        """Returns the SVG for the page: with a name for screen readers, ids of its own, and ink that follows the theme.

        The page's style makes two of the data colours lighter on a dark page.
        """
        body = self.svg_text[self.svg_text.index("<svg") :]
        head, body = body[: body.index(">")], body[body.index(">") + 1 :]
        width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)[0]
        body = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{self.slug}-", body).replace(INK, "currentColor")
        for colour, name in ((BLUE, "blue"), (VERMILION, "vermilion")):
            body = body.replace(colour, f"var(--{name}, {colour})")
        return (
            f'<svg role="img" aria-labelledby="{self.slug}-title {self.slug}-desc" viewBox="0 0 {width} {height}" '
            f'style="max-width:{float(width) * 4 / 3:.0f}px"><title id="{self.slug}-title">{escape(self.title)}</title>'
            f'<desc id="{self.slug}-desc">{escape(self.description)}</desc>{body}'
        )


@contextmanager
def canvas_of(slug: str, height: float) -> Iterator[Canvas]:
    """Yields an empty canvas in the page's style; `slug` names the figure, and seeds the ids inside it."""
    style: dict[Any, Any] = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "pdf.fonttype": 42,
        "svg.hashsalt": slug,  # without it, two builds give different bytes
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9.5,
        "axes.linewidth": 0.7,
        "hatch.linewidth": 0.8,
        "legend.frameon": False,
        "axes.spines.top": False,
    }
    with mpl.rc_context(style):
        yield Canvas(figsize=(WIDTH, height), layout="constrained")


def finish(canvas: Canvas, slug: str, title: str, caption: str, description: str) -> Figure:
    """Returns the drawing on `canvas` as a figure; the same drawing gives the same bytes."""
    files = {}
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("pdf", {"CreationDate": None, "Creator": None})):
        buffer = io.BytesIO()
        canvas.savefig(buffer, format=kind, metadata=metadata)
        files[kind] = buffer.getvalue()
        canvas.set_layout_engine("none")  # the second format keeps the layout of the first
    return Figure(slug, title, caption, description, _lean(files["svg"].decode()), files["pdf"])


def _lean(text: str) -> str:
    """Returns an SVG without metadata, comments and names of groups, with two decimals: half of the bytes."""
    text = re.sub(r"<metadata>.*?</metadata>|<!-- .*? -->|(?<=<g) id=\"[^\"]*\"", "", text, flags=re.DOTALL)
    text = re.sub(r'\b(?:d|x|y)="[^"]*"', lambda path: re.sub(r"\d+\.\d{3,}", _hundredths, path[0]), text)
    return re.sub(r"\n\s*", "\n", text)


def _hundredths(digits: re.Match[str]) -> str:
    return f"{float(digits[0]):.2f}"
