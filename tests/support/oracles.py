"""Oracles in numpy: slow, simple enough to be obviously right, and by other methods than those of the library.

Nothing here imports `subsetgrad`. A row of logits is one-dimensional float64; -inf means "never chosen".
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


def subsets_of(n: int, k: int) -> np.ndarray:
    """Returns all k-hot vectors, `[C(n, k), n]`, in lexicographic order of the chosen items."""
    rows = [[float(item in chosen) for item in range(n)] for chosen in itertools.combinations(range(n), k)]
    return np.array(rows).reshape(math.comb(n, k), n)


@dataclass(frozen=True)
class Law:
    """A distribution over a list of all k-subsets; all its moments are sums over the list.

    Attributes:
      states: `[C, n]`.
      log_probabilities: `[C]`, -inf for a subset with an item of logit -inf.
      log_partition: the logarithm of the normaliser.
    """

    states: np.ndarray
    log_probabilities: np.ndarray
    log_partition: float

    @property
    def probabilities(self) -> np.ndarray:
        return np.exp(self.log_probabilities)

    @property
    def marginals(self) -> np.ndarray:
        return self.probabilities @ self.states

    @property
    def second_order(self) -> np.ndarray:
        """`[n, n]` E[z_i z_j]."""
        return np.einsum("c,ci,cj->ij", self.probabilities, self.states, self.states)

    @property
    def covariance(self) -> np.ndarray:
        centred = self.states - self.marginals
        return np.einsum("c,ci,cj->ij", self.probabilities, centred, centred)

    @property
    def third_moment(self) -> np.ndarray:
        """`[n, n, n]` E[(z − μ)_i (z − μ)_j (z − μ)_l], the third derivative of the log-partition."""
        centred = self.states - self.marginals
        return np.einsum("c,ci,cj,cl->ijl", self.probabilities, centred, centred, centred)

    @property
    def entropy(self) -> float:
        possible = self.probabilities > 0
        return float(-np.sum(self.probabilities[possible] * self.log_probabilities[possible]))


def enumerated(theta: np.ndarray, k: int) -> Law:
    """Returns the conditional Poisson law of one row, by enumeration; logits are added in exact arithmetic."""
    states = subsets_of(len(theta), k)
    scores: list[Fraction | None] = []
    for state in states:
        chosen = [float(value) for value in theta[state == 1]]
        scores.append(None if -math.inf in chosen else sum(map(Fraction, chosen), Fraction(0)))
    best = max(score for score in scores if score is not None)
    relative = np.array([-math.inf if score is None else float(score - best) for score in scores])
    log_sum = math.log(math.fsum(np.exp(relative)))
    return Law(states, relative - log_sum, float(best + Fraction(log_sum)))


def log_table(theta: np.ndarray, k: int) -> np.ndarray:
    """Returns log e_j of the first i weights exp(theta), `[n+1, k+1]`, by the recursion in log space in long double."""
    table = np.full((len(theta) + 1, k + 1), -np.inf, dtype=np.longdouble)
    table[0, 0] = 0
    for i, value in enumerate(theta.astype(np.longdouble)):
        table[i + 1] = table[i]
        table[i + 1, 1:] = np.logaddexp(table[i, 1:], table[i, :-1] + value)
    return table


def log_space(theta: np.ndarray, k: int) -> tuple[float, np.ndarray, float]:
    """Returns log-partition, marginals and entropy by the recursion in log space, for any n with finite logits."""
    before, after = log_table(theta, k), log_table(theta[::-1], k)[::-1]
    log_partition = before[-1, k]
    terms = before[:-1, :k] + after[1:, :k][:, ::-1]
    marginals = np.exp(theta + np.logaddexp.reduce(terms, axis=1) - log_partition)
    return float(log_partition), marginals.astype(float), float(log_partition - np.sum(theta * marginals))


def rational(weights: Sequence[Fraction], k: int) -> tuple[Fraction, list[Fraction]]:
    """Returns e_k(weights) and the marginals of the law p(z) ∝ Π w_i^{z_i}, in exact arithmetic."""
    totals = [Fraction(1)] + [Fraction(0)] * k
    for weight in weights:
        totals = [totals[0]] + [totals[j] + weight * totals[j - 1] for j in range(1, k + 1)]
    marginals = []
    for weight in weights:
        without = [Fraction(1)]
        for j in range(1, k + 1):
            without.append(totals[j] - weight * without[j - 1])
        marginals.append(weight * without[k - 1] / totals[k])
    return totals[k], marginals


def sequential_sample(theta: np.ndarray, k: int, uniforms: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns one sample, decided from the last item to the first, and the smallest |u − p| of its decisions.

    A correct implementation may return another sample only if that gap is as small as its rounding errors.
    """
    table = log_table(theta, k)
    z, left, gap = np.zeros(len(theta)), k, math.inf
    for i in reversed(range(len(theta))):
        if left == 0:
            break
        p = float(np.exp(theta[i] + table[i, left - 1] - table[i + 1, left]))
        z[i] = float(uniforms[i] < p)
        left -= int(z[i])
        gap = min(gap, abs(float(uniforms[i]) - p))
    return z, gap


