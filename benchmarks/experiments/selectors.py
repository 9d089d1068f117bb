"""Parses the user's text for estimators, objectives and axes of a grid."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import subsetgrad
from subsetgrad import Estimator


class Selected(NamedTuple):
    """An estimator with its parameters, as in a cell.

    Attributes:
      name: the name under which `subsetgrad.get` finds the record.
      record: the record.
      params: all its parameters, as sorted `(name, value)` pairs.
    """

    name: str
    record: Estimator
    params: tuple[tuple[str, Any], ...]


def select(selectors: Iterable[str]) -> list[Selected]:
    """Returns the estimator of each selector, `name` or `name[param=value,...]`.

    Raises:
      ValueError: an estimator or parameter is unknown, or a parameter is out of range.
    """
    selected = []
    for text in selectors:
        name, given = parse_selector(text)
        record = subsetgrad.get(name)
        selected.append(Selected(name, record, tuple(sorted(record.resolve_params(given).items()))))
    return selected


def parse_selector(text: str) -> tuple[str, dict[str, Any]]:
    """Returns `(name, options)` of `name` or `name[option=value,...]`.

    Raises:
      ValueError: the text has another form.
    """
    name, bracket, rest = text.strip().partition("[")
    if not bracket:
        return name, {}
    if not rest.endswith("]"):
        raise ValueError(f"{text!r} is not of the form name[param=value,...]: the closing bracket is missing")
    options = {}
    for part in rest[:-1].split(","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ValueError(f"{text!r} is not of the form name[param=value,...]: look at {part!r}")
        options[key.strip()] = _value(value.strip())
    return name, options


def _value(text: str) -> Any:
    """Returns the value of a Python literal, else the text itself; `true` and `false` are booleans, as in TOML."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def split_selectors(texts: Iterable[str]) -> tuple[str, ...]:
    """Returns the selectors in some texts, which are separated by commas or blanks outside brackets."""
    selectors = [""]
    depth = 0
    for character in " ".join(texts):
        depth += (character == "[") - (character == "]")
        if character in ", " and depth == 0:
            selectors.append("")
        else:
            selectors[-1] += character
    return tuple(filter(None, selectors))


def parse_names(option: str, noun: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Returns the names, or selectors, in some texts; a text may have several.

    Raises:
      ValueError: there is none.
    """
    names = split_selectors(texts)
    if not names:
        raise ValueError(f"{option} {' '.join(texts)!r} names no {noun}")
    return names


def parse_integers(option: str, text: str) -> tuple[int, ...]:
    """Returns the integers of `8,10`, of `0:10` (the end excluded), or of a mixture.

    Raises:
      ValueError: the text has another form, or names no number.
    """
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, colon, last = part.partition(":")
            numbers += range(int(first or 0), int(last)) if colon else [int(part)]
    except ValueError:
        raise ValueError(f"{option} {text!r} is not a list of whole numbers; write 8,10 or 0:10") from None
    if not numbers:
        raise ValueError(f"{option} {text!r} names no number")
    return tuple(dict.fromkeys(numbers))
