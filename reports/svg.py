"""A drawing as a file and in the page: one figure, written as SVG to inline and as SVG and PDF to download.

Text and axes are drawn in a sentinel colour that the inlined SVG turns into `currentColor`, so one drawing serves light
and dark; data colours are the colour-blind-safe palette's.
"""

from __future__ import annotations

import atexit
import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import seaborn as sns
from fontTools import subset
from fontTools.ttLib import TTFont
from matplotlib import font_manager
from matplotlib.figure import Figure as Canvas

from .printing import data_link

INK = "#010203"  # the sentinel: a colour nobody would choose
WIDTH = 4.7  # inches: legible unscaled on a desk, and at three quarters on a telephone
BLUE, ORANGE, GREEN, VERMILION, *REST = sns.color_palette("colorblind").as_hex()
_FONTS = "'SubsetGradSans', 'DejaVu Sans', sans-serif"  # as matplotlib writes them, at every word
_FOLDER = tempfile.TemporaryDirectory(prefix="subsetgrad-")
atexit.register(_FOLDER.cleanup)


@dataclass(frozen=True)
class Figure:
    """A drawn figure: `svg` to inline, `svg_file` and `pdf_file` as data links, and its words."""

    slug: str
    title: str
    caption: str
    svg: str
    svg_file: str
    pdf_file: str


@cache
def _lean_font() -> str:
    """Returns the name of a cut-down DejaVu Sans, made once a process.

    A PDF embeds the glyphs it uses, and with them the hinting and layout tables of the whole font; without these a
    figure takes half the time and less than half the bytes. Characters outside it fall back to the whole font.
    """
    name = "SubsetGradSans"
    font = TTFont(font_manager.findfont("DejaVu Sans"), recalcTimestamp=False)
    options = subset.Options(
        hinting=False, layout_features=[], name_IDs=["*"], drop_tables=["GSUB", "GPOS", "GDEF", "FFTM"]
    )
    subsetter = subset.Subsetter(options)
    subsetter.populate(
        unicodes=[*range(0x20, 0x180), *range(0x391, 0x3CA), 0x2013, 0x2026, 0x2190, 0x2192, 0x2207, 0x2212]
    )
    subsetter.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6, 16):
            record.string = name
    file = Path(_FOLDER.name, f"{name}.ttf")
    font.save(file)
    font_manager.fontManager.addfont(file)
    return name


@contextmanager
def canvas_of(slug: str, height: float) -> Iterator[Canvas]:
    """Yields an empty canvas in the page's style; `slug` names the figure, and seeds the ids inside it."""
    style: dict[Any, Any] = {
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": slug,  # element ids: a salt of its own keeps two figures apart and two builds alike
        "pdf.fonttype": 42,
        "font.family": "sans-serif",
        "font.sans-serif": [_lean_font(), "DejaVu Sans"],
        "font.size": 9.5,
        "axes.linewidth": 0.7,
        "hatch.linewidth": 0.8,
        "legend.frameon": False,
        "axes.spines.top": False,
    }
    with mpl.rc_context(style):
        yield Canvas(figsize=(WIDTH, height), layout="constrained")


def finish(canvas: Canvas, slug: str, title: str, caption: str, description: str) -> Figure:
    """Returns what is drawn on `canvas`; the same drawing gives the same bytes."""
    files = {}
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("pdf", {"CreationDate": None, "Creator": None})):
        buffer = io.BytesIO()
        canvas.savefig(buffer, format=kind, metadata=metadata)
        files[kind] = buffer.getvalue()
        canvas.set_layout_engine("none")  # laid out once; the second format takes the same places
    text = files["svg"].decode()
    # Half of the bytes say nothing: metadata, comments, names of groups, rotations by nothing, and hair's breadths.
    text = re.sub(r"<metadata>.*?</metadata>|<!-- .*? -->|(?<=<g) id=\"[^\"]*\"", "", text, flags=re.DOTALL)
    text = re.sub(r' transform="rotate\(-?0 [^"]*"', "", text)
    text = re.sub(r'\b(d|x|y)="[^"]*"', lambda place: re.sub(r"\d+\.\d{3,}", _hundredths, place[0]), text)
    text = re.sub(r"\n\s*", "\n", text)
    text = re.sub(r'<g clip-path="([^"]*)">\n((?:<use [^>]*/>\n)+)</g>', _style_once, text)
    text = re.sub(rf"font: ([\d.]+px) {_FONTS}", r"font-size: \1", text)
    text = re.sub(rf"; font-family: {_FONTS}|; text-anchor: start", "", text)
    text = text.replace("<svg ", f'<svg style="font-family: {_FONTS}" ', 1)
    ids = list(dict.fromkeys(re.findall(r'\bid="([^"]*)"', text)))
    text = re.sub(rf"({'|'.join(ids)})(?=[\")])", lambda name: f"i{ids.index(name[0])}", text)
    files["svg"] = text.encode()
    return Figure(
        slug,
        title,
        caption,
        _inline(text, slug, title, description),
        data_link("image/svg+xml", files["svg"]),
        data_link("application/pdf", files["pdf"]),
    )


def _hundredths(digits: re.Match[str]) -> str:
    return f"{float(digits[0]):.2f}"


def _style_once(markers: re.Match[str]) -> str:
    """Returns a group of markers with their style in the group, where it is the same in all."""
    styles = set(re.findall(r' style="[^"]*"', markers[2]))
    if len(styles) != 1:
        return markers[0]
    (style,) = styles
    return f'<g clip-path="{markers[1]}"{style}>\n{markers[2].replace(style, "")}</g>'


def _inline(text: str, slug: str, title: str, description: str) -> str:
    """Returns the SVG for the page: named for a screen reader, ids of its own, ink that follows the theme."""
    body = text[text.index("<svg") :]
    head, body = body[: body.index(">")], body[body.index(">") + 1 :]
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)[0]
    body = re.sub(r'\bid="', f'id="{slug}-', body)
    body = re.sub(r'href="#', f'href="#{slug}-', body)
    body = body.replace("url(#", f"url(#{slug}-").replace(INK, "currentColor")
    for colour, name in (
        (BLUE, "blue"),
        (VERMILION, "vermilion"),
    ):  # too dark for a dark page, whose style lightens them
        body = body.replace(colour, f"var(--{name}, {colour})")
    return (
        f'<svg role="img" aria-labelledby="{slug}-title {slug}-desc" viewBox="0 0 {width} {height}" '
        f'style="max-width:{float(width) * 4 / 3:.0f}px"><title id="{slug}-title">{escape(title)}</title>'
        f'<desc id="{slug}-desc">{escape(description)}</desc>{body}'
    )
