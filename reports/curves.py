"""Figures about cost: growth on logarithmic axes, and ratios.

A line is named at its end. Colour is for the few that the paper compares and for plug-ins; the others stay in the
text's ink, told apart by their markers and names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from . import units
from .figures import COLOURS, MARKERS, PLUG_IN, brief
from .svg import BLUE, GREEN, INK, ORANGE, REST, Figure, canvas_of, finish
from .timing import interval

_HUES = {"simple": BLUE, "softsub": ORANGE, "ste_gumbel": GREEN, "imle_gumbel": REST[0]}
NAME = 7.2  # points: the size of a line's name


def short(label: str) -> str:
    """Returns a label for the end of a line; of a plug-in's path the name itself."""
    name, _, told = brief(label).partition(" [")
    text = f"{name.rpartition(':')[2]} {told.rstrip(']')}".strip()
    return text if len(text) <= 20 else f"{text[:19]}…"


def hue_of(label: str, plug_in: bool) -> str | None:
    """Returns the colour of the few that have one; the others are drawn in ink."""
    return PLUG_IN if plug_in else _HUES.get(label.partition(" [")[0])


def growth(
    slug: str,
    title: str,
    caption: str,
    table: pd.DataFrame,
    *,
    axis: str,
    metric: str,
    exponents: Mapping[str, float],
) -> Figure:
    """Returns lines on logarithmic axes, one an estimator, each named at its end with its exponent.

    Args:
      slug, title, caption: its name in files, its heading, and the sentences under it.
      table: rows of `timing.Timings.table` for one way, one metric and the sizes of one family.
      axis: `n` or `k`.
      metric: its name, for units.
      exponents: by label, where one was fitted.
    """
    lines = {str(label): group.sort_values(axis) for label, group in table.groupby("label", sort=True)}
    with canvas_of(slug, max(3.3, 1.1 + 0.135 * len(lines))) as canvas:
        axes = canvas.subplots()
        told, ends = [], []
        for turn, (label, group) in enumerate(lines.items()):
            hue = hue_of(label, bool(group["plug_in"].iloc[0]))
            style: dict[str, Any] = {"color": hue or INK, "alpha": 1.0 if hue else 0.5, "zorder": 3 if hue else 2}
            x, y = group[axis].to_numpy(float), group["value"].to_numpy(float)
            marker = MARKERS[turn % len(MARKERS)]
            axes.plot(x, y, marker=marker, ms=3.4, mfc="none", mew=0.9, linewidth=1.7 if hue else 0.9, **style)
            gaps = np.full_like(x, np.nan)  # one path with gaps instead of a path for each interval
            low, high = (end.to_numpy(float) for end in interval(group["value"], group["std_error"]))
            bars = (np.stack([x, x, gaps], axis=1).ravel(), np.stack([low, high, gaps], axis=1).ravel())
            axes.plot(*bars, linewidth=1.1, **style)
            exponent = f"  {exponents[label]:.2f}" if label in exponents else ""
            ends.append((label, x[-1], y[-1], f"{short(label)}{exponent}", hue))
            first, last = (units.of(metric, value) for value in (y[0], y[-1]))
            told.append(f"{label} {first} at {axis} {x[0]:.0f}, {last} at {axis} {x[-1]:.0f}")
        _log_axes(axes, sorted(table[axis].unique()), table["value"], axis, metric)
        _name_ends(axes, ends, canvas.get_figheight())
        return finish(canvas, slug, title, caption, "; ".join(told) + ".")


