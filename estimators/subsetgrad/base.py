"""The `Estimator` record, and how an estimate is made from it: `evaluate`, `expectation`.

Letters: n items, k chosen; B rows of theta, independent; S samples averaged inside one estimate; M points at which the
objective is evaluated for the loss. An objective `f` maps `[S, B, n]` to `[S, B]`, samples and rows independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from .draws import SUBSET as SUBSET
from .draws import Draws, Objective
from .draws import Subset as Subset
from .ops import Array, Ops
from .parameters import Range, resolve
from .subsets.checks import check_k, valid_rows

LAWS = ("conditional_poisson", "plackett_luce", "perturb_and_map", "map", "relaxed")
NEEDS = frozenset({"values", "gradient", "relaxed"})
FUNCTIONALS = ("mean_of_f", "f_of_mean")
UNBIASED_FOR = ("any", "quadratic", "affine", "nothing")


class Estimate(NamedTuple):
    """An estimate of B gradients, and the points at which the loss is evaluated.

    Attributes:
      points: `[M, B, n]`.
      weights: `[M, B]`, of the points in the loss.
      gradient: `[B, n]`.
      state: the next state; None for an estimator without one.
    """

    points: Array
    weights: Array
    gradient: Array
    state: Any


@dataclass(frozen=True, eq=False)  # compared and hashed by identity: compiled functions are cached per record
class Estimator:
    """What an estimator is and what it claims; the conformance suite holds it to every word.

    Attributes:
      name: lower-case id in results, never reused.
      law: of a forward sample, one of `LAWS`.
      target: the law (one of `LAWS`) whose expectation's gradient is estimated.
      estimate: `(ops, theta [B, n], draws, f, *, k, state, **params) -> Estimate`, or a plain tuple of its four
        fields; see `pathwise`, `relaxed`, `score_function`.
      draws: name -> `SUBSET` or a noise; or `(k, **params) -> ` such a mapping, where it depends on them.
      needs: subset of values (f at k-hot points), gradient (of f there), relaxed (f and its gradient elsewhere).
      unbiased_for: for its target: any f, quadratic f, affine f, or nothing.
      source: paper, equation or algorithm number.
      functional: `mean_of_f`: E f(z); `f_of_mean`: f(E z).
      k: `any`, or 1.
      samples_min: smallest S.
      shift_invariant: adding a constant to a row of theta changes nothing (at the default parameters).
      backends: where it runs.
      params: name -> default; the default's type is the parameter's.
      ranges: name -> what the parameter may be.
      law_logits: `(ops, theta, **params) -> logits` of law and target, where these are not theta itself.
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
        """Raises ValueError if the record says what is not in the vocabulary."""
        vocabulary: tuple[tuple[str, bool, str], ...] = (
            ("law", self.law in LAWS, f"one of {', '.join(LAWS)}"),
            ("target", self.target in LAWS, f"one of {', '.join(LAWS)}"),
            ("needs", self.needs <= NEEDS, f"a subset of {', '.join(sorted(NEEDS))}"),
            ("unbiased_for", self.unbiased_for in UNBIASED_FOR, f"one of {', '.join(UNBIASED_FOR)}"),
            ("functional", self.functional in FUNCTIONALS, f"one of {', '.join(FUNCTIONALS)}"),
            ("k", self.k in ("any", 1), "'any' or 1"),
            ("samples_min", self.samples_min >= 1, "at least 1"),
            ("ranges", set(self.ranges) <= set(self.params), "of parameters"),
        )
        for name, holds, allowed in vocabulary:
            if not holds:
                raise ValueError(f"estimator {self.name!r}: {name}={getattr(self, name)!r} must be {allowed}")

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Returns how to copy and pickle: by name where `subsetgrad.get` knows it, so that a saved model loads."""
        return _NAMED.get(self) or super().__reduce__()

    def resolve_params(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns all parameters: the given ones, checked, and the other defaults; see `parameters.resolve`."""
        return resolve(self.name, self.params, self.ranges, given)

    def check_size(self, n: int, k: int) -> None:
        """Raises ValueError if the estimator is not defined for this n and k."""
        check_k(k, n)
        if self.k not in ("any", k):
            raise ValueError(f"k={k}: {self.name} is defined for k={self.k} only")

    def draws_for(self, k: int, params: Mapping[str, Any]) -> Draws:
        """Returns the declared draws at these parameters."""
        return self.draws(k, **params) if callable(self.draws) else self.draws

    def samples(self, wanted: int) -> int:
        """Returns S: as wanted, but at least `samples_min`."""
        return max(wanted, self.samples_min)


# Record -> the function that returns it, and the name that the function takes.
_NAMED: dict[Estimator, tuple[Callable[[str], Estimator], tuple[str]]] = {}


def remember(record: Estimator, get: Callable[[str], Estimator], name: str) -> None:
    """Lets the record be pickled as `get(name)`; the first name of a record stays."""
    _NAMED.setdefault(record, (get, (name,)))


