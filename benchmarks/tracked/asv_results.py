"""Compares the results that asv has stored for two commits, for the gate of `nox -s asv`. Standard library alone.

`python -m benchmarks.tracked.asv_results HEAD~1 HEAD --factor 1.25` prints the comparison as one line of JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(".asv/results")


class Value(NamedTuple):
    """A stored result: None if the case failed, NaN if it was skipped.

    `low` and `high` are the ends of its 99 % interval; infinite for metrics and where readings are too few.
    """

    value: float | None
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Comparison:
    """Two commits compared.

    Attributes:
      base_values, head_values: the number of cases that have a value at each commit.
      comparable: the number of cases that have a value at both.
      worse: the cases that grew by more than the factor or fail at the second commit alone, as
        `benchmark(parameters)`.
    """

    base_values: int
    head_values: int
    comparable: int
    worse: tuple[str, ...]


def values(folder: Path, commit: str) -> dict[str, Value]:
    """Returns case -> value from the newest results of a commit; empty if there are none.

    Args:
      folder: asv's results folder. It has a folder for each machine, with a file for each commit and environment.
      commit: the full hash.
    """
    files = sorted(folder.glob(f"*/{commit[:8]}-*.json"), key=lambda file: file.stat().st_mtime)
    return _values(json.loads(files[-1].read_text())) if files else {}


def _values(document: Mapping[str, Any]) -> dict[str, Value]:
    values_of: dict[str, Value] = {}
    for benchmark, row in document["results"].items():
        # asv leaves out the empty columns at the end of a row.
        columns = dict(zip(document["result_columns"], row or [], strict=False))
        cases = list(itertools.product(*(columns.get("params") or [])))
        missing = [None] * len(cases)
        rows = (columns.get(name) or missing for name in ("result", "stats_ci_99_a", "stats_ci_99_b"))
        for parameters, value, low, high in zip(cases, *rows, strict=True):
            name = f"{benchmark}({', '.join(parameters)})" if parameters else benchmark
            values_of[name] = Value(value, -math.inf if low is None else low, math.inf if high is None else high)
    return values_of


def compare(base: Mapping[str, Value], head: Mapping[str, Value], factor: float) -> Comparison:
    """Returns the comparison of two commits, as `asv continuous` makes it.

    A case is worse if its value grew by more than `factor` and the 99 % intervals do not overlap, or if it fails at the
    second commit alone. With an infinite interval the factor alone decides.
    """
    shared = sorted(base.keys() & head.keys())
    measured = {name for name in shared if _is_number(base[name]) and _is_number(head[name])}
    worse = [name for name in shared if _is_worse(base[name], head[name], factor)]
    return Comparison(
        sum(map(_is_number, base.values())), sum(map(_is_number, head.values())), len(measured), tuple(worse)
    )


def _is_number(entry: Value) -> bool:
    return entry.value is not None and not math.isnan(entry.value)


def _is_worse(base: Value, head: Value, factor: float) -> bool:
    if base.value is None or head.value is None:
        return base.value is not None
    # A comparison with NaN, the value of a skipped case, is false.
    overlap = base.high >= head.low and math.isfinite(base.high) and math.isfinite(head.low)
    return head.value > factor * base.value and not overlap


def _hash(commit: str) -> str:
    done = subprocess.run(["git", "rev-parse", commit], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    """Prints the comparison of two commits as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    parser.add_argument("head")
    parser.add_argument("--factor", type=float, required=True, help="growth beyond which a case is worse")
    parser.add_argument("--bench", default="", help="regular expression of the cases to compare")
    arguments = parser.parse_args()
    base, head = (
        {name: value for name, value in values(RESULTS, _hash(commit)).items() if re.search(arguments.bench, name)}
        for commit in (arguments.base, arguments.head)
    )
    print(json.dumps(asdict(compare(base, head, arguments.factor))))


if __name__ == "__main__":
    main()
