"""The figure of error against time: numbered points with their intervals, and the fronts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from ..data import Z95
from ..form import numbers, units
from ..form.svg import GREEN, INK, Figure, canvas_of, finish
from .curves import LEGEND, hue_of, short, tidy


def draw(slug: str, title: str, caption: str, points: pd.DataFrame, highlights: Sequence[str]) -> Figure:
    """Returns error against time with the two fronts; the legend names the points, the members of a front in bold.

    Args:
      slug, title, caption: its name in files, its heading, and the sentences under it.
      points: as `fronts.Matched` has them.
      highlights: names of the estimators to draw in colour.
    """
    with canvas_of(slug, max(3.9, 1.1 + 0.15 * len(points))) as canvas:
        axes = canvas.subplots()
        axes.set_xscale("log")
        low, high = float(points["seconds"].min()) / 1.6, float(points["seconds"].max()) * 1.6
        top = float((points["error"] + Z95 * points["error_se"].fillna(0)).max()) * 1.08
        for column, dashes in (("best", "-"), ("best_of_law", "--")):
            front = points[points[column]]
            if front.empty:
                continue
            x, y = [*front["seconds"], high], [*front["error"], *front["error"].tail(1)]
            axes.step([x[0], *x], [top, *y], where="post", color=GREEN, linewidth=1.2, zorder=1, linestyle=dashes)
        handles = []
        for number, row in enumerate(points.to_dict("records"), 1):
            hue = hue_of(row["label"], row["plug_in"], highlights) or INK
            style: dict[str, Any] = {"color": hue, "alpha": 1.0 if row["named"] or hue != INK else 0.6}
            factor = math.exp(Z95 * numbers.or_zero(row["seconds_se"]) / row["seconds"])
            half = Z95 * numbers.or_zero(row["error_se"])
            axes.hlines(row["error"], row["seconds"] / factor, row["seconds"] * factor, linewidth=1.2, **style)
            axes.vlines(row["seconds"], row["error"] - half, row["error"] + half, linewidth=1.2, **style)
            look = {"marker": "x" if row["reference"] else "o", "ms": 5, "mew": 1.2, "linestyle": "", **style}
            look["mfc"] = hue if row["best"] else "none"
            axes.plot([row["seconds"]], [row["error"]], **look)
            # Numbers are by turns above and below their points, so that those of two close points do not overlap.
            offset = (3, 3) if number % 2 else (3, -9)
            axes.annotate(f"{number}", (row["seconds"], row["error"]), offset, textcoords="offset points", fontsize=7)
            handles.append(Line2D([], [], label=f"{number} {short(row['label'])}", **look))
        axes.set_xlim(low, high)
        axes.set_ylim(min(0.0, float(points["error"].min())) - 0.04 * top, top)
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
        tidy(axes, "seconds", "x")
        axes.set_xlabel("time a row of logits, forward and backward")
        axes.set_ylabel("error: 1 − cos(∇, ĝ), one estimate")
        legend = canvas.legend(handles=handles, **LEGEND | {"handlelength": 1})
        for text, named in zip(legend.get_texts(), points["named"], strict=True):
            text.set_fontweight("bold" if named else "normal")
        words = [
            f"{row['label']} {units.seconds(row['seconds'])} and error {numbers.rounded(row['error'], 3)}"
            f"{', on the front' if row['best'] else ''}"
            for row in points.to_dict("records")
        ]
        return finish(canvas, slug, title, caption, "; ".join(words) + ".")