@dataclass(frozen=True)
class Pathwise:
    """An estimate through samples: usable with a known f, and as a layer's backward pass.

    Attributes:
      sample: `(ops, theta, draws, *, k, **params) -> [S, B, n]`.
      rule: `(ops, theta, z, g [S, B, n], draws, *, k, state, **params) -> (gradient [B, n], state)`, with g the
        unscaled per-sample gradient of f, and the result a mean over samples; None: backpropagate through `sample`.
    """

    sample: Callable[..., Array]
    rule: Callable[..., tuple[Array, Any]] | None

    def __call__(
        self, ops: Ops, theta: Array, draws: Mapping[str, Array], f: Objective, *, k: int, state: Any, **params: Any
    ) -> Estimate:
        """Returns the estimate; see `Estimator.estimate`."""
        xp = ops.xp
        if self.rule is None:

            def mean_loss(logits: Array) -> tuple[Array, Array]:
                y = self.sample(ops, logits, draws, k=k, **params)
                return xp.sum(f(y)) / y.shape[0], y

            (_, points), gradient = ops.value_and_grad(mean_loss, has_aux=True)(theta)
        else:
            points = self.sample(ops, theta, draws, k=k, **params)
            g = gradient_at(ops, f, points)
            gradient, state = self.rule(ops, theta, points, g, draws, k=k, state=state, **params)
        return Estimate(points, uniform_weights(ops, points), gradient, state)


def pathwise(sample: Callable[..., Array], rule: Callable[..., Array]) -> Pathwise:
    """Returns the estimate that maps samples and the gradient of f there to a gradient, without state.

    Args:
      sample: `(ops, theta, draws, *, k, **params) -> [S, B, n]`.
      rule: `(ops, theta, z, g, draws, *, k, **params) -> [B, n]`; see `Pathwise`.
    """

    def stateless(*args: Any, state: Any, **kwargs: Any) -> tuple[Array, Any]:
        return rule(*args, **kwargs), state

    return Pathwise(sample, stateless)


def relaxed(sample: Callable[..., Array]) -> Pathwise:
    """Returns the estimate that backpropagates through a differentiable `sample`."""
    return Pathwise(sample, None)


def score_function(rule: Callable[..., Array]) -> Callable[..., Estimate]:
    """Returns the estimate from values of f at the draw `z` alone.

    Args:
      rule: `(ops, theta, z [S, B, n], v [S, B], *, k, **params) -> [B, n]`, with v = f(z).
    """

    def estimate(
        ops: Ops, theta: Array, draws: Mapping[str, Array], f: Objective, *, k: int, state: Any, **params: Any
    ) -> Estimate:
        z = draws["z"]
        gradient = rule(ops, theta, z, ops.stop_gradient(f(z)), k=k, **params)
        return Estimate(z, uniform_weights(ops, z), gradient, state)

    return estimate


def gradient_at(ops: Ops, f: Objective, points: Array) -> Array:
    """Returns ∇f at each point, `[S, B, n]`, unscaled: samples and rows of f are independent."""
    return ops.value_and_grad(lambda z: ops.xp.sum(f(z)))(ops.stop_gradient(points))[1]


def uniform_weights(ops: Ops, points: Array) -> Array:
    """Returns weights 1/S, `[S, B]`."""
    return ops.xp.full_like(points[..., 0], 1 / points.shape[0])


def perturbed_top_k(ops: Ops, theta: Array, draws: Mapping[str, Array], *, k: int, **_: Any) -> Array:
    """Returns top_k(theta + noise): the forward sample of an estimator that declares one additive `noise`."""
    return ops.top_k_mask(theta + draws["noise"], k)


def sample_z(ops: Ops, theta: Array, draws: Mapping[str, Array], **_: Any) -> Array:
    """Returns the draw named `z`: the forward sample of an estimator on exact samples."""
    del ops, theta
    return draws["z"]


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
    """Returns the estimate, checked row by row.

    The gradient is 0 where theta is -inf: an item that is never chosen has none. Rows that are invalid come out NaN.
    """
    xp = ops.xp
    theta = ops.stop_gradient(theta)
    if k == 0:  # nothing to choose: one point, no gradient
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
    """Returns `(loss [B], state)`: an estimate of E f(z) whose gradient is the estimator's.

    Through Σ_m w_m f(points_m) flows the gradient of whatever f closes over; the finished estimate is attached to
    theta, so that an outer mean or weight multiplies it and never a step size inside a rule.
    """
    points, weights, gradient, state = evaluate(estimator, ops, theta, draws, f, k=k, params=params, state=state)
    points, weights, gradient = (ops.stop_gradient(array) for array in (points, weights, gradient))
    loss = ops.xp.sum(weights * f(points), axis=0)
    return loss + _attach(ops)(theta, gradient), state


@cache
def _attach(ops: Ops) -> Callable[[Array, Array], Array]:
    """Returns `(theta [B, n], gradient [B, n]) -> zeros [B]` with that gradient; (θ − θ)·ĝ would be NaN at -inf."""
    return ops.custom_vjp(
        lambda theta, _: ops.xp.zeros_like(theta[..., 0]),
        lambda _, gradient, __, loss_bar: loss_bar[..., None] * gradient,
    )
