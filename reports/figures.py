"""Figures: the paper's bars, and dots with intervals for any number of estimators.

Markers and hatches carry the same distinctions as colours; a filled marker is exact, a hollow one sampled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from .load import Z95
from .svg import BLUE, GREEN, INK, ORANGE, REST, VERMILION, Figure, canvas_of, finish

MARKERS = "oDsv^P"
COLOURS = (BLUE, ORANGE, *REST)
FLOOR = GREEN
PLUG_IN = VERMILION


@dataclass(frozen=True)
class Bars:
    """One group of bars: a value and half an error bar for each estimator, and what was published, as a tick."""

    label: str
    values: Sequence[float]
    errors: Sequence[float]
    outer: Sequence[float] | None = None
    published: Sequence[float | None] | None = None


def number(value: float, digits: int = 3) -> str:
    """Returns a value in few characters: `.046`, `1.67`, `177`, and `0` for what is zero to rounding."""
    if abs(value) < 5e-13:
        return "0"
    text = f"{value:.{digits}g}" if abs(value) >= 1 else f"{value:.3f}"
    if text in ("0.000", "-0.000"):
        text = f"{value:.0e}".replace("e-0", "e-")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def bars(slug: str, title: str, caption: str, labels: Sequence[str], groups: Sequence[Bars]) -> Figure:
    """Returns a bar figure in the paper's form: one group on the left axis, a second, hatched, at the right."""
    with canvas_of(slug, 3.1) as canvas:
        left = canvas.subplots()
        width = 0.8 / len(groups)
        told = []
        for place, group in enumerate(groups):
            axes = left if place == 0 else left.twinx()
            colour = COLOURS[place]
            offsets = [i - 0.4 + width * (place + 0.5) for i in range(len(labels))]
            style = {"color": colour, "alpha": 0.85} if place == 0 else {"facecolor": "none", "hatch": "////"}
            axes.bar(offsets, group.values, width * 0.92, edgecolor=colour, linewidth=1, label=group.label, **style)
            if group.outer is not None:
                axes.errorbar(
                    offsets, group.values, yerr=group.outer, fmt="none", ecolor=INK, elinewidth=0.6, alpha=0.6
                )
            axes.errorbar(offsets, group.values, yerr=group.errors, fmt="none", ecolor=INK, elinewidth=1.4, capsize=3)
            reaches = (group.errors, group.outer or group.errors)
            tops = [
                value + max([error for error in errors if error == error], default=0.0)
                for value, *errors in zip(group.values, *reaches, strict=True)
            ]
            for x, top, value in zip(offsets, tops, group.values, strict=True):
                if value == value:
                    axes.annotate(
                        number(value), (x, max(top, 0)), (0, 3), textcoords="offset points", ha="center", fontsize=7.5
                    )
            for x, told_value in zip(offsets, group.published or (), strict=False):
                if told_value is not None:
                    axes.plot([x - width * 0.55, x + width * 0.55], [told_value] * 2, color=FLOOR, linewidth=2)
            axes.set_ylim(0, max([top for top in tops if top == top], default=1) * 1.12 or 1)
            axes.set_ylabel(group.label)
            axes.spines["right"].set_visible(place > 0)
            told += [f"{group.label}: {label} {number(v)}" for label, v in zip(labels, group.values, strict=True)]
        left.set_xticks(range(len(labels)), labels, fontsize=8.5)
        left.set_xlim(-0.6, len(labels) - 0.4)
        handles: list[Any] = [axes.containers[0] for axes in canvas.axes]
        names = [group.label for group in groups]
        if any(group.published for group in groups):
            handles.append(Line2D([], [], color=FLOOR, linewidth=2))
            names.append("authors' notebook (read by eye)")
        canvas.legend(handles, names, loc="outside upper center", ncols=3, fontsize=8, columnspacing=1.2)
        return finish(canvas, slug, title, caption, "; ".join(told) + ".")