def splitting_sample(theta: np.ndarray, k: int, uniforms: np.ndarray, pairs: Sequence[int]) -> tuple[np.ndarray, float]:
    """Returns one sample by splitting counts down a tree, and the smallest |u − P| of its decisions.

    A correct implementation may return another sample only if that gap is as small as its rounding errors.

    Args:
      theta: logits.
      k: items chosen.
      uniforms: one for each split, from the root down and from left to right; nodes without items are not split.
      pairs: the number of pairs of nodes of each level, from the items to the root; nodes i and i + pairs are a pair.
    """
    if k in (0, len(theta)):
        return np.full(len(theta), float(k > 0)), math.inf
    groups = [[[i] for i in range(len(theta))]]
    for halves in pairs:
        below = groups[-1] + [[] for _ in range(2 * halves - len(groups[-1]))]
        groups.append([below[i] + below[i + halves] for i in range(halves)])
    chosen, gap, used = [k], math.inf, 0
    for halves, below in zip(reversed(pairs), reversed(groups[:-1]), strict=True):
        first, second = chosen[:], [0] * halves
        for i in range(len(below) - halves):
            left, right = (log_table(theta[below[j]], k)[-1] for j in (i, i + halves))
            logs = np.array([left[j] + right[chosen[i] - j] for j in range(chosen[i] + 1)])
            cumulative = np.cumsum(np.exp(logs - np.logaddexp.reduce(logs)))
            first[i] = int(np.sum(cumulative[:-1] <= uniforms[used]))
            second[i] = chosen[i] - first[i]
            gap = min(gap, *np.abs(cumulative[:-1] - uniforms[used]), math.inf)
            used += 1
        chosen = (first + second)[: len(below)]
    return np.array(chosen, float), gap


def listed_samples(theta: np.ndarray, k: int, uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the subsets `[S, n]` at which the cumulative law exceeds the uniforms `[S]`, and the smallest |u − P|."""
    law = enumerated(theta, k)
    changes = np.cumsum(law.probabilities)[:-1]
    gaps = np.abs(changes - uniforms[:, None]).min(axis=-1, initial=math.inf)
    return law.states[(changes <= uniforms[:, None]).sum(axis=-1)], gaps


def divided_sample(theta: np.ndarray, k: int, uniforms: np.ndarray, first: int = 0) -> tuple[list[float], float]:
    """Returns one sample by Algorithm 6 on the items from `first` on, and the smallest |u − P| of its decisions."""
    n = len(theta)
    if n == 1:
        return [float(k)], math.inf
    half = (n + 1) // 2
    left, right = log_table(theta[:half], half)[-1], log_table(theta[half:], n - half)[-1]
    splits = range(max(0, k - (n - half)), min(k, half) + 1)
    weights = np.array([left[m] + right[k - m] for m in splits])
    sums = np.cumsum(np.exp(weights - weights.max()))
    below = (sums / sums[-1]).astype(float)
    u = uniforms[first + half]
    m = splits[int(np.searchsorted(below, u, side="right"))]
    z_left, gap_left = divided_sample(theta[:half], m, uniforms, first)
    z_right, gap_right = divided_sample(theta[half:], k - m, uniforms, first + half)
    return z_left + z_right, min(float(np.abs(below[:-1] - u).min(initial=math.inf)), gap_left, gap_right)


def plackett_luce_probabilities(theta: np.ndarray, k: int) -> np.ndarray:
    """Returns the law of Gumbel-top-k, `[C(n, k)]` in the order of `subsets_of`, by sums over all orders of drawing."""
    weights = np.exp(theta - np.max(theta))
    probabilities = []
    for chosen in itertools.combinations(range(len(theta)), k):
        total = 0.0
        for order in itertools.permutations(chosen):
            remaining, product = set(range(len(theta))), 1.0
            for item in order:
                product *= weights[item] / math.fsum(weights[list(remaining)])
                remaining.remove(item)
            total += product
        probabilities.append(total)
    return np.array(probabilities)


def top_k_mask(scores: np.ndarray, k: int) -> np.ndarray:
    """Returns 1 at the k largest of each row, by a double argsort; of ties, the later items are chosen."""
    ranks = np.argsort(np.argsort(scores, axis=-1, kind="stable"), axis=-1, kind="stable")
    return (ranks >= scores.shape[-1] - k).astype(float)


def finite_difference(function: Callable[[np.ndarray], float], x: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Returns the gradient of a scalar function by central differences, with an error of about step² + 1e-16/step."""
    return np.array([(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(len(x))])
