"""The Plackett-Luce law: probabilities against sums over orders, scores against derivatives, and resampling."""

from __future__ import annotations

import itertools

import numpy as np
import oracles
import pytest

from subsetgrad import plackett_luce

RNG = np.random.default_rng(6)
THETA = {
    "ordinary": 1.5 * RNG.normal(size=5),
    "equal": np.zeros(5),
    "impossible": np.array([0.5, -np.inf, 1.0, -np.inf, -1.0]),
    "spread": np.array([0.0, -30.0, 200.0, 1.0, -600.0]),
    "shifted": 1e4 + RNG.normal(size=5),
}


def possible_orders(theta, k):
    finite = [i for i in range(len(theta)) if np.isfinite(theta[i])]
    return list(itertools.permutations(finite, k))


@pytest.mark.parametrize("name", THETA)
def test_probabilities_are_sums_over_orders(ops, name):
    theta = THETA[name]
    for k in range(1, 4 if name == "impossible" else 6):
        probabilities = np.asarray(plackett_luce.probabilities(ops, ops.asarray(theta), k))
        expected = np.zeros(len(oracles.subsets_of(5, k)))
        weights = np.exp(theta - np.max(theta))
        index = {tuple(np.flatnonzero(row)): i for i, row in enumerate(oracles.subsets_of(5, k))}
        if name in ("impossible", "spread"):  # by logarithms here, because the weights of the oracle underflow
            for order in possible_orders(theta, k):
                log_p, remaining = 0.0, list(range(5))
                for item in order:
                    log_p += theta[item] - np.logaddexp.reduce(theta[remaining])
                    remaining.remove(item)
                expected[index[tuple(sorted(order))]] += np.exp(log_p)
        else:
            expected = oracles.plackett_luce_probabilities(theta, k)
            assert np.all(weights > 0)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-9, atol=1e-300)
        assert probabilities.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("k", [0, 5])
def test_one_subset_has_probability_1(ops, k):
    probabilities = np.asarray(plackett_luce.probabilities(ops, ops.asarray(THETA["ordinary"]), k))
    np.testing.assert_allclose(probabilities, [1.0], atol=1e-12)


def test_for_one_item_the_law_is_a_softmax_and_for_more_it_is_not_the_conditional_poisson_law(ops):
    theta = THETA["ordinary"]
    one = np.asarray(plackett_luce.probabilities(ops, ops.asarray(theta), 1))
    softmax = np.exp(theta) / np.exp(theta).sum()
    np.testing.assert_allclose(one, softmax[::1], rtol=1e-12)
    two = np.asarray(plackett_luce.probabilities(ops, ops.asarray(theta), 2))
    assert np.abs(two - oracles.enumerated(theta, 2).probabilities).sum() / 2 > 0.02


def test_marginals_are_batched_and_sum_to_k(ops):
    theta = 1.5 * RNG.normal(size=(2, 3, 5))
    marginals = np.asarray(plackett_luce.marginals(ops, ops.asarray(theta), 2))
    for index in np.ndindex(2, 3):
        expected = oracles.plackett_luce_probabilities(theta[index], 2) @ oracles.subsets_of(5, 2)
        np.testing.assert_allclose(marginals[index], expected, rtol=1e-10)
    np.testing.assert_allclose(marginals.sum(axis=-1), 2.0, atol=1e-12)


@pytest.mark.parametrize("name", ["ordinary", "impossible"])
def test_gradient_of_an_expectation_is_that_of_finite_differences(ops, name):
    theta, k = THETA[name], 2
    values = RNG.normal(size=10)
    weights = ops.asarray(values)
    gradient = ops.value_and_grad(lambda t: ops.xp.sum(weights * plackett_luce.probabilities(ops, t, k)))(
        ops.asarray(theta)
    )[1]
    possible = np.isfinite(theta)

    def expected_value(row):
        full = np.where(possible, 0.0, -1e3)
        full[possible] = row
        return float(values @ oracles.plackett_luce_probabilities(full, k))

    assert np.all(np.asarray(gradient)[~possible] == 0)
    expected = oracles.finite_difference(expected_value, theta[possible])
    np.testing.assert_allclose(np.asarray(gradient)[possible], expected, atol=1e-8)


def test_twenty_one_items_are_refused(ops):
    with pytest.raises(ValueError, match=r"n=21: .* the limit is n=20"):
        plackett_luce.probabilities(ops, ops.asarray(np.zeros(21)), 2)


