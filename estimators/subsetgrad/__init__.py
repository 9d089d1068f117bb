"""Gradient estimators for k-subset sampling, on PyTorch and JAX, behind one interface.

`subsetgrad.torch` and `subsetgrad.jax` are for models; `subsetgrad.base` shows how to write an estimator, and the names
that its author needs can be imported from here. Importing this package imports no framework.

Letters, everywhere: n items, k chosen; theta `[B, n]` logits, B independent rows; S samples averaged inside one
estimate; R replicates, independent estimates of one row.
"""

from __future__ import annotations

import importlib

from .base import Estimate, Estimator, pickle_by_name
from .builders import Pathwise, pathwise, perturbed_top_k, relaxed, sample_z, score_function
from .draws import SUBSET, Subset
from .families.exact_gradient import EXACT_ENUM
from .families.imle import AIMLE, IMLE_GUMBEL, IMLE_SOG
from .families.perturbed import PERTURBED_OPT
from .families.rebar import REBAR_PL
from .families.relaxed import GS, L2X, SOFTSUB
from .families.score_function import RLOO, SFE
from .families.simple import (
    MARGINAL_PASS,
    SIMPLE,
    SIMPLE_B,
    SIMPLE_F,
)
from .families.straight_through import STE, STE_GUMBEL, STGS
from .lookup import find_record
from .noise import (
    EXPONENTIAL,
    GUMBEL,
    NORMAL,
    Noise,
    sum_of_gamma,
)

__all__ = [
    "ESTIMATORS",
    "EXPONENTIAL",
    "GUMBEL",
    "NORMAL",
    "SUBSET",
    "Estimate",
    "Estimator",
    "Noise",
    "Pathwise",
    "Subset",
    "get",
    "pathwise",
    "perturbed_top_k",
    "relaxed",
    "sample_z",
    "score_function",
    "sum_of_gamma",
]

ESTIMATORS: tuple[Estimator, ...] = (
    EXACT_ENUM,
    SIMPLE,
    SIMPLE_F,
    SIMPLE_B,
    MARGINAL_PASS,
    SFE,
    RLOO,
    REBAR_PL,
    STE,
    STE_GUMBEL,
    STGS,
    IMLE_SOG,
    IMLE_GUMBEL,
    AIMLE,
    SOFTSUB,
    GS,
    L2X,
    PERTURBED_OPT,
)


def get(name: str) -> Estimator:
    """Returns the record of an estimator.

    Args:
      name: the name of one of `ESTIMATORS`, or `package.module:NAME` for a record defined elsewhere.

    Raises:
      ValueError: no such name, module or attribute, or the attribute is no `Estimator`.
    """
    if ":" in name:
        return _plugin(name)
    return find_record("estimator", name, ESTIMATORS, "; or package.module:NAME for one of your own")


def _plugin(name: str) -> Estimator:
    """Returns the record that `package.module:NAME` names."""
    module_name, attribute = name.split(":", 1)
    if not module_name or module_name.startswith("."):
        raise ValueError(f"estimator {name!r}: {module_name!r} is not a module's full name; write package.module:NAME")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise  # the module exists, but a module that it imports does not
        raise ValueError(f"estimator {name!r}: no module {module_name!r} on the import path") from error
    if not hasattr(module, attribute):
        raise ValueError(f"estimator {name!r}: module {module_name!r} has no {attribute!r}")
    record = getattr(module, attribute)
    if not isinstance(record, Estimator):
        raise ValueError(f"estimator {name!r} is a {type(record).__name__}, not a subsetgrad.Estimator")
    pickle_by_name(record, get, name)
    return record


for _record in ESTIMATORS:
    pickle_by_name(_record, get, _record.name)
