"""The `Estimator` record, and `evaluate` and `expectation`, which make an estimate from it.

An author of an estimator writes a rule and declares a record. This one is REINFORCE with a constant baseline:

```python
from subsetgrad import SUBSET, Estimator, score_function, subsets


def rule(ops, theta, z, v, *, k, baseline):  # theta [B, n], samples z [S, B, n], values v = f(z) [S, B]
    score = z - subsets.marginals(ops, theta, k)
    return ops.xp.mean((v - baseline)[..., None] * score, axis=0)  # the gradient [B, n]


SFE_BASELINE = Estimator(
    name="sfe_baseline",
    law="conditional_poisson",  # the distribution of the samples
    target="conditional_poisson",  # the distribution whose expectation is differentiated
    estimate=score_function(rule),
    draws={"z": SUBSET},  # an exact sample
    needs=frozenset({"values"}),  # of f
    unbiased_for="any",  # any f
    params={"baseline": 0.0},
    source="Williams 1992 (REINFORCE), with a constant baseline",
)
```

`subsetgrad.torch.SubsetLayer(SFE_BASELINE, k=2, baseline=1.5)` uses it, and so do the functions of `subsetgrad.jax`.
CONTRIBUTING.md says how to test a record and how to add it to the package.

Letters: n items, k chosen; B rows of theta, independent; S samples averaged inside one estimate; M points at which the
objective is evaluated for the loss. An objective `f` maps `[S, B, n]` to `[S, B]`; each value depends on its own sample
and row only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from .draws import Draws, Objective
from .ops import Array, Ops
from .parameters import Range, resolve
from .subsets.checks import check_k, valid_rows

LAWS = ("conditional_poisson", "plackett_luce", "perturb_and_map", "map", "relaxed")
NEEDS = frozenset({"values", "gradient", "relaxed"})
FUNCTIONALS = ("mean_of_f", "f_of_mean")
UNBIASED_FOR = ("any", "quadratic", "affine", "nothing")


class Estimate(NamedTuple):
    """An estimate of the gradient of each row, and the points at which the loss is evaluated.

    Attributes:
      points: `[M, B, n]`.
      weights: `[M, B]`; the loss is the weighted sum of f over the points.
      gradient: `[B, n]`.
      state: the next state; None for an estimator without state.
    """

    points: Array
    weights: Array
    gradient: Array
    state: Any


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: compiled functions are cached per record
class Estimator:
    """An estimator and its claims. The conformance suite tests every claim.

    Attributes:
      name: lower-case id, under which results are stored; it is never reused for another estimator.
      law: the distribution of a forward sample, one of `LAWS`.
      target: the distribution whose expectation is differentiated, one of `LAWS`.
      estimate: a function `(ops, theta [B, n], draws, f, *, k, state, **params) -> Estimate`; see `builders`. It may
        also return a plain tuple of the four fields of `Estimate`.
      draws: a mapping from names to `SUBSET` or a noise. If it depends on k or on parameters, a function
        `(k, **params)` that returns such a mapping.
      needs: a subset of `values` (of f at k-hot points), `gradient` (of f at k-hot points) and `relaxed` (f and its
        gradient at other points).
      unbiased_for: the objectives for which the estimate of the target's gradient has no bias: `any`, `quadratic`,
        `affine` or `nothing`.
      source: paper, equation or algorithm number.
      functional: the quantity that is differentiated: `mean_of_f` for E f(z), `f_of_mean` for f(E z).
      k: `any`, or 1 for an estimator of one item.
      samples_min: the smallest S for which it is defined.
      shift_invariant: whether adding a constant to a row of theta changes nothing, at the default parameters.
      backends: the frameworks on which it runs.
      params: name -> default; a value must have the type of its default.
      ranges: name -> the values that the parameter may take.
      law_logits: a function `(ops, theta, **params)` that returns the logits of law and target; None if theta is these
        logits.
      initial_state: `(ops, theta) -> dict of [B] arrays`, or None for an estimator without state.
    """

    name: str
    law: str
    target: str
    estimate: Callable[..., Estimate | tuple[Array, Array, Array, Any]]
    draws: Draws | Callable[..., Draws]
    needs: frozenset[str]
    unbiased_for: str
    source: str
    functional: str = "mean_of_f"
    k: str | int = "any"
    samples_min: int = 1
    shift_invariant: bool = True
    backends: tuple[str, ...] = ("torch", "jax")
    params: Mapping[str, Any] = field(default_factory=dict)
    ranges: Mapping[str, Range] = field(default_factory=dict)
    law_logits: Callable[..., Array] | None = None
    initial_state: Callable[[Ops, Array], dict[str, Array]] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError if a field has a value outside its vocabulary."""
        vocabulary: tuple[tuple[str, bool, str], ...] = (
            ("law", self.law in LAWS, f"one of {', '.join(LAWS)}"),
            ("target", self.target in LAWS, f"one of {', '.join(LAWS)}"),
            ("needs", self.needs <= NEEDS, f"a subset of {', '.join(sorted(NEEDS))}"),
            ("unbiased_for", self.unbiased_for in UNBIASED_FOR, f"one of {', '.join(UNBIASED_FOR)}"),
            ("functional", self.functional in FUNCTIONALS, f"one of {', '.join(FUNCTIONALS)}"),
            ("k", self.k in ("any", 1), "'any' or 1"),
            ("samples_min", self.samples_min >= 1, "at least 1"),
            ("ranges", set(self.ranges) <= set(self.params), "ranges of declared parameters"),
        )
        for name, holds, allowed in vocabulary:
            if not holds:
                raise ValueError(f"estimator {self.name!r}: {name}={getattr(self, name)!r} must be {allowed}")

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Returns how to copy and pickle the record.

        If `pickle_by_name` has registered a name, only that is stored, and loading a saved model looks it up.
        """
        return _PICKLED_AS.get(self) or super().__reduce__()

    def resolve_params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns all parameters: the given values, checked, and the defaults of the others."""
        return resolve(self.name, self.params, self.ranges, given)

    def check_k(self, k: Any, n: int | None = None) -> None:
        """Raises TypeError or ValueError if the estimator is not defined for this k, or k is above a given n."""
        check_k(k, n)
        if self.k not in ("any", k):
            raise ValueError(f"k={k}: {self.name} is defined for k={self.k} only")

    def draws_for(self, k: int, params: Mapping[str, Any]) -> Draws:
        """Returns the draws that are declared for this k and these parameters."""
        return self.draws(k, **params) if callable(self.draws) else self.draws

    def samples(self, wanted: int) -> int:
        """Returns the number of samples S to use: the wanted one, but at least `samples_min`."""
        return max(wanted, self.samples_min)


