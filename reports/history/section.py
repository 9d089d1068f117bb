"""asv's history on the page: a small line for each benchmark over the commits, the largest changes first."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import pandas as pd

from benchmarks.results import agreement

from ..form import units

_WIDTH, _HEIGHT, _EDGE = 132, 26, 3
_SHOWN = 40  # lines that are not folded


def section(frame: pd.DataFrame, source: str) -> dict[str, Any] | None:
    """Returns the content of the section; None without values.

    Args:
      frame: `commit date benchmark params value low high unit machine environment`, a row for each measurement; each
        machine and environment has lines of its own, since their numbers cannot be compared.
      source: where the frame was read, in words.
    """
    measured = frame[frame["value"].notna()]
    if measured.empty:
        return None
    machines = ["machine", "environment"]
    differing = [name for name in machines if measured[name].nunique() > 1]
    where = measured[differing].agg(", ".join, axis=1) if differing else ""
    measured = measured.assign(params=measured["params"].map(str), where=where)
    measured = measured.sort_values(["date", "commit"], kind="stable")
    keys = ["benchmark", "params", "where", *machines]
    lines = [
        _line(dict(zip(keys, key, strict=True)), rows, turn) for turn, (key, rows) in enumerate(measured.groupby(keys))
    ]
    lines.sort(key=lambda line: (not line["sure"], -line["weight"], line["benchmark"], line["params"]))
    commits = measured.drop_duplicates("commit")
    return {
        "source": source,
        "commits": len(commits),
        "first": _name(commits.iloc[0]),
        "last": _name(commits.iloc[-1]),
        "changed": sum(line["sure"] for line in lines),
        "count": len(lines),
        "parts": [part for part in (lines[:_SHOWN], lines[_SHOWN:]) if part],
        "several_machines": bool(differing),
    }


def headline(history: dict[str, Any]) -> list[str]:
    """Returns a sentence about the largest change; empty if no change is certain."""
    first = history["parts"][0][0]
    if not first["sure"]:
        return []
    name = f"{first['benchmark']} {first['params']}".strip()
    return [
        f"Between the commits {history['first']} and {history['last']}, {history['changed']} of {history['count']} "
        f"benchmarks changed measurably, {name} most: from {first['before']} to {first['now']}."
    ]


def _name(row: pd.Series[Any]) -> str:
    return f"{str(row['commit'])[:8]} ({str(row['date'])[:10]})"


def _line(key: dict[str, str], rows: pd.DataFrame, turn: int) -> dict[str, Any]:
    """Returns a benchmark's line: its first and last value, their ratio, whether that is a change, and a drawing."""
    rows = rows.drop_duplicates("commit", keep="last")  # the last measurement of a commit counts
    first, last = rows.iloc[0], rows.iloc[-1]
    unit = str(first["unit"])
    before, now = float(first["value"]), float(last["value"])
    ratio = now / before if before > 0 and now > 0 else math.nan
    change = agreement.relative_change(before, now, unit)
    old, new = units.of(unit, before), units.of(unit, now)
    description = f"{key['benchmark']} {key['params']}: {old} at {_name(first)}, {new} at {_name(last)}"
    # A metric with a fixed seed and a number of bytes have no intervals: they are exact.
    exact = bool(rows[["low", "high"]].isna().all(axis=None))
    interval, other = ((row["low"], row["high"]) for row in (first, last))
    changed = change > agreement.CHANGED if exact else agreement.apart(interval, other)
    return {
        **key,
        "before": old,
        "now": new,
        "ratio": units.ratio(ratio),
        "order": ratio,
        "sure": len(rows) > 1 and changed,
        "slower": now > before,
        "weight": change if len(rows) > 1 else 0.0,
        "commits": len(rows),
        "svg": _spark(rows["value"].tolist(), f"history-{turn}", description),
    }


def _spark(values: list[float], slug: str, description: str) -> str:
    """Returns a line without axes over the commits, its last point marked; the lowest value is at the bottom."""
    low, high = min(values), max(values)
    # At least a tenth of the largest value is the full height: a smaller change looks small.
    span = max(high - low, 0.1 * max(abs(low), abs(high))) or 1.0
    middle = (low + high) / 2
    step = (_WIDTH - 2 * _EDGE) / max(len(values) - 1, 1)
    points = [
        (_EDGE + turn * step, _HEIGHT / 2 - (value - middle) / span * (_HEIGHT - 2 * _EDGE))
        for turn, value in enumerate(values)
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<svg class="spark" role="img" aria-labelledby="{slug}" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<title id="{slug}">{escape(description)}</title><polyline points="{path}"/>'
        f'<circle cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="2.4"/></svg>'
    )
