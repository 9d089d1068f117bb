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
        try:
            converted = _convert(value, type(defaults[name]))
        except (ValueError, OverflowError) as error:
            default = defaults[name]
            kind = "finite float" if isinstance(default, float) else type(default).__name__
            raise ValueError(f"{owner}[{name}={value!r}]: expected {kind}, as the default {default!r}") from error
        if name in ranges and not ranges[name].holds(converted):
            raise ValueError(f"{owner}[{name}={value!r}] is out of range: it is {ranges[name].words}")
        resolved[name] = converted
    return resolved


def _convert(value: Any, kind: type) -> Any:
    """Returns the value, a number as Python's own; raises if it is not of that type, or not finite."""
    boolean = isinstance(value, bool)  # which Python counts among the integers
    if boolean is not (kind is bool) or not isinstance(value, _NUMBERS.get(kind, kind)):
        raise ValueError(type(value).__name__)
    converted: Any = kind(value) if kind in _NUMBERS else value
    if kind is float and not math.isfinite(converted):
        raise ValueError(converted)
    return converted


_NUMBERS: dict[type, type] = {int: numbers.Integral, float: numbers.Real}
