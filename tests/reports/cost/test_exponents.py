"""Exponents, families of sizes, fronts, and units: the page's computations with times."""

from __future__ import annotations

import math
import random

import pandas as pd
import pytest

from reports.cost import fronts, slopes
from reports.form import units


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.0])
def test_slope_of_a_power_law_is_its_exponent(exponent):
    sizes = [16, 64, 256, 1024, 4096]
    slope = slopes.fit(sizes, [3e-6 * n**exponent for n in sizes], [0.0] * 5)
    assert slope is not None and slope.value == pytest.approx(exponent, abs=1e-12)
    assert slope.sizes == (64, 256, 1024, 4096)


def test_fixed_cost_of_a_call_does_not_bend_the_slope_over_the_largest_sizes():
    sizes = [10 * 2**power for power in range(12)]
    values = [1e-4 + 1e-6 * n for n in sizes]
    over_largest = slopes.fit(sizes, values, [0.0] * 12)
    assert over_largest is not None and over_largest.value == pytest.approx(1, abs=0.06)
    over_smallest = slopes.fit(sizes[:6], values[:6], [0.0] * 6)
    assert over_smallest is not None and over_smallest.value < 0.6


def test_two_sizes_make_no_slope():
    assert slopes.fit([10, 100], [1.0, 2.0], [0.1, 0.1]) is None


def test_interval_of_a_slope_covers_the_exponent_as_often_as_it_says():
    source = random.Random(5)
    sizes = [2**power for power in range(4, 12)]
    covered = narrow = 0
    for _ in range(400):
        values = [n**0.9 * source.lognormvariate(0, 0.1) for n in sizes]
        slope = slopes.fit(sizes, values, [0.1 * value for value in values])
        assert slope is not None
        covered += slope.low <= 0.9 <= slope.high
        narrow += abs(slope.value - 0.9) <= 0.98 * slope.std_error  # the wrong twin has half of the interval
    assert covered >= 0.93 * 400
    assert narrow < 0.9 * 400


def test_measurement_error_widens_an_interval_that_scatter_leaves_narrow():
    sizes = [10, 100, 1000, 10_000]
    slope = slopes.fit(sizes, [float(n) for n in sizes], [0.2 * n for n in sizes])
    assert slope is not None
    # The variance of a least-squares slope with equal errors e in the logarithms: e²/Σ(x − x̄)².
    spread = sum((math.log(n) - math.log(sizes[0] * sizes[-1]) / 2) ** 2 for n in sizes)
    assert slope.std_error == pytest.approx(0.2 / math.sqrt(spread))
    assert slope.high - slope.value == pytest.approx(1.96 * slope.std_error, rel=1e-3)


def test_families_are_where_most_estimators_have_three_sizes():
    small = [(n, k) for n in (16, 64, 256) for k in (1, 2, 8)]
    large = [*small, *((4096, k) for k in (1, 2, 8, 64, 512))]
    families = slopes.families({"a": large, "b": small, "c": small})
    assert [(family.axis, family.held) for family in families] == [("n", "k = 8"), ("n", "k = n/8"), ("k", "n = 256")]
    assert families[0].sizes == ((16, 8), (64, 8), (256, 8), (4096, 8))


def test_share_of_n_counts_as_one_family_when_k_is_rounded():
    (family,) = slopes.families({"a": [(10, 1), (33, 4), (100, 12), (1000, 125)]})
    assert family.held == "k = n/8, rounded"
    assert slopes.families({"a": [(10, 5), (20, 9)]}) == []


# Fronts


def test_front_equals_that_of_brute_force():
    source = random.Random(3)
    for _ in range(200):
        count = source.randint(1, 12)
        points = pd.DataFrame(
            {
                "seconds": [source.choice([1, 2, 3, 5, 8]) for _ in range(count)],
                "error": [source.choice([0.1, 0.2, 0.3]) for _ in range(count)],
                "reference": [source.random() < 0.1 for _ in range(count)],
            }
        )
        rows = points.to_dict("records")

        def beaten(row, rows=rows):
            return any(
                other["seconds"] <= row["seconds"]
                and other["error"] <= row["error"]
                and (other["seconds"], other["error"]) != (row["seconds"], row["error"])
                for other in rows
                if not other["reference"]
            )

        assert fronts.front(points).tolist() == [not row["reference"] and not beaten(row) for row in rows]


# Units


@pytest.mark.parametrize(
    ("value", "std_error", "text"),
    [
        (12.34e-6, 0.0, "12.3 µs"),
        (999.7e-6, 0.0, "1.00 ms"),
        (0.25, 0.002, "250 ± 2 ms"),
        (12.312e-3, 0.21e-3, "12.3 ± 0.2 ms"),
        (3.0, 0.00001, "3.00 s"),
        (3.0, float("nan"), "3.00 s ± ?"),
        (2e-9, 0.0, "2.00 ns"),
        (125.0, 0.0, "125 s"),
        (float("nan"), 0.0, "–"),
    ],
)
def test_seconds_have_fitting_units_and_the_digits_they_have(value, std_error, text):
    assert units.seconds(value, std_error) == text


@pytest.mark.parametrize(("value", "text"), [(0, "0 B"), (512, "512 B"), (1536, "1.50 KiB"), (3 * 2**20, "3.00 MiB")])
def test_bytes_are_in_powers_of_1024(value, text):
    assert units.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.8349, "0.83×"),
        (9.96, "10×"),
        (12.34, "12.3×"),
        (140.2, "140×"),
        (999.6, "1,000×"),
        (123_456, "123,000×"),
        (2e-5, "0.000020×"),
        (0.0, "0×"),
        (math.nan, "–"),
    ],
)
def test_ratios_of_every_size_have_two_or_three_digits(value, text):
    assert units.ratio(value) == text