def log_probability(theta, order):
    """Returns log P(o), added up draw by draw."""
    remaining, total = [i for i in range(len(theta)) if np.isfinite(theta[i])], 0.0
    for item in order:
        total += theta[item] - np.logaddexp.reduce(theta[remaining])
        remaining.remove(item)
    return total


@pytest.mark.parametrize("k", [1, 3, 5])
def test_ordered_score_is_the_derivative_of_the_log_probability_of_the_order(ops, k):
    theta = 1.5 * RNG.normal(size=(2, 5))
    order = np.array([[RNG.permutation(5) for _ in range(2)] for _ in range(3)])
    score = np.asarray(plackett_luce.ordered_score(ops, ops.asarray(theta), integers(ops, order), k))
    for s, b in np.ndindex(3, 2):
        expected = oracles.finite_difference(lambda row, o=order[s, b, :k]: log_probability(row, o), theta[b])
        np.testing.assert_allclose(score[s, b], expected, atol=1e-8)
    np.testing.assert_allclose(score.sum(axis=-1), 0.0, atol=1e-12)


def test_ordered_score_of_an_impossible_item_is_zero(ops):
    theta = THETA["impossible"]
    order = np.array([[2, 0, 4, 1, 3]])
    score = np.asarray(plackett_luce.ordered_score(ops, ops.asarray(theta[None]), integers(ops, order), 2))[0]
    possible = np.isfinite(theta)
    expected = oracles.finite_difference(lambda row: log_probability(row, [1, 0]), theta[possible])
    assert np.all(score[~possible] == 0)
    np.testing.assert_allclose(score[possible], expected, atol=1e-8)


def integers(ops, order):
    """Returns an order as integers of the backend, by sorting numbers that are in that order."""
    ranks = np.empty(order.shape)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(order.shape[-1], dtype=float), order.shape), axis=-1)
    return ops.xp.argsort(ops.asarray(ranks), axis=-1)


def race(theta, order, exponentials, k):
    """Returns x̃ of one row from arrival times, item by item, in long double."""
    weights = np.exp(theta.astype(np.longdouble))
    times = np.full(len(theta), np.inf, np.longdouble)
    clock, gone = np.longdouble(0), []
    for item in order[:k]:
        rest = [i for i in range(len(theta)) if i not in gone]
        clock = clock + exponentials[item] / weights[rest].sum()
        times[item] = clock
        gone.append(item)
    for item in order[k:]:
        if weights[item] > 0:
            times[item] = clock + exponentials[item] / weights[item]
    return -np.log(times)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_conditional_gumbel_is_the_race_and_its_derivative(ops, k):
    theta = 1.5 * RNG.normal(size=(2, 5))
    order = np.array([[RNG.permutation(5) for _ in range(2)] for _ in range(3)])
    exponentials = RNG.exponential(size=(3, 2, 5))
    bar = RNG.normal(size=(3, 2, 5))

    def weighted(t):
        x = plackett_luce.conditional_gumbel(ops, t, integers(ops, order), ops.asarray(exponentials), k)
        return ops.xp.sum(ops.asarray(bar) * x), x

    (_, x_tilde), gradient = ops.compile(ops.value_and_grad(weighted, has_aux=True))(ops.asarray(theta))
    for s, b in np.ndindex(3, 2):
        np.testing.assert_allclose(
            np.asarray(x_tilde)[s, b], race(theta[b], order[s, b], exponentials[s, b], k).astype(float), rtol=1e-12
        )
    for b in range(2):
        expected = oracles.finite_difference(
            lambda row, b=b: float(sum(bar[s, b] @ race(row, order[s, b], exponentials[s, b], k) for s in range(3))),
            theta[b],
        )
        np.testing.assert_allclose(np.asarray(gradient)[b], expected, atol=1e-8)


def test_conditional_gumbel_leaves_impossible_items_impossible(ops):
    theta = np.array([THETA["impossible"]])
    order, exponentials = integers(ops, np.array([[[2, 4, 0, 1, 3]]])), ops.asarray(RNG.exponential(size=(1, 1, 5)))
    possible = np.isfinite(theta[0])
    for k in (2, 3):

        def weighted(t, k=k):
            x = plackett_luce.conditional_gumbel(ops, t, order, exponentials, k)
            return ops.xp.sum(ops.xp.where(ops.xp.isfinite(x), x, 0.0)), x

        (_, x), gradient = ops.compile(ops.value_and_grad(weighted, has_aux=True))(ops.asarray(theta))
        assert np.array_equal(np.asarray(x)[0, 0] == -np.inf, ~possible)
        assert np.all(np.isfinite(np.asarray(gradient))) and np.all(np.asarray(gradient)[0, ~possible] == 0)