# Record -> the function that returns it, and the argument of that function.
_PICKLED_AS: dict[Estimator, tuple[Callable[[str], Estimator], tuple[str]]] = {}


def pickle_by_name(record: Estimator, get: Callable[[str], Estimator], name: str) -> None:
    """Lets the record be pickled as `get(name)`; the first name given to a record stays."""
    _PICKLED_AS.setdefault(record, (get, (name,)))


def evaluate(
    estimator: Estimator,
    ops: Ops,
    theta: Array,
    draws: Mapping[str, Array],
    f: Objective,
    *,
    k: int,
    params: Mapping[str, Any],
    state: Any = None,
) -> Estimate:
    """Returns the estimate of an estimator, with invalid rows set to NaN.

    The gradient is 0 where theta is -inf, since an item that is never chosen has no influence.

    Args:
      estimator: the record.
      ops: the backend.
      theta: `[B, n]` logits.
      draws: from `draws.resolve_draws`.
      f: the objective.
      k: items chosen.
      params: all parameters, from `Estimator.resolve_params`.
      state: of an estimator that has one, from `initial_state` or the previous estimate.
    """
    xp = ops.xp
    theta = ops.stop_gradient(theta)
    if k == 0:  # the empty subset is the only point, and the gradient is 0
        nothing = xp.where(valid_rows(ops, theta, k)[..., None], xp.zeros_like(theta), xp.nan)
        return Estimate(nothing[None], xp.ones_like(nothing[None, ..., 0]), nothing, state)
    points, weights, gradient, state = estimator.estimate(ops, theta, draws, f, k=k, state=state, **params)
    valid = valid_rows(ops, theta, k)[..., None]
    gradient = xp.where(theta == -xp.inf, 0.0, gradient)
    return Estimate(xp.where(valid, points, xp.nan), weights, xp.where(valid, gradient, xp.nan), state)


def expectation(
    estimator: Estimator,
    ops: Ops,
    theta: Array,
    f: Objective,
    draws: Mapping[str, Array],
    *,
    k: int,
    params: Mapping[str, Any],
    state: Any = None,
) -> tuple[Array, Any]:
    """Returns `(loss [B], state)`: an estimate of E f(z), differentiable in theta and in all that f depends on.

    The loss is Σ_m w_m f(points_m); differentiating it gives the gradient of parameters inside f. The estimator's
    gradient is computed first and then attached to theta. If the caller multiplies the loss by a weight, the weight
    multiplies the finished gradient. It does not multiply the ∇f that the rule uses: in a rule with a step size λ, that
    would have the effect of another λ. Arguments as in `evaluate`.
    """
    points, weights, gradient, state = evaluate(estimator, ops, theta, draws, f, k=k, params=params, state=state)
    points, weights, gradient = (ops.stop_gradient(array) for array in (points, weights, gradient))
    loss = ops.xp.sum(weights * f(points), axis=0)
    return loss + _attach(ops)(theta, gradient), state


@cache
def _attach(ops: Ops) -> Callable[[Array, Array], Array]:
    """Returns the function `(theta [B, n], gradient [B, n]) -> zeros [B]` whose derivative in theta is `gradient`.

    (θ − stop_gradient(θ))·ĝ would do the same, but is NaN where theta is -inf.
    """
    return ops.custom_vjp(
        lambda theta, _: ops.xp.zeros_like(theta[..., 0]),
        lambda _, gradient, __, loss_bar: loss_bar[..., None] * gradient,
    )
