"""The figure of error against time: points with their intervals, the front, and names that cover nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from . import units
from .curves import NAME, hue_of, plain_tick, short
from .load import Z95
from .svg import GREEN, INK, WIDTH, Figure, canvas_of, finish


def draw(slug: str, title: str, caption: str, points: pd.DataFrame) -> Figure:
    """Returns error against time with the two fronts drawn and their members named in larger letters.

    Args:
      slug, title, caption: as everywhere.
      points: as `pareto.Matched` has them.
    """
    with canvas_of(slug, 3.9) as canvas:
        axes = canvas.subplots()
        axes.set_xscale("log")
        low, high = float(points["seconds"].min()) / 1.6, float(points["seconds"].max()) * 1.6
        top = float((points["error"] + Z95 * points["error_se"].fillna(0)).max()) * 1.08
        for column, dashes in (("best", "-"), ("best_of_law", "--")):
            steps = _stairs(points[points[column]].sort_values("seconds"), high, top)
            axes.plot(*steps, color=GREEN, linewidth=1.2, alpha=0.9, zorder=1, linestyle=dashes)
        for row in points.to_dict("records"):
            hue = hue_of(row["label"], row["plug_in"]) or INK
            style: dict[str, Any] = {"color": hue, "alpha": 1.0 if row["named"] or hue != INK else 0.6}
            reach = math.exp(Z95 * row["seconds_se"] / row["seconds"]) if row["seconds_se"] > 0 else 1.0
            axes.hlines(row["error"], row["seconds"] / reach, row["seconds"] * reach, linewidth=1.2, **style)
            reach = Z95 * row["error_se"] if row["error_se"] > 0 else 0.0
            axes.vlines(row["seconds"], row["error"] - reach, row["error"] + reach, linewidth=1.2, **style)
            fill = hue if row["best"] else "none"
            marker = "x" if row["reference"] else "o"
            axes.plot([row["seconds"]], [row["error"]], marker, ms=5, mfc=fill, mew=1.2, **style)
        axes.set_xlim(low, high)
        axes.set_ylim(min(0.0, float(points["error"].min())) - 0.04 * top, top)
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if high / low < 300 else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: plain_tick("seconds", value)))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("time a row of logits, forward and backward")
        axes.set_ylabel("error: 1 − cos(∇, ĝ), one estimate")
        axes.grid(visible=True, which="major", color=INK, alpha=0.12, linewidth=0.6)
        axes.spines["right"].set_visible(False)
        _name_points(axes, points, (WIDTH - 0.7, 3.2))
        told = [
            f"{row['label']} {units.seconds(row['seconds'])} and error {row['error']:.3g}"
            f"{', on the front' if row['best'] else ''}"
            for row in points.sort_values("seconds").to_dict("records")
        ]
        return finish(canvas, slug, title, caption, "; ".join(told) + ".")


def _stairs(best: pd.DataFrame, high: float, top: float) -> tuple[list[float], list[float]]:
    """Returns the least error that each time buys, as a line from the first member on."""
    x: list[float] = []
    y: list[float] = []
    before = top
    for row in best.to_dict("records"):
        x += [row["seconds"], row["seconds"]]
        y += [before, row["error"]]
        before = row["error"]
    return [*x, high], [*y, before]


def _name_points(axes: Axes, points: pd.DataFrame, inches: tuple[float, float]) -> None:
    """Writes each point's name beside it where it covers no other name and no point, the front's first."""
    (left, right), (bottom, top) = (map(math.log, axes.get_xlim()), axes.get_ylim())
    width, height = (72 * side for side in inches)  # in points, of the drawing's area

    def at(row: Mapping[str, Any]) -> tuple[float, float]:
        x = (math.log(row["seconds"]) - left) / (right - left) * width
        return x, (row["error"] - bottom) / (top - bottom) * height

    rows = points.sort_values(["named", "seconds"], ascending=[False, True]).to_dict("records")
    taken = [(x - 4.0, y - 4.0, x + 4.0, y + 4.0) for x, y in map(at, rows)]
    for row in rows:
        x, y = at(row)
        text = short(row["label"])
        size = NAME + (1.2 if row["named"] else 0)
        long, tall = 0.6 * size * len(text), size * 1.1
        offers = [
            (x + side * (5 + 0.5 * long) + shift, y + lift)
            for lift in (0, 7, -7, 13, -13, 20, -20, 27, -27, 34, -34)
            for side, shift in ((1, 0), (-1, 0), (0, 0))
            if lift or side
        ]

        def cost(
            offer: tuple[float, float], long: float = long, tall: float = tall, x: float = x, y: float = y
        ) -> float:
            box = (offer[0] - long / 2, offer[1] - tall / 2, offer[0] + long / 2, offer[1] + tall / 2)
            covered = sum(_overlap(box, other) for other in taken)
            outside = max(0.0, -box[0]) + max(0.0, box[2] - width) + max(0.0, -box[1]) + max(0.0, box[3] - height)
            return covered + 40 * outside + 0.15 * math.hypot(offer[0] - x, offer[1] - y)

        chosen = min(offers, key=cost)
        taken.append((chosen[0] - long / 2, chosen[1] - tall / 2, chosen[0] + long / 2, chosen[1] + tall / 2))
        place = (chosen[0] / width, chosen[1] / height)
        hue = hue_of(row["label"], row["plug_in"]) or INK
        axes.annotate(text, place, xycoords="axes fraction", ha="center", va="center", fontsize=size, color=hue)
        if abs(chosen[1] - y) > 10:
            axes.plot(
                [x / width, place[0]],
                [y / height, place[1] - math.copysign(tall / 2 / height, chosen[1] - y)],
                color=hue,
                alpha=0.5,
                linewidth=0.5,
                transform=axes.transAxes,
            )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    return wide * high if wide > 0 and high > 0 else 0.0
