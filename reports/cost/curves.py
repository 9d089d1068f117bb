"""Figures of cost: growth on logarithmic axes, and ratios.

Plug-ins and the estimators that the experiment highlights have colours and solid lines. The others share the colour of
the text, and differ by their markers and dashes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from ..form import numbers, units
from ..form.svg import BLUE, COLOURS, GREEN, INK, MARKERS, ORANGE, PLUG_IN, REST, Figure, canvas_of, finish
from ..quality.figures import brief
from .timings import interval

LEGEND = {"loc": "outside right upper", "fontsize": 7.2, "labelspacing": 0.35, "handlelength": 2.2}
_HUES: tuple[str, ...] = (BLUE, ORANGE, GREEN, *REST)
_FAINT = (*to_rgb(INK), 0.5)
_DASHES = ("", (4, 1.5), (1, 1))
_LOOKS = tuple(product(_DASHES, MARKERS))


def short(label: str) -> str:
    """Returns a label for a legend, of at most 20 characters: of a plug-in's path only the name."""
    name, _, variant = brief(label).partition(" [")
    text = f"{name.rpartition(':')[2]} {variant.rstrip(']')}".strip()
    return text if len(text) <= 20 else f"{text[:19]}…"


def hue_of(label: str, plug_in: bool, highlights: Sequence[str]) -> str | None:
    """Returns the colour of a highlighted estimator or a plug-in; None for the others."""
    hues = dict(zip(highlights, _HUES, strict=False))
    return PLUG_IN if plug_in else hues.get(label.partition(" [")[0])


def growth(
    slug: str,
    title: str,
    caption: str,
    table: pd.DataFrame,
    *,
    axis: str,
    metric: str,
    exponents: Mapping[str, float],
    highlights: Sequence[str],
) -> Figure:
    """Returns lines on logarithmic axes, one for each estimator; the legend gives the exponents.

    Args:
      slug, title, caption: its name in files, its heading, and the sentences under it.
      table: rows of `timings.Timings.table` for one engine, one metric and the sizes of one family.
      axis: `n` or `k`.
      metric: its name, for units.
      exponents: by label, where there is a fit.
      highlights: names of the estimators to draw in colour.
    """
    table = table.sort_values(axis)
    labels = list(table.groupby("label", sort=True)["value"].last().sort_values(kind="stable", ascending=False).index)
    plug_ins = set(table.loc[table["plug_in"], "label"])
    hues = {label: hue_of(label, label in plug_ins, highlights) for label in labels}
    colours = {label: hue or _FAINT for label, hue in hues.items()}
    looks = {label: _LOOKS[turn % len(_LOOKS)] for turn, label in enumerate(sorted(labels))}
    with canvas_of(slug, max(3.3, 1.1 + 0.15 * len(labels))) as canvas:
        axes = canvas.subplots()
        sns.lineplot(
            table,
            x=axis,
            y="value",
            hue="label",
            hue_order=labels,
            palette=colours,
            style="label",
            style_order=labels,
            markers={label: marker for label, (_, marker) in looks.items()},
            dashes={label: "" if hues[label] else dashes for label, (dashes, _) in looks.items()},
            estimator=None,
            markersize=4.5,
            markeredgecolor="none",
            linewidth=1.2,
            legend="full",
            ax=axes,
        )
        low, high = interval(table["value"], table["std_error"])
        axes.vlines(table[axis], low, high, colors=[colours[label] for label in table["label"]], linewidth=1.2)
        _log_axes(axes, sorted(table[axis].unique()), table["value"], axis, metric)
        handles, _ = axes.get_legend_handles_labels()
        axes.get_legend().remove()
        fitted = {label: f"  {numbers.exponent(value)}" for label, value in exponents.items()}
        canvas.legend(handles, [f"{short(label)}{fitted.get(label, '')}" for label in labels], **LEGEND)
        words = []
        for label, rows in table.groupby("label", sort=True):
            ends = rows.iloc[[0, -1]].to_dict("records")
            costs = [f"{units.of(metric, row['value'])} at {axis} {row[axis]}" for row in ends]
            words.append(f"{label} {', '.join(costs)}")
        return finish(canvas, slug, title, caption, "; ".join(words) + ".")