# The tests below compare the mean and the variance of x̃ − θ of 5 items, and the law of the largest, at a fixed seed. A
# correct sampler exceeds a bound of 5 in one of these 15 comparisons with probability 1e-5.
BOUND = 5.0
REPLICATES = 40_000


def resampled(ops, condition):
    """Returns the order of perturbed logits, and x̃ given `condition(order)`."""
    rng = np.random.default_rng(0)
    theta = THETA["ordinary"][None]
    perturbed = theta + rng.gumbel(size=(REPLICATES, 1, 5))
    order = np.argsort(-perturbed, axis=-1)
    exponentials = rng.exponential(size=(REPLICATES, 1, 5))
    x = plackett_luce.conditional_gumbel(
        ops, ops.asarray(theta), integers(ops, condition(order)), ops.asarray(exponentials), 3
    )
    return order[:, 0], np.asarray(x)[:, 0]


def z_scores(theta, x):
    """Returns |z-scores| of the mean and the variance of x − θ, item by item, and of the law of the largest."""
    noise = x - theta
    scores = []
    for value, exact in ((noise, np.euler_gamma), ((noise - np.euler_gamma) ** 2, np.pi**2 / 6)):
        scores.append((value.mean(axis=0) - exact) / (value.std(axis=0) / np.sqrt(len(x))))
    winner = np.exp(theta) / np.exp(theta).sum()
    frequency = np.mean(np.argmax(x, axis=-1)[:, None] == np.arange(5), axis=0)
    scores.append((frequency - winner) / np.sqrt(winner * (1 - winner) / len(x)))
    return np.abs(np.concatenate(scores))


def test_conditional_gumbel_keeps_the_order_of_the_first_k_and_the_law_of_the_noise(ops):
    order, x = resampled(ops, lambda order: order)
    assert np.array_equal(np.argsort(-x, axis=-1)[:, :3], order[:, :3])
    assert np.max(z_scores(THETA["ordinary"], x)) < BOUND


def test_moments_catch_an_order_of_another_law(ops):
    rng = np.random.default_rng(1)
    _, x = resampled(ops, lambda order: rng.permuted(order, axis=-1))
    assert np.max(z_scores(THETA["ordinary"], x)) > 3 * BOUND


def test_float32_takes_logits_far_apart(ops32):
    """Items whose weight underflows are drawn when no others are left, without infinities or NaN."""
    theta = np.array([[0.0, -gap, -gap - 1, -2 * gap, -2 * gap - 0.5] for gap in (20.0, 90.0, 200.0)])
    order = np.broadcast_to([0, 2, 1, 4, 3], (1, 3, 5))
    exponentials = RNG.exponential(size=(1, 3, 5)).astype(np.float32)
    on_device = integers(ops32, order)
    for k in (2, 5):

        def weighted(t, k=k):
            x = plackett_luce.conditional_gumbel(ops32, t, on_device, ops32.asarray(exponentials), k)
            return ops32.xp.sum(x), x

        (_, x), gradient = ops32.compile(ops32.value_and_grad(weighted, has_aux=True))(ops32.asarray(theta))
        score = np.asarray(plackett_luce.ordered_score(ops32, ops32.asarray(theta), on_device, k), float)
        for b, row in enumerate(theta):
            expected_x = race(row, order[0, b], exponentials[0, b], k).astype(float)
            np.testing.assert_allclose(np.asarray(x)[0, b], expected_x, rtol=1e-5, atol=1e-5)
            expected = oracles.finite_difference(
                lambda r, b=b, k=k: float(race(r, order[0, b], exponentials[0, b], k).sum()), row
            )
            np.testing.assert_allclose(np.asarray(gradient)[b], expected, atol=1e-4)
            expected = oracles.finite_difference(lambda r, b=b, k=k: log_probability(r, order[0, b, :k]), row)
            np.testing.assert_allclose(score[0, b], expected, atol=1e-5)
