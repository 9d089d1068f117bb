"""Finds a record by its name: an estimator, an objective, an experiment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Named(Protocol):
    """A record with a name: an estimator, an objective, an experiment."""

    @property
    def name(self) -> str:
        """Returns the name, unique among records of its kind."""


Record = TypeVar("Record", bound=Named)


def find_record(kind: str, name: str, records: Iterable[Record], remedy: str = "") -> Record:
    """Returns the record of that name.

    Args:
      kind: the word for such a record in the error message, for example `estimator`.
      name: the name that the user gave.
      records: those to choose from.
      remedy: added to the error message after the list of names.

    Raises:
      ValueError: no record has that name; the message lists the names that exist.
    """
    names = []
    for record in records:
        if record.name == name:
            return record
        names.append(record.name)
    raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(names)}{remedy}")
