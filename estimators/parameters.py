"""Parameters of an estimator: names, types and ranges, checked before anything is computed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """The values a parameter may take: a test, and its words for an error."""

    words: str
    holds: Callable[[Any], bool]


POSITIVE = Range("a positive number", lambda value: value > 0)
NON_NEGATIVE = Range("a number >= 0", lambda value: value >= 0)
FRACTION = Range("a number in [0, 1)", lambda value: 0 <= value < 1)


def one_of(*choices: str) -> Range:
    """Returns the range of a parameter that is one of some words."""
    return Range(f"one of {', '.join(choices)}", lambda value: value in choices)


def resolve(
    owner: str, defaults: Mapping[str, Any], ranges: Mapping[str, Range], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns all parameters: the given ones, of their defaults' types and in range, and the other defaults.

    Raises:
      ValueError: an unknown name, a value of another type, not finite, or out of range.
    """
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        raise ValueError(f"{owner} has no parameter {unknown[0]!r}; its parameters: {', '.join(defaults) or 'none'}")
    resolved = dict(defaults)
    for name, value in given.items():
        converted = _convert(value, type(defaults[name]))
        if converted is None:
            kind = "finite float" if isinstance(defaults[name], float) else type(defaults[name]).__name__
            raise ValueError(f"{owner}[{name}={value!r}]: expected {kind}, as the default {defaults[name]!r}")
        if name in ranges and not ranges[name].holds(converted):
            raise ValueError(f"{owner}[{name}={value!r}] is out of range: it is {ranges[name].words}")
        resolved[name] = converted
    return resolved


def _convert(value: Any, kind: type) -> Any:
    """Returns the value as a plain Python object of that type, None if it is not one."""
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else None
    if kind is int and isinstance(value, numbers.Integral):
        return int(value)
    if kind is float and isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    return value if kind is str and isinstance(value, str) else None
