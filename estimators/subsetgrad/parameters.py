"""Parameters of an estimator: names, types and ranges, checked before anything is computed."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Range:
    """The values that a parameter may take.

    Attributes:
      words: the range in words, for an error message.
      holds: `(value) -> bool`, whether the value is in the range.
    """

    words: str
    holds: Callable[[Any], bool]


POSITIVE = Range("a positive number", lambda value: value > 0)
NON_NEGATIVE = Range("a number >= 0", lambda value: value >= 0)
FRACTION = Range("a number in [0, 1)", lambda value: 0 <= value < 1)


def one_of(*choices: str) -> Range:
    """Returns the range of a parameter that must be one of these strings."""
    return Range(f"one of {', '.join(choices)}", lambda value: value in choices)


def resolve(
    owner: str, defaults: Mapping[str, Any], ranges: Mapping[str, Range], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns all parameters: the given values, converted and checked, and the defaults of the others.

    Args:
      owner: the estimator's name, for error messages.
      defaults: name -> default; a value must have the type of its default.
      ranges: name -> allowed values; a parameter without a range may be any value of its type.
      given: the values that the user set.

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
            raise ValueError(f"{owner}[{name}={value!r}] is out of range: it must be {ranges[name].words}")
        resolved[name] = converted
    return resolved


def _convert(value: Any, kind: type) -> Any:
    """Returns the value; a number is converted to Python's int or float.

    Raises:
      ValueError, OverflowError: the value has another type, or is a float that is not finite.
    """
    is_bool = isinstance(value, bool)  # bool is a subclass of int, but True is no number here
    if is_bool is not (kind is bool) or not isinstance(value, _NUMBERS.get(kind, kind)):
        raise ValueError(type(value).__name__)
    converted: Any = kind(value) if kind in _NUMBERS else value
    if kind is float and not math.isfinite(converted):
        raise ValueError(converted)
    return converted


_NUMBERS: dict[type, type] = {int: numbers.Integral, float: numbers.Real}