def dots(
    slug: str,
    title: str,
    caption: str,
    table: pd.DataFrame,
    series: Sequence[str],
    *,
    axis: str,
    floor: pd.DataFrame | None = None,
    blank: dict[str, str] | None = None,
) -> Figure:
    """Returns a dot-and-interval figure, one line per estimator, best on top.

    Args:
      slug, title, caption: its name in files, its heading, and the two sentences under it.
      table: rows of `load.summarise` for one metric.
      series: the backends, in the order of their markers.
      axis: the label of the value axis.
      floor: rows of `load.summarise` for a metric drawn as ticks beside the dots.
      blank: estimators without a value, and the word that stands in its place.
    """
    shown = table[table["value"].notna()]
    order = shown.groupby("label")["value"].mean().sort_values(kind="stable")
    labels = [str(label) for label in order.index]
    blank = {label: why for label, why in (blank or {}).items() if label not in order.index}
    places = {label: place for place, label in enumerate([*labels, *blank])}
    plug_ins = set(table.loc[table["plug_in"], "label"]) | {label for label in blank if ":" in label}
    with canvas_of(slug, 1.25 + 0.255 * max(len(places), 1)) as canvas:
        axes = canvas.subplots()
        step = 0.44 / max(len(series) - 1, 1)
        for turn, name in enumerate(series):
            rows = shown[shown["series"] == name]
            offset = step * turn - 0.22 if len(series) > 1 else 0.0
            heights = [places[label] + offset for label in rows["label"]]
            colour, marker = COLOURS[turn % len(COLOURS)], MARKERS[turn % len(MARKERS)]
            at = rows.assign(y=heights)
            drawn = at[~at["exact"] & (at["std_error"] > 0)]
            reach = Z95 * drawn["std_error"]
            axes.hlines(drawn["y"], drawn["value"] - reach, drawn["value"] + reach, color=colour, linewidth=1.6)
            for exact, group in at.groupby("exact"):
                fill = colour if exact else "none"
                axes.plot(group["value"], group["y"], marker, color=colour, mfc=fill, ms=4.6, mew=1.2)
        if floor is not None:
            ticks = floor[floor["value"].notna() & floor["label"].isin(list(places))].drop_duplicates("label")
            axes.plot(ticks["value"], ticks["label"].map(places), "|", color=FLOOR, ms=11, mew=2)
        for label, why in blank.items():
            axes.annotate(why, (0, places[label]), (4, 0), textcoords="offset points", va="center", fontsize=8)
        _scale(axes, shown)
        axes.set_yticks(range(len(places)), [_short(label) for label in places], fontsize=9)
        for tick, label in zip(axes.get_yticklabels(), places, strict=True):
            if label in plug_ins:
                tick.set_color(PLUG_IN)
        axes.set_ylim(max(len(places), 1) - 0.4, -0.6)
        axes.set_xlabel(axis)
        axes.spines["right"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", color=INK, alpha=0.12, linewidth=0.6)
        axes.set_axisbelow(True)
        canvas.legend(
            handles=_legend(series, floor is not None),
            loc="outside upper center",
            ncols=2,
            fontsize=8,
            handletextpad=0.3,
        )
        first = shown[shown["series"] == series[0]].set_index("label")["value"] if series else pd.Series(dtype=float)
        told = "; ".join(f"{label} {number(first.get(label, order[label]))}" for label in labels)
        told += "".join(f"; {label}: {why}" for label, why in blank.items())
        return finish(canvas, slug, title, caption, f"{axis}, best first: {told}.")


def brief(label: str) -> str:
    """Returns a label whose longest parameters are abbreviated."""
    return label.replace("temperature=", "t=").replace("logits=", "")


def _short(label: str) -> str:
    """Returns a label that fits beside an axis; of a plug-in's path the end says most."""
    label = brief(label)
    return label if len(label) <= 24 else f"…{label[-23:]}"


def _legend(series: Sequence[str], floor: bool) -> list[Line2D]:
    handles = [
        Line2D(
            [], [], color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)], ms=5, linestyle="", label=name
        )
        for i, name in enumerate(series)
    ]
    handles.append(Line2D([], [], color=INK, marker="o", ms=5, linestyle="", label="filled: exact"))
    handles.append(
        Line2D([], [], color=INK, marker="o", mfc="none", ms=5, linewidth=1.4, label="hollow: sampled, 95 % interval")
    )
    if floor:
        handles.append(
            Line2D(
                [], [], color=FLOOR, marker="|", ms=10, mew=2, linestyle="", label="floor: what an unbiased one shows"
            )
        )
    return handles


def _scale(axes: Axes, shown: pd.DataFrame) -> None:
    """Sets a linear axis from zero, or where values span decades a symmetric log one, on which 0 has its place."""
    clear = shown.loc[(shown["value"] > 3 * shown["std_error"].fillna(0)) & (shown["value"] > 1e-9), "value"]
    if clear.empty or clear.max() / clear.min() < 12:
        axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
        axes.axvline(0, color=INK, linewidth=0.7)
        return
    top = math.ceil(math.log10(clear.max()))
    bottom = max(math.floor(math.log10(clear.min())), top - 5)
    axes.set_xscale("symlog", linthresh=10.0**bottom, linscale=0.6)
    ticks = [0.0, *(10.0**power for power in range(bottom, top + 1))]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    low = min(0.0, float((shown["value"] - Z95 * shown["std_error"].fillna(0)).min()))
    high = float((shown["value"] + Z95 * shown["std_error"].fillna(0)).max())
    axes.set_xlim(low - 0.12 * 10.0**bottom, high * 1.3)
    axes.axvline(0, color=INK, linewidth=0.7)
