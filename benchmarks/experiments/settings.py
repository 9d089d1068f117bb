"""Settings files: a TOML file with the name of an experiment and options of the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .base import Choices
from .selectors import parse_integers, parse_names, split_selectors

_Axis = list[int] | int | str | None


class _Settings(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    experiment: str = "sweep"
    preset: Literal["quick", "paper", "full"] | None = None
    estimators: list[str] = []
    n: _Axis = None
    k: _Axis = None
    seeds: _Axis = None
    replicates: Annotated[int, msgspec.Meta(ge=200)] | None = None
    samples: Annotated[int, msgspec.Meta(ge=1)] | None = None
    objective: str | None = None
    backend: str | None = None
    dtype: Literal["float32", "float64"] | None = None
    batch: _Axis = None
    mode: str | None = None


def read(path: Path) -> tuple[str, Choices]:
    """Returns the experiment's name and the choices of a TOML file.

    Raises:
      ValueError: the file is not valid TOML, or a field is unknown or has a value of another type.
      OSError: the file cannot be read.
    """
    try:
        settings = msgspec.toml.decode(path.read_bytes(), type=_Settings)
    except (msgspec.DecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    options = msgspec.structs.asdict(settings)
    experiment = options.pop("experiment")
    for axis in ("n", "k", "seeds", "batch"):
        options[axis] = _integers(f"{path}: {axis}", options[axis])
    options["estimators"] = split_selectors(options["estimators"]) or None
    options["backends"] = _names(f"{path}: backend", "backend", options.pop("backend"))
    options["mode"] = _names(f"{path}: mode", "mode", options["mode"])
    return experiment, Choices(**options)


def _names(option: str, noun: str, text: str | None) -> tuple[str, ...] | None:
    return None if text is None else parse_names(option, noun, [text])


def _integers(option: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    return parse_integers(option, ",".join(map(str, value)) if isinstance(value, list) else str(value))
