"""How a number without a unit is printed; `units` prints seconds, bytes and ratios."""

from __future__ import annotations

import math

MISSING = "–"
_ZERO = 5e-13  # what rounding leaves of zero


def estimate(value: float | None, std_error: float | None, *, exact: bool) -> str:
    """Returns a value with its significant digits: an exact one with four, a sampled one with two of its error."""
    if value is None or value != value:
        return MISSING
    if abs(value) < _ZERO:
        value = 0.0
    if exact:
        return rounded(value)
    if std_error is None or std_error != std_error:
        return f"{rounded(value)} ± ?"
    if std_error < _ZERO:
        return f"{rounded(value)} ± 0"
    decimals = max(0, 1 - math.floor(math.log10(std_error)))
    before = math.floor(math.log10(abs(value))) + 1 if value else 0
    if before + decimals > 5:
        decimals = max(0, decimals - 1)  # a long number shows one digit of its error
    if decimals > 7:
        return f"{rounded(value)} ± {std_error:.1g}"
    text = f"{value:.{decimals}f}"
    return f"{text.removeprefix('-') if float(text) == 0 else text} ± {std_error:.{decimals}f}"


def rounded(value: float, digits: int = 4) -> str:
    """Returns a value with so many significant digits, without zeros at its end."""
    return f"{value:.{digits}g}"


def or_zero(value: float) -> float:
    """Returns a number, 0 in the place of NaN: an unknown error has no width."""
    return 0.0 if math.isnan(value) else float(value)


def compact(value: float) -> str:
    """Returns a value in few characters: `.046`, `1.67`, `177`, and `0` for what is zero to rounding."""
    if abs(value) < _ZERO:
        return "0"
    text = f"{value:.3g}" if abs(value) >= 1 else f"{value:.3f}"
    if text in ("0.000", "-0.000"):
        text = f"{value:.0e}".replace("e-0", "e-")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def published(value: float, unit: float, std_error: float, kind: str) -> str:
    """Returns a published number with the digits of its source, `≈` where it was read off a figure."""
    if kind == "plotted":
        return f"≈ {value:g}"
    decimals = max(0, -math.floor(math.log10(unit) + 0.01))
    return f"{value:.{decimals}f}" + (f" ± {std_error:.1g}" if kind == "sampled" else "")


def exponent(value: float) -> str:
    """Returns an exponent, or an end of its interval."""
    return f"{value:.2f}"
