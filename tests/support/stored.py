"""A cell with known measurements, as the tests of the store save it, and cells that differ in one field."""

from __future__ import annotations

from dataclasses import replace

from reports_store import cell_of

from benchmarks.results.outcome import Measurement, Outcome

CELL = cell_of("simple", {"step_size": 2.5, "central": False, "logits": "theta"})
MEASURED = [
    Measurement("conditional_poisson", "bias", 0.25, 0.0, True),
    Measurement("conditional_poisson", "error", 0.1 + 0.2, 1e-17, False),
    Measurement("plackett_luce", "bias", None, None, False),
]


def save(opened, cell, measurements=MEASURED, *, fingerprint="code-1", run="run-1", **fields):
    """Saves an outcome in an open store; it belongs to the run that the fixture `opened` has begun.

    `fields` are further fields of the outcome. An outcome with a reason has failed unless they name its status.
    """
    status = "failed" if fields.get("reason") else "ok"
    outcome = Outcome(cell, 0.5, measurements, **({"status": status} | fields))
    opened.save(outcome, law="conditional_poisson", fingerprint=fingerprint, run=run)


def differing(cell, field):
    """Returns the cell with another value of one field."""
    value = getattr(cell, field)
    other = (("x", 2.0),) if field == "params" else value + 1 if isinstance(value, int) else value + "x"
    return replace(cell, **{field: other})
