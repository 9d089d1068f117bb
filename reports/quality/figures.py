"""Figures of quality: bars in the paper's form, and dots with intervals for any number of estimators.

Markers and hatches distinguish the same things as colours. A filled marker is exact, a hollow one sampled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.results import agreement

from ..data import Z95
from ..form.numbers import compact, or_zero
from ..form.svg import COLOURS, GREEN, INK, MARKERS, PLUG_IN, Figure, canvas_of, finish

FLOOR = GREEN


@dataclass(frozen=True)
class Bars:
    """One group of bars: for each estimator a value, half an error bar, half a wider one, and a published value."""

    label: str
    values: Sequence[float]
    errors: Sequence[float]
    outer: Sequence[float]
    published: Sequence[float]


def bars(slug: str, title: str, caption: str, labels: Sequence[str], groups: Sequence[Bars], published: str) -> Figure:
    """Returns a bar figure in the paper's form: one group on the left axis, and a second, hatched, on the right.

    Args:
      slug, title, caption: its name in files, its heading, and the sentences under it.
      labels: names of the estimators.
      groups: one or two; a number that does not exist is NaN.
      published: where the published values are from, for the legend.
    """
    with canvas_of(slug, 3.1) as canvas:
        left = canvas.subplots()
        width = 0.8 / len(groups)
        words, handles = [], []
        for index, group in enumerate(groups):
            axes = left if index == 0 else left.twinx()
            colour = COLOURS[index]
            x = [i - 0.4 + width * (index + 0.5) for i in range(len(labels))]
            style = {"color": colour, "alpha": 0.85} if index == 0 else {"facecolor": "none", "hatch": "////"}
            handles.append(axes.bar(x, group.values, width * 0.92, edgecolor=colour, linewidth=1, **style))
            ink = {"fmt": "none", "ecolor": INK}
            axes.errorbar(x, group.values, yerr=group.outer, elinewidth=0.6, alpha=0.6, **ink)
            axes.errorbar(x, group.values, yerr=group.errors, elinewidth=1.4, capsize=3, **ink)
            ends = zip(group.values, group.errors, group.outer, strict=True)
            tops = [value + max(or_zero(error), or_zero(outer)) for value, error, outer in ends]
            for at, top, value in zip(x, tops, group.values, strict=True):
                if not math.isnan(value):
                    above = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center", "fontsize": 7.5}
                    axes.annotate(compact(value), (at, max(top, 0)), **above)
            for at, value in zip(x, group.published, strict=True):
                if not math.isnan(value):
                    axes.hlines(value, at - width * 0.55, at + width * 0.55, color=FLOOR, linewidth=2)
            axes.set_ylim(0, max(map(or_zero, tops)) * 1.12 or 1)
            axes.set_ylabel(group.label)
            axes.spines["right"].set_visible(index > 0)
            words += [f"{group.label}: {label} {compact(v)}" for label, v in zip(labels, group.values, strict=True)]
        left.set_xticks(range(len(labels)), labels, fontsize=8.5)
        left.set_xlim(-0.6, len(labels) - 0.4)
        names = [group.label for group in groups]
        if not all(math.isnan(value) for group in groups for value in group.published):
            handles.append(Line2D([], [], color=FLOOR, linewidth=2))
            names.append(f"{published} (read by eye)")
        canvas.legend(handles, names, loc="outside upper center", ncols=3, fontsize=8, columnspacing=1.2)
        return finish(canvas, slug, title, caption, "; ".join(words) + ".")


def dots(
    slug: str,
    title: str,
    caption: str,
    table: pd.DataFrame,
    series: Sequence[str],
    *,
    axis: str,
    floor: pd.DataFrame | None = None,
    blank: Mapping[str, str],
) -> Figure:
    """Returns a dot-and-interval figure, one line for each estimator, the best on top.

    Args:
      slug, title, caption: its name in files, its heading, and the sentences under it.
      table: rows of `board.summarise` for one metric.
      series: the backends, in the order of their markers.
      axis: the label of the value axis.
      floor: rows of `board.summarise` for a metric to draw as ticks behind the dots.
      blank: estimators without a value, each with the words to write in its line.
    """
    shown = table[table["value"].notna()]
    order = shown.groupby("label")["value"].mean().sort_values(kind="stable")
    labels = [str(label) for label in order.index]
    blank = {label: words for label, words in blank.items() if label not in order.index}
    y_of = {label: index for index, label in enumerate([*labels, *blank])}
    plug_ins = set(table.loc[table["plug_in"], "label"]) | {label for label in blank if ":" in label}
    with canvas_of(slug, 1.25 + 0.255 * max(len(y_of), 1)) as canvas:
        axes = canvas.subplots()
        for turn, name in enumerate(series):
            rows = shown[shown["series"] == name]
            offset = 0.44 * (turn / (len(series) - 1) - 0.5) if len(series) > 1 else 0.0
            rows = rows.assign(y=[y_of[label] + offset for label in rows["label"]])
            colour, marker = COLOURS[turn % len(COLOURS)], MARKERS[turn % len(MARKERS)]
            half = (Z95 * rows["std_error"]).where(~rows["exact"])
            axes.hlines(rows["y"], rows["value"] - half, rows["value"] + half, color=colour, linewidth=1.6)
            for exact, group in rows.groupby("exact"):
                fill = colour if exact else "none"
                axes.plot(group["value"], group["y"], marker, color=colour, mfc=fill, ms=4.6, mew=1.2)
        if floor is not None:
            ticks = floor[floor["value"].notna() & floor["label"].isin(list(y_of))].drop_duplicates("label")
            axes.plot(ticks["value"], ticks["label"].map(y_of), "|", color=FLOOR, ms=11, mew=2)
        for label, words in blank.items():
            axes.annotate(words, (0, y_of[label]), (4, 0), textcoords="offset points", va="center", fontsize=8)
        _scale(axes, shown)
        axes.set_yticks(range(len(y_of)), [_at_axis(label) for label in y_of], fontsize=9)
        for tick, label in zip(axes.get_yticklabels(), y_of, strict=True):
            if label in plug_ins:
                tick.set_color(PLUG_IN)
        axes.set_ylim(max(len(y_of), 1) - 0.4, -0.6)
        axes.set_xlabel(axis)
        axes.spines["right"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.6)
        axes.set_axisbelow(True)
        handles = _legend(series, floor is not None)
        canvas.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8, handletextpad=0.3)
        first = shown[shown["series"] == series[0]].set_index("label")["value"] if series else pd.Series(dtype=float)
        words = "; ".join(f"{label} {compact(first.get(label, order[label]))}" for label in labels)
        words += "".join(f"; {label}: {reason}" for label, reason in blank.items())
        return finish(canvas, slug, title, caption, f"{axis}, best first: {words}.")


def brief(label: str) -> str:
    """Returns a label with its longest parameters abbreviated."""
    return label.replace("temperature=", "t=").replace("logits=", "")


def _at_axis(label: str) -> str:
    """Returns a label that fits next to an axis: of a long one the end, since a plug-in's path ends with its name."""
    label = brief(label)
    return label if len(label) <= 24 else f"…{label[-23:]}"


