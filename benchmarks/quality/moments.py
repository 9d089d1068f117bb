"""Moments of a gradient estimate: exact where every draw is an exact subset, sampled in chunks elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np

from subsetgrad import Estimator, Subset, subsets
from subsetgrad.base import evaluate
from subsetgrad.draws import resolve_draws
from subsetgrad.ops import Array, Ops

from ..objectives import Objective, Parameters
from .metrics import Moments
from .noise_source import NoiseSource

MAX_OUTCOMES = 250_000  # combinations of draws summed over in exact moments
BATCHES = 100  # groups of replicates for the jackknife
MAX_SAMPLED_ITEMS = 512  # two [n, n] matrices per batch: 420 MB at this n
# Numbers in one draw of one chunk. At 1,000,000, Figure 1 with 10^6 replicates takes 2.4 GB instead of 1.2, no faster.
_CHUNK = 250_000
_OUTCOME_NUMBERS = 4_000_000  # numbers in the tables of one chunk of outcomes
_WARM_UP = 100  # calls before a state is frozen, as in the adaptive I-MLE code's gradient experiments


@dataclass(frozen=True)
class Question:
    """What is estimated: an estimator with its parameters, on a problem, on a backend.

    Attributes:
      estimator, params: the record and all its parameters.
      ops: the backend.
      objective, extension: f.
      theta: `[n]` float64.
      parameters: of the objective, float64.
      k, samples: k and S.
    """

    estimator: Estimator
    params: Mapping[str, Any]
    ops: Ops
    objective: Objective
    extension: str
    theta: np.ndarray
    parameters: Parameters
    k: int
    samples: int

    @property
    def n(self) -> int:
        """The number of items."""
        return int(self.theta.shape[-1])

    @property
    def takes_subsets_alone(self) -> bool:
        """Whether every draw is an exact subset, so that the estimate has finitely many values."""
        declared = self.estimator.draws_for(self.k, self.params).values()
        return all(isinstance(draw, Subset) for draw in declared)

    def gradients(self, draws: Mapping[str, Array], rows: int, state: Any, *, raw: bool) -> tuple[np.ndarray, Any]:
        """Returns `[rows, n]` estimates and the next state; `raw` draws are numbers behind the draws."""
        ops = self.ops
        function = compiled(
            self.estimator, tuple(self.params.items()), ops, self.objective, self.extension, self.k, raw
        )
        on_device = {name: ops.asarray(value) for name, value in self.parameters.items()}
        theta = ops.asarray(np.broadcast_to(self.theta, (rows, self.n)).copy())
        _, _, estimate, state = function(theta, draws, on_device, state)
        gradient = np.asarray(estimate, np.float64)
        bad = int(np.sum(~np.isfinite(gradient).all(axis=-1)))
        if bad:
            raise ValueError(f"{self.estimator.name} gave NaN or inf in {bad} of {rows} estimates")
        if self.takes_subsets_alone:
            # What is only rounding of values of order n (that of equal subsets, say) is no gradient at all. With
            # continuous noise nothing cancels exactly, and a gradient may be as small as a softmax is steep.
            size = np.abs(gradient).max(axis=-1, keepdims=True)
            gradient = np.where(size > 10 * self.n * np.finfo(ops.dtype).eps, gradient, 0.0)
        return gradient, state


@lru_cache(maxsize=256)
def compiled(
    estimator: Estimator,
    params: tuple[tuple[str, Any], ...],
    ops: Ops,
    objective: Objective,
    extension: str,
    k: int,
    raw: bool,
) -> Callable[..., tuple[Array, Array, Array, Any]]:
    """Returns `(theta [R, n], draws, parameters, state) -> (points, weights, gradient [R, n], state)`.

    Compiled once for all seeds; `raw` says whether it is given the numbers behind the draws or the draws.
    """

    def estimate(theta: Array, draws: Mapping[str, Array], parameters: Parameters, state: Any) -> Any:
        def f(z: Array) -> Array:
            return objective.extensions[extension](ops.xp, z, parameters)

        if raw:
            draws = resolve_draws(estimator.draws_for(k, dict(params)), ops, theta, draws, f, k=k, params=dict(params))
        return evaluate(estimator, ops, theta, draws, f, k=k, params=dict(params), state=state)

    return ops.compile(estimate)


def has_exact(question: Question) -> bool:
    """Returns whether the estimate has few enough values to be summed over."""
    if question.estimator.initial_state is not None or not question.takes_subsets_alone:
        return False
    declared = question.estimator.draws_for(question.k, question.params)
    count: int = math.comb(question.n, question.k) ** (len(declared) * question.samples)
    return count <= MAX_OUTCOMES


def exact_moments(question: Question, references: np.ndarray) -> Moments:
    """Returns the moments as finite sums over all outcomes of the draws; `references [T, n]` as in `Moments`."""
    parts, total = [], 0.0
    for gradients, weights in outcomes(question):
        parts.append(Moments.of(gradients, weights, references))
        total += weights.sum()
    return _add(parts).map(lambda array: array / total)


def outcomes(question: Question) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all values of the estimate, `[rows, n]`, with their probabilities, `[rows]`, in chunks."""
    ops, n, k = question.ops, question.n, question.k
    # has_exact has seen that all are subsets.
    declared = cast("Mapping[str, Subset]", question.estimator.draws_for(k, question.params))
    slots = len(declared) * question.samples
    states = subsets.enumerate(n, k)
    count = len(states) ** slots
    chunk = max(1, _OUTCOME_NUMBERS // (n * (k + 1)))
    on_device = {name: ops.asarray(value) for name, value in question.parameters.items()}

    def f(z: Array) -> Array:
        return question.objective.extensions[question.extension](ops.xp, z, on_device)

    for start in range(0, count, chunk):
        rows = min(chunk, count - start)
        flat = np.arange(start, start + rows)
        grid = np.stack(np.unravel_index(flat, (len(states),) * slots)) if slots else np.zeros((0, 1), int)
        theta = ops.asarray(np.broadcast_to(question.theta, (rows, n)).copy())
        draws: dict[str, Array] = {}
        log_weight = np.zeros(rows)
        for index, (name, draw) in enumerate(declared.items()):
            z = ops.asarray(states[grid[index * question.samples : (index + 1) * question.samples]])
            logits = theta[:1] if draw.logits is None else draw.logits(ops, theta, draws, f, k=k, **question.params)
            log_weight += np.asarray(subsets.log_prob(ops, logits, k, z), np.float64).sum(axis=0)
            draws[name] = z
        yield question.gradients(draws, rows, None, raw=False)[0], np.exp(log_weight)


def sampled_moments(question: Question, source: NoiseSource, replicates: int, references: np.ndarray) -> Moments:
    """Returns the averages over `BATCHES` equal batches of replicates, `[BATCHES, ...]`.

    Args:
      question: what is estimated.
      source: of the noise; equal sources give equal noise to estimators that declare the same.
      replicates: R, a multiple of `BATCHES`.
      references: `[T, n]` as in `Moments`.

    Raises:
      ValueError: replicates is no multiple of `BATCHES` or too small, or n is beyond `MAX_SAMPLED_ITEMS`.
    """
    if replicates < 2 * BATCHES or replicates % BATCHES:
        raise ValueError(f"replicates={replicates}: a multiple of {BATCHES}, at least {2 * BATCHES}, is needed")
    if question.n > MAX_SAMPLED_ITEMS:
        raise ValueError(f"n={question.n}: sampled moments hold n x n matrices; the limit is n={MAX_SAMPLED_ITEMS}")
    state = frozen_state(question, source)
    batch = replicates // BATCHES
    chunk = _chunk(question, batch)
    parts: list[list[Moments]] = [[] for _ in range(BATCHES)]
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        raw = source.draws(question, rows, start // chunk)
        rows_state = None if state is None else repeat_state(question.ops, state, rows)
        gradients, _ = question.gradients(raw, rows, rows_state, raw=True)
        for first in range(0, rows, batch) if chunk >= batch else (0,):
            part = gradients[first : first + batch]
            weights = np.full(len(part), 1 / batch)
            parts[(start + first) // batch].append(Moments.of(part, weights, references))
    sums = [_add(group) for group in parts]
    return Moments(**{name: np.stack([getattr(s, name) for s in sums]) for name in vars(sums[0])})


def _add(group: list[Moments]) -> Moments:
    """Returns the sum: in each part the rows are weighted already."""
    return Moments(**{name: sum(getattr(part, name) for part in group) for name in vars(group[0])})


def _chunk(question: Question, batch: int) -> int:
    """Returns how many replicates one call computes: whole batches, or a divisor of one."""
    widest = 1
    for draw in question.estimator.draws_for(question.k, question.params).values():
        if not isinstance(draw, Subset):
            widest = max(widest, math.prod(draw.axes))
    room = max(1, _CHUNK // (question.samples * question.n * widest))
    if room >= batch:
        return batch * min(room // batch, BATCHES)
    return max(size for size in range(1, room + 1) if batch % size == 0)


def frozen_state(question: Question, source: NoiseSource) -> dict[str, Array] | None:
    """Returns the estimator's state `[1]` after the warm-up, frozen from then on; None without state."""
    initial = question.estimator.initial_state
    if initial is None:
        return None
    theta = question.ops.asarray(question.theta[None])
    state = initial(question.ops, theta)
    warm_up = NoiseSource(source.seed, "warm-up")
    for call in range(_WARM_UP):
        _, state = question.gradients(warm_up.draws(question, 1, call), 1, state, raw=True)
    return state


def repeat_state(ops: Ops, state: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """Returns the state of one row for `rows` rows."""
    return {name: ops.xp.broadcast_to(value, (rows, *value.shape[1:])) for name, value in state.items()}
