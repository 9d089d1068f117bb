"""asv's history on the page: a small line a benchmark over the commits, the largest changes first."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import pandas as pd

from . import units

_WIDTH, _HEIGHT, _EDGE = 132, 26, 3
_SHOWN = 40  # lines that are not folded
_RELATIVE = 0.01  # beyond it an exact value has changed; asv's regressions_thresholds say the same of quality
# By unit, the least value that a change is a share of. Figures print a cosine to thousandths: what is below a tenth of
# one matters to nobody, however many times as much it is.
_LEAST = {"of cosines": 1e-4}


def section(frame: pd.DataFrame, source: str) -> dict[str, Any] | None:
    """Returns what the page says about the history; None without values.

    Args:
      frame: `commit date benchmark params value low high unit`, one row a measurement; of two `machine` or
        `environment` each has lines of its own; other columns are ignored.
      source: where it was read, in words.
    """
    known = frame[frame["value"].notna()]
    if known.empty:
        return None
    # Numbers of two machines or environments do not compare: each has lines of its own.
    places = [name for name in ("machine", "environment") if name in known]
    told = [name for name in places if known[name].nunique() > 1]
    where = known[told].agg(", ".join, axis=1) if told else ""
    known = known.assign(params=known["params"].map(str), where=where).sort_values(["date", "commit"], kind="stable")
    keys = ["benchmark", "params", "where", *places]
    lines = [
        _line(dict(zip(keys, key, strict=True)), rows, turn) for turn, (key, rows) in enumerate(known.groupby(keys))
    ]
    lines.sort(key=lambda line: (not line["sure"], -line["weight"], line["benchmark"], line["params"]))
    commits = known.drop_duplicates("commit")
    return {
        "source": source,
        "commits": len(commits),
        "first": _name(commits.iloc[0]),
        "last": _name(commits.iloc[-1]),
        "changed": sum(line["sure"] for line in lines),
        "count": len(lines),
        "parts": [part for part in (lines[:_SHOWN], lines[_SHOWN:]) if part],
        "places": bool(told),
    }


def headline(history: dict[str, Any]) -> list[str]:
    """Returns the sentence about the largest change, if any is sure."""
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
    """Returns a benchmark's line: first and last value, their ratio, whether that is a change, and a drawing.

    `weight` is the change as a share of the larger of the two: at most 1, or 2 where a value changed its sign.
    """
    # Several measurements of one commit: the last one counts.
    rows = rows.drop_duplicates("commit", keep="last")
    first, last = rows.iloc[0], rows.iloc[-1]
    unit = str(first["unit"])
    before, now = float(first["value"]), float(last["value"])
    ratio = now / before if before > 0 and now > 0 else math.nan
    weight = abs(now - before) / (max(abs(before), abs(now), _LEAST.get(unit, 0.0)) or 1.0)
    old, new = units.of(unit, before), units.of(unit, now)
    told = f"{key['benchmark']} {key['params']}: {old} at {_name(first)}, {new} at {_name(last)}"
    return {
        **key,
        "before": old,
        "now": new,
        "ratio": units.ratio(ratio),
        "order": ratio,
        "sure": len(rows) > 1 and _apart(rows, weight),
        "slower": now > before,
        "weight": weight if len(rows) > 1 else 0.0,
        "commits": len(rows),
        "svg": _spark(rows["value"].tolist(), f"history-{turn}", told),
    }


def _apart(rows: pd.DataFrame, weight: float) -> bool:
    """Returns whether the first and the last value differ by more than chance, or rounding, explains.

    By their intervals; what never has one (a metric from a fixed seed, bytes counted) is taken for exact.
    """
    first, last = rows.iloc[0], rows.iloc[-1]
    if rows[["low", "high"]].isna().all(axis=None):
        return weight > _RELATIVE
    return bool(first["high"] < last["low"] or last["high"] < first["low"])  # False where one is NaN


def _spark(values: list[float], slug: str, told: str) -> str:
    """Returns a line without axes over the commits, its last point marked; the lowest value is at the bottom."""
    low, high = min(values), max(values)
    # What changes by less than a tenth should not look like a cliff.
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
        f'<title id="{slug}">{escape(told)}</title><polyline points="{path}"/>'
        f'<circle cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="2.4"/></svg>'
    )