def _legend(series: Sequence[str], floor: bool) -> list[Line2D]:
    looks: list[tuple[str, dict[str, Any]]] = [
        (name, {"color": COLOURS[turn % len(COLOURS)], "marker": MARKERS[turn % len(MARKERS)], "ms": 5})
        for turn, name in enumerate(series)
    ]
    looks.append(("filled: exact", {"color": INK, "marker": "o", "ms": 5}))
    hollow = {"color": INK, "marker": "o", "mfc": "none", "ms": 5, "linestyle": "-", "linewidth": 1.4}
    looks.append(("hollow: sampled, 95 % interval", hollow))
    if floor:
        looks.append(("floor: of an unbiased estimator", {"color": FLOOR, "marker": "|", "ms": 10, "mew": 2}))
    return [Line2D([], [], label=label, **{"linestyle": "", **look}) for label, look in looks]


def _scale(axes: Axes, shown: pd.DataFrame) -> None:
    """Sets a linear axis from zero, or a symmetric logarithmic one, which includes zero, if values span decades."""
    errors = shown["std_error"].fillna(0)
    clear = shown.loc[(shown["value"] > agreement.SIGMAS_WARNING * errors) & (shown["value"] > 1e-9), "value"]
    if clear.empty or clear.max() / clear.min() < 12:
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.axvline(0, color=INK, linewidth=0.7)
        return
    top = math.ceil(math.log10(clear.max()))
    bottom = max(math.floor(math.log10(clear.min())), top - 5)
    axes.set_xscale("symlog", linthresh=10.0**bottom, linscale=0.6)
    axes.xaxis.set_major_locator(FixedLocator([0.0, *(10.0**power for power in range(bottom, top + 1))]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    low = min(0.0, float((shown["value"] - Z95 * errors).min()))
    high = float((shown["value"] + Z95 * errors).max())
    axes.set_xlim(low - 0.12 * 10.0**bottom, high * 1.3)
    axes.axvline(0, color=INK, linewidth=0.7)
