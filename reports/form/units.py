"""How seconds, bytes and ratios are printed."""

from __future__ import annotations

import math

from .numbers import MISSING, rounded

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B"))


def seconds(value: float, std_error: float = 0.0) -> str:
    """Returns a duration with three digits in its unit, `12.3 ms`; with a standard error, the digits that are known."""
    return _in_units(value, std_error, _SECONDS)


def size(value: float, std_error: float = 0.0) -> str:
    """Returns bytes with three digits in their unit, a power of 1024: `1.50 MiB`."""
    return _in_units(value, std_error, _BYTES)


def of(name: str, value: float, std_error: float = 0.0) -> str:
    """Returns a value of the metric, or of asv's unit, of this name."""
    if name.endswith("seconds"):
        return seconds(value, std_error)
    return size(value, std_error) if name.endswith("bytes") else rounded(value)


def tick(name: str, value: float) -> str:
    """Returns a value of this metric for an axis: with its unit, and without zeros at its end."""
    number, _, unit = of(name, value).partition(" ")
    return f"{float(number):g} {unit}" if unit else number


def ratio(value: float) -> str:
    """Returns a factor with two digits below 10 and three above: `0.83×`, `12.3×`, `140×`, `123,000×`."""
    if value != value:
        return MISSING
    if value >= 999.5:
        return f"{float(f'{value:.2e}'):,.0f}×"
    return f"{_digits(value, 2 if value < 10 else 3)}×"


def ratio_tick(value: float, _: object = None) -> str:
    """Returns a power of two for an axis of ratios: `4×`, `1/4`."""
    return f"{value:g}×" if value >= 1 else f"1/{1 / value:g}"


def _in_units(value: float, std_error: float, units: tuple[tuple[float, str], ...]) -> str:
    if value != value:
        return MISSING
    # The unit fits the rounded number: 999.7 µs is printed as 1.00 ms.
    fitting = (pair for pair in units if abs(value) >= 0.9995 * pair[0])
    scale, unit = next(fitting, units[-1]) if value else next(pair for pair in units if pair[0] == 1)
    value, std_error = value / scale, std_error / scale
    if std_error != std_error:
        return f"{_digits(value, 3)} {unit} ± ?"
    decimals = min(max(0, -math.floor(math.log10(std_error))), 3) if std_error > 0 else 0
    error = f"{std_error:.{decimals}f}"
    return f"{value:.{decimals}f} ± {error} {unit}" if float(error) else f"{_digits(value, 3)} {unit}"


def _digits(value: float, digits: int) -> str:
    """Returns a positive number with at least so many digits, never in powers of ten."""
    if value == 0:
        return "0"
    value = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"