def _log_axes(axes: Axes, sizes: Sequence[int], values: pd.Series[float], axis: str, metric: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks: list[int] = []
    for size in sizes:  # a tick at each size that has room for its number
        if not ticks or math.log(size / ticks[-1]) > 0.13 * math.log(sizes[-1] / sizes[0]):
            ticks.append(int(size))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(float(values.min()) / 1.5, float(values.max()) * 1.5)
    low, high = axes.get_ylim()
    base = 4.0 if metric.endswith("bytes") else 10.0
    narrow = base == 10 and math.log(high / low, base) < 2.5
    axes.yaxis.set_major_locator(LogLocator(base, subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axes.yaxis.set_minor_locator(NullLocator())
    tidy(axes, metric, "y")
    axes.set_xlabel(axis)
    axes.set_ylabel("")


def tidy(axes: Axes, metric: str, axis: str) -> None:
    """Labels an axis of times or bytes in their units, and draws the grid."""
    ticks = axes.xaxis if axis == "x" else axes.yaxis
    ticks.set_major_formatter(FuncFormatter(lambda value, _: units.tick(metric, value)))
    ticks.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, which="major", color=INK, alpha=0.12, linewidth=0.6)
    axes.spines["right"].set_visible(False)


def ratios(slug: str, title: str, caption: str, table: pd.DataFrame, *, left: str, right: str) -> Figure:
    """Returns ratios as dots with intervals: one line for each estimator, and one marker for each size.

    Args:
      slug, title, caption: its name in files, its heading, and the sentences under it.
      table: rows of `timings.against`: `label`, `value`, `low`, `high`, and `size`, a text.
      left, right: the meaning of values below and above 1.
    """
    order = table.groupby("label")["value"].median().sort_values(kind="stable", ascending=False)
    y_of = {str(label): index for index, label in enumerate(order.index)}
    sizes = list(dict.fromkeys(table["size"]))
    with canvas_of(slug, 1.5 + 0.2 * len(y_of)) as canvas:
        axes = canvas.subplots()
        for turn, size in enumerate(sizes):
            rows = table[table["size"] == size]
            heights = rows["label"].map(y_of) + 0.5 * (turn / max(len(sizes) - 1, 1) - 0.5)
            colour, marker = COLOURS[turn % len(COLOURS)], MARKERS[turn % len(MARKERS)]
            axes.hlines(heights, rows["low"], rows["high"], color=colour, linewidth=1.3)
            axes.plot(rows["value"], heights, marker, color=colour, ms=4.2, mfc="none", mew=1.2, label=size)
        axes.set_xscale("log", base=2)
        axes.axvline(1, color=INK, linewidth=0.8)
        # Intervals are cut where they are so wide that they say nothing.
        low = min(table["value"].min() / 1.2, max(table["low"].min(), table["value"].min() / 3), 1 / 1.8)
        high = max(table["value"].max() * 1.2, min(table["high"].max(), table["value"].max() * 3), 1.8)
        axes.set_xlim(low, high)
        powers = range(math.ceil(math.log2(low)), math.floor(math.log2(high)) + 1)
        step = max(1, len(powers) // 7)
        axes.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers if power % step == 0]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(units.ratio_tick))
        axes.set_yticks(range(len(y_of)), [short(label) for label in y_of], fontsize=8)
        axes.set_ylim(-0.7, len(y_of) - 0.3)
        axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
        axes.spines["right"].set_visible(False)
        gap = "\N{NO-BREAK SPACE}" * 12
        axes.set_xlabel(f"← {left}{gap}{right} →", fontsize=8.5)
        canvas.legend(loc="outside upper center", ncols=2 if len(sizes) > 3 else 3, fontsize=7.6, columnspacing=1.2)
        words = [f"{row['label']} {units.ratio(row['value'])} at {row['size']}" for row in table.to_dict("records")]
        return finish(canvas, slug, title, caption, "; ".join(words) + ".")
