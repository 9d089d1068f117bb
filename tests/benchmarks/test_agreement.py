"""The rules by which two numbers differ, at and beyond their limits."""

from __future__ import annotations

import math
import random

import pytest

from benchmarks.results import agreement


@pytest.mark.parametrize(
    ("value", "other", "double", "agrees"),
    [
        (0.0, 1e-8, True, True),  # the root of a rounding error on one backend, and 0 on the other
        (0.1, 0.1 + 2e-7, True, False),
        (1000.0, 1000.0 + 9e-5, True, True),  # relative to the value where that exceeds 1
        (1000.0, 1000.0 + 2e-4, True, False),
        (0.1, 0.1 + 9e-5, False, True),
        (0.1, 0.1 + 2e-4, False, False),
    ],
)
def test_exact_values_agree_to_the_precision_of_their_dtype(value, other, double, agrees):
    for pair in ((value, other), (other, value)):
        assert agreement.exact_gap(*pair, double=double).agrees is agrees


def test_values_of_the_same_noise_must_agree_more_closely_than_independent_ones():
    assert not agreement.sampled_gap(0.1, 0.11, 0.02, independent=0).agrees
    assert agreement.sampled_gap(0.1, 0.11, 0.02, independent=1).agrees
    assert not agreement.sampled_gap(0.1, 0.18, 0.02, independent=1).agrees


def test_sampled_values_without_an_error_must_be_equal():
    assert agreement.sampled_gap(0.1, 0.1, 0.0, independent=9).size == 0
    assert agreement.sampled_gap(0.1, 0.2, 0.0, independent=9).size == math.inf


@pytest.mark.parametrize("comparisons", [1, 10, 100])
def test_limit_is_exceeded_by_chance_as_rarely_as_it_says(comparisons):
    source = random.Random(comparisons)
    limit = agreement.chance_limit(comparisons)
    trials = 200_000 // comparisons
    largest = (max(abs(source.gauss(0, 1)) for _ in range(comparisons)) for _ in range(trials))
    exceeded = sum(value > limit for value in largest)
    expected = agreement.CHANCE * trials
    assert abs(exceeded - expected) <= 4 * math.sqrt(expected)


def test_values_near_the_least_are_those_within_two_combined_errors():
    values = [("a", 1.0, 0.03), ("b", 1.09, 0.04), ("c", 1.11, 0.04), ("d", 1.0, 0.0)]
    assert agreement.near_least(values) == {"a", "b", "d"}
    assert agreement.near_least([("a", 1.0, 0.0), ("b", 1.0 + 1e-9, 0.0)]) == {"a"}
    assert agreement.near_least([("a", 1.0, 0.0), ("b", 1.0 + 1e-9, 0.0)], 1e-7) == {"a", "b"}


def test_unknown_ends_of_intervals_are_never_apart():
    assert agreement.apart((1.0, 2.0), (2.1, 3.0)) and agreement.apart((2.1, 3.0), (1.0, 2.0))
    assert not agreement.apart((1.0, 2.0), (1.9, 3.0))
    assert not agreement.apart((math.nan, math.nan), (2.1, 3.0))


def test_a_value_is_clearly_above_a_threshold_beyond_three_standard_errors():
    assert agreement.clearly_above(1.31, 1.0, 0.1) and agreement.clearly_above(1.01, 1.0, 0.0)
    assert not agreement.clearly_above(1.29, 1.0, 0.1) and not agreement.clearly_above(0.5, 1.0, 0.1)