def _log_axes(axes: Axes, sizes: Sequence[int], values: pd.Series[float], axis: str, metric: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks: list[int] = []
    for size in sizes:  # the sizes themselves, where their numbers have room
        if not ticks or math.log(size / ticks[-1]) > 0.13 * math.log(sizes[-1] / sizes[0]):
            ticks.append(int(size))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(sizes[0] / 1.12, sizes[-1] * 1.06)
    axes.set_ylim(float(values.min()) / 1.5, float(values.max()) * 1.5)
    _unit_ticks(axes, metric)
    axes.set_xlabel(axis)
    axes.grid(visible=True, which="major", color=INK, alpha=0.12, linewidth=0.6)
    axes.spines["right"].set_visible(False)


def _unit_ticks(axes: Axes, metric: str) -> None:
    """Labels powers of ten of seconds, or of four of bytes, in their units."""
    base = 4.0 if metric.endswith("bytes") else 10.0
    low, high = axes.get_ylim()
    narrow = math.log(high / low, base) < 2.5
    axes.yaxis.set_major_locator(LogLocator(base, subs=(1.0, 2.0, 5.0) if narrow and base == 10 else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: plain_tick(metric, value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_locator(NullLocator())


def plain_tick(metric: str, value: float) -> str:
    """Returns a value at an axis, with its unit and without superfluous digits."""
    number, _, unit = units.of(metric, value).partition(" ")
    return f"{float(number):g} {unit}" if unit else number


def _name_ends(axes: Axes, ends: list[tuple[str, float, float, str, str | None]], height: float) -> None:
    """Writes the lines' names at the right edge, in order and apart, with a hair from each line's end to its name."""
    low, high = (math.log(value) for value in axes.get_ylim())
    right = math.log(axes.get_xlim()[1] / axes.get_xlim()[0])
    gap = NAME * 1.13 / (72 * (height - 0.75))
    wanted = sorted((((math.log(y) - low) / (high - low)), label, x, text, hue) for label, x, y, text, hue in ends)
    places = spread([place for place, *_ in wanted], gap)
    for place, (at, _, x, text, hue) in zip(places, wanted, strict=True):
        start = math.log(x / axes.get_xlim()[0]) / right
        colour, alpha = hue or INK, 1.0 if hue else 0.5
        axes.plot(
            [start, 1.0, 1.035],
            [at, at, place],
            color=colour,
            alpha=alpha * 0.7,
            linewidth=0.5,
            transform=axes.transAxes,
            clip_on=False,
            linestyle=":" if start < 0.9 else "-",
        )
        axes.annotate(
            text,
            (1.045, place),
            xycoords="axes fraction",
            va="center",
            fontsize=NAME,
            annotation_clip=False,
            color=hue or INK,
        )


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Returns sorted places moved as little as keeps them `gap` apart: what overlaps is centred on its mean."""
    groups: list[tuple[list[float], float]] = []  # the members' places, and the first one's new place
    for place in places:
        members = [place]
        start = place
        while groups and groups[-1][1] + gap * len(groups[-1][0]) > start:
            before, _ = groups.pop()
            members = before + members
            start = sum(members) / len(members) - gap * (len(members) - 1) / 2
        groups.append((members, start))
    return [start + gap * turn for members, start in groups for turn in range(len(members))]


def ratios(slug: str, title: str, caption: str, table: pd.DataFrame, *, left: str, right: str) -> Figure:
    """Returns dots with intervals about 1, one line an estimator and one marker a size.

    Args:
      slug, title, caption: as everywhere.
      table: rows of `timing.against`: `label`, `value`, `low`, `high`, and `size`, a text.
      left, right: what values below and above 1 mean.
    """
    order = table.groupby("label")["value"].median().sort_values(kind="stable", ascending=False)
    places = {str(label): place for place, label in enumerate(order.index)}
    sizes = list(dict.fromkeys(table["size"]))
    with canvas_of(slug, 1.5 + 0.2 * len(places)) as canvas:
        axes = canvas.subplots()
        for turn, size in enumerate(sizes):
            rows = table[table["size"] == size]
            heights = [places[label] + 0.5 * (turn / max(len(sizes) - 1, 1) - 0.5) for label in rows["label"]]
            colour, marker = COLOURS[turn % len(COLOURS)], MARKERS[turn % len(MARKERS)]
            axes.hlines(heights, rows["low"], rows["high"], color=colour, linewidth=1.3)
            axes.plot(rows["value"], heights, marker, color=colour, ms=4.2, mfc="none", mew=1.2, label=size)
        axes.set_xscale("log", base=2)
        axes.axvline(1, color=INK, linewidth=0.8)
        # Room for the intervals, but for those that say nothing.
        low = min(table["value"].min() / 1.2, max(table["low"].min(), table["value"].min() / 3), 1 / 1.8)
        high = max(table["value"].max() * 1.2, min(table["high"].max(), table["value"].max() * 3), 1.8)
        axes.set_xlim(low, high)
        powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
        step = max(1, len(powers) // 7)
        ticks = [2.0**power for power in powers if power % step == 0]
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(_times))
        axes.set_yticks(range(len(places)), [short(label) for label in places], fontsize=8)
        axes.set_ylim(-0.7, len(places) - 0.3)
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        axes.spines["right"].set_visible(False)
        gap = "\N{NO-BREAK SPACE}" * 12
        axes.set_xlabel(f"← {left}{gap}{right} →", fontsize=8.5)
        canvas.legend(loc="outside upper center", ncols=2 if len(sizes) > 3 else 3, fontsize=7.6, columnspacing=1.2)
        told = [f"{row['label']} {units.ratio(row['value'])} at {row['size']}" for row in table.to_dict("records")]
        return finish(canvas, slug, title, caption, "; ".join(told) + ".")


def _times(value: float, _: object) -> str:
    return f"{value:g}×" if value >= 1 else f"1/{1 / value:g}"
