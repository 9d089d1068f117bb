"""The findings about quality, a sentence each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .board import TARGET
from .leaderboard import Leaderboard, Line

_LAWS = {
    "relaxed": ", which evaluates the objective between the subsets",
    "plackett_luce": ", which samples another law than the target's (Plackett–Luce)",
    "perturb_and_map": ", which samples another law than the target's (perturb and MAP)",
    "map": ", which only sees the most probable subset",
}
_MOST_NAMES = 6


def headlines(leaderboard: Leaderboard) -> list[str]:
    """Returns who has the least error, the least bias, and who goes uphill; empty without errors and biases."""
    has_both = {"error", "bias"} <= {metric.name for metric in leaderboard.columns}
    ranked = [line for line in leaderboard.lines if has_both and not line.reference]
    lines = [line for line in ranked if line.entries["error"].order < math.inf]
    if not lines:
        return []
    best = lines[0]
    sentences = [f"Least error on {leaderboard.board.problem}: {_named(best)}{_LAWS.get(best.law, '')}."]
    sampling = next((line for line in lines if line.law == TARGET), best)
    if sampling is not best:
        sentences.append(f"Least error of those that sample subsets from the target law: {_named(sampling)}.")
    least = [line for line in lines if line.entries["bias"].best]
    if least:
        names = ", ".join(map(_named, least[:_MOST_NAMES]))
        more = f" and {len(least) - _MOST_NAMES} more" if len(least) > _MOST_NAMES else ""
        sentences.append(f"Least bias, {_least_bias(least)}: {names}{more}; in brackets their errors.")
    uphill = [line.label for line in lines if any("uphill" in note for note in line.notes)]
    if uphill:
        sentences.append(f"Going uphill more than down: {', '.join(uphill)}.")
    return sentences


def _named(line: Line) -> str:
    return f"{line.label} ({line.entries['error'].text})"


def _least_bias(lines: Sequence[Line]) -> str:
    """Returns the bias of lines that agree, as an exact value if one of them is exact."""
    biases = [line.entries["bias"] for line in lines]
    return next((bias for bias in biases if bias.exact), biases[0]).text
