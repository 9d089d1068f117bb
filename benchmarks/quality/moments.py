"""Moments of a gradient estimate: exact sums where `has_exact` holds, else averages over replicates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np

from subsetgrad import Subset, subsets
from subsetgrad.ops import Array, Ops

from .estimates import gradients
from .metrics import Moments
from .noise_source import NoiseSource
from .problem import Method, Problem

MAX_OUTCOMES = 250_000  # combinations of draws in the sums of exact moments
BATCHES = 100  # groups of replicates for the jackknife
MAX_SAMPLED_ITEMS = 512  # each batch holds two [n, n] matrices, all batches 420 MB at this n
# Replicates are computed in chunks. This is the largest number of elements of a noise array in one chunk; larger chunks
# are no faster.
_CHUNK = 250_000
_OUTCOME_NUMBERS = 4_000_000  # largest (combinations of draws) · n · (k + 1) in one chunk of outcomes
_WARM_UP = 100  # calls before a state is frozen, as in the gradient experiments of adaptive I-MLE's authors


def has_exact(problem: Problem, method: Method) -> bool:
    """Returns whether the estimate takes few enough values to sum over them."""
    if method.estimator.initial_state is not None or not method.draws_subsets_only(problem.k):
        return False
    slots = len(method.declared(problem.k)) * method.samples
    count: int = math.comb(problem.n, problem.k) ** slots
    return count <= MAX_OUTCOMES


def exact_moments(problem: Problem, method: Method, ops: Ops, references: np.ndarray) -> Moments:
    """Returns the moments as finite sums over all outcomes of the draws; `references [T, n]` as in `Moments`."""
    parts, total = [], 0.0
    for estimates, weights in outcomes(problem, method, ops):
        parts.append(Moments.of(estimates, weights, references))
        total += weights.sum()
    return _sum(parts).map(lambda array: array / total)


def outcomes(problem: Problem, method: Method, ops: Ops) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all values of the estimate, `[rows, n]`, with their probabilities, `[rows]`, in chunks."""
    n, k, samples = problem.n, problem.k, method.samples
    # Every draw is a subset: callers have checked `has_exact`.
    declared = cast("Mapping[str, Subset]", method.declared(k))
    slots = len(declared) * samples
    states = subsets.enumerate(n, k)
    count = len(states) ** slots
    chunk = max(1, _OUTCOME_NUMBERS // (n * (k + 1)))
    f = problem.f(ops)
    for start in range(0, count, chunk):
        rows = min(chunk, count - start)
        flat = np.arange(start, start + rows)
        grid = np.stack(np.unravel_index(flat, (len(states),) * slots)) if slots else np.zeros((0, 1), int)
        theta = ops.asarray(np.broadcast_to(problem.theta, (rows, n)).copy())
        draws: dict[str, Array] = {}
        log_weight = np.zeros(rows)
        for index, (name, draw) in enumerate(declared.items()):
            z = ops.asarray(states[grid[index * samples : (index + 1) * samples]])
            logits = theta[:1] if draw.logits is None else draw.logits(ops, theta, draws, f, k=k, **method.params)
            log_weight += np.asarray(subsets.log_prob(ops, logits, k, z), np.float64).sum(axis=0)
            draws[name] = z
        yield gradients(problem, method, ops, draws, rows, None, raw=False)[0], np.exp(log_weight)


def sampled_moments(
    problem: Problem, method: Method, ops: Ops, source: NoiseSource, replicates: int, references: np.ndarray
) -> Moments:
    """Returns the moments averaged within each of `BATCHES` equal batches of replicates, `[BATCHES, ...]`.

    Args:
      problem, method, ops: what is estimated, how, and on which backend.
      source: the source of the noise. Equal sources give the same numbers to estimators that declare the same noise.
      replicates: R, a multiple of `BATCHES`.
      references: `[T, n]` as in `Moments`.

    Raises:
      ValueError: replicates is too small or no multiple of `BATCHES`, or n is larger than `MAX_SAMPLED_ITEMS`.
    """
    if replicates < 2 * BATCHES or replicates % BATCHES:
        raise ValueError(f"replicates={replicates}: a multiple of {BATCHES}, at least {2 * BATCHES}, is needed")
    if problem.n > MAX_SAMPLED_ITEMS:
        raise ValueError(f"n={problem.n}: sampled moments hold n x n matrices; the limit is n={MAX_SAMPLED_ITEMS}")
    state = frozen_state(problem, method, ops, source.seed)
    declared = method.declared(problem.k)
    batch = replicates // BATCHES
    chunk = _rows_per_call(problem, method, batch)
    parts: list[list[Moments]] = [[] for _ in range(BATCHES)]
    for start in range(0, replicates, chunk):
        rows = min(chunk, replicates - start)
        raw = source.draws(declared, ops, samples=method.samples, rows=rows, n=problem.n, chunk=start // chunk)
        rows_state = None if state is None else _repeated(ops, state, rows)
        estimates, _ = gradients(problem, method, ops, raw, rows, rows_state, raw=True)
        for first in range(0, rows, batch) if chunk >= batch else (0,):
            part = estimates[first : first + batch]
            weights = np.full(len(part), 1 / batch)
            parts[(start + first) // batch].append(Moments.of(part, weights, references))
    sums = [_sum(group) for group in parts]
    return Moments(**{name: np.stack([getattr(s, name) for s in sums]) for name in vars(sums[0])})


def frozen_state(problem: Problem, method: Method, ops: Ops, seed: int) -> dict[str, Array] | None:
    """Returns the estimator's state after the warm-up, for one row; None without state.

    All replicates use this state.
    """
    initial = method.estimator.initial_state
    if initial is None:
        return None
    state = initial(ops, ops.asarray(problem.theta[None]))
    source, declared = NoiseSource(seed, "warm-up"), method.declared(problem.k)
    for call in range(_WARM_UP):
        raw = source.draws(declared, ops, samples=method.samples, rows=1, n=problem.n, chunk=call)
        _, state = gradients(problem, method, ops, raw, 1, state, raw=True)
    return state


def _sum(group: list[Moments]) -> Moments:
    """Returns the sum of partial moments; their weights are multiplied in already."""
    return Moments(**{name: sum(getattr(part, name) for part in group) for name in vars(group[0])})


def _rows_per_call(problem: Problem, method: Method, batch: int) -> int:
    """Returns how many replicates one call computes: a multiple of the batch, or a divisor of it."""
    widest = max(
        (math.prod(d.axes) for d in method.declared(problem.k).values() if not isinstance(d, Subset)), default=1
    )
    largest = max(1, _CHUNK // (method.samples * problem.n * widest))
    if largest >= batch:
        return batch * min(largest // batch, BATCHES)
    return max(size for size in range(1, largest + 1) if batch % size == 0)


def _repeated(ops: Ops, state: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """Returns the state of a single row, repeated for `rows` rows."""
    return {name: ops.xp.broadcast_to(value, (rows, *value.shape[1:])) for name, value in state.items()}
