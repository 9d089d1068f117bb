"""Quality metrics against their definitions, as sums over a small law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.quality.metrics import (
    QUALITY_METRICS,
    SQUARED,
    Moments,
    exact_measurements,
    quality,
    sampled_measurements,
)

REFERENCE = np.array([1.0, -0.5, 0.25])
OTHER = np.array([-0.2, 0.3, 1.0])


def small_law(noise=1.0, seed=3):
    """Returns seven values of an estimate, one of them 0, and their probabilities."""
    values = 0.8 * REFERENCE + np.array([0.1, 0.2, 0.0]) + noise * np.random.default_rng(seed).normal(size=(7, 3))
    values[2] = 0.0
    weights = np.array([0.1, 0.2, 0.05, 0.15, 0.1, 0.25, 0.15])
    return values, weights


def cosine(a, b):
    """Returns cos(a, b), 0 where either is 0."""
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


def by_definition(values, weights, reference):
    """Returns the metrics by their definitions, as sums over the outcomes."""
    pairs = list(zip(values.tolist(), weights.tolist(), strict=True))
    mean = [sum(w * g[i] for g, w in pairs) for i in range(3)]
    to_mean = [cosine(g, mean) for g, _ in pairs]
    to_reference = [cosine(g, reference) for g, _ in pairs]
    average = sum(w * c for c, (_, w) in zip(to_mean, pairs, strict=True))
    error = sum(w * (1 - c) for c, (_, w) in zip(to_reference, pairs, strict=True))
    square = sum(r * r for r in reference)
    return {
        "bias": 1 - cosine(reference, mean),
        "variance": sum(w * (c - average) ** 2 for c, (_, w) in zip(to_mean, pairs, strict=True)),
        "error": error,
        "error_std": math.sqrt(sum(w * (1 - c - error) ** 2 for c, (_, w) in zip(to_reference, pairs, strict=True))),
        "relative_bias": math.sqrt(sum((m - r) ** 2 for m, r in zip(mean, reference, strict=True)) / square),
        "total_variance": sum(w * sum((x - m) ** 2 for x, m in zip(g, mean, strict=True)) for g, w in pairs),
        "relative_mse": sum(w * sum((x - r) ** 2 for x, r in zip(g, reference, strict=True)) for g, w in pairs)
        / square,
        "zero_probability": sum(w for g, w in pairs if not any(g)),
        "descent_probability": sum(w for g, w in pairs if sum(x * r for x, r in zip(g, reference, strict=True)) > 0),
    }


class TestQuality:
    @pytest.mark.parametrize("target", [0, 1])
    def test_it_is_the_definition_over_a_discrete_law(self, target):
        values, weights = small_law()
        references = np.stack([REFERENCE, OTHER])
        computed = quality(Moments.of(values, weights, references), references[target], target, 1000, exact=True)
        expected = by_definition(values, weights, references[target])
        assert set(computed) - {SQUARED} == set(QUALITY_METRICS) == {*expected, "bias_raw", "bias_floor"}
        for metric, value in expected.items():
            assert float(computed[metric]) == pytest.approx(value, rel=1e-12, abs=1e-14), metric

    def test_each_index_of_leading_axes_is_a_law(self):
        laws = [small_law(seed=seed) for seed in range(4)]
        moments = [Moments.of(values, weights, REFERENCE[None]) for values, weights in laws]
        stacked = Moments(**{name: np.stack([getattr(m, name) for m in moments]) for name in vars(moments[0])})
        together = quality(stacked, REFERENCE, 0, 1000, exact=True)
        for index, alone in enumerate(moments):
            for metric, value in quality(alone, REFERENCE, 0, 1000, exact=True).items():
                assert together[metric][index] == pytest.approx(value, rel=1e-12, abs=1e-15), metric

    def test_the_cosine_with_zero_counts_as_zero(self):
        moments = Moments.of(np.zeros((2, 3)), np.array([0.5, 0.5]), REFERENCE[None])
        computed = quality(moments, REFERENCE, 0, 1000, exact=True)
        expected = {"bias": 1, "variance": 0, "error": 1, "error_std": 0, "zero_probability": 1, "relative_bias": 1}
        expected |= {"total_variance": 0, "relative_mse": 1, "descent_probability": 0}
        assert {metric: float(computed[metric]) for metric in expected} == expected
        assert math.isnan(computed["bias_floor"]) and math.isnan(computed["bias_raw"])

    def test_a_mean_of_zero_counts_as_a_right_angle(self):
        values = np.stack([REFERENCE, -REFERENCE])
        computed = quality(Moments.of(values, np.array([0.5, 0.5]), REFERENCE[None]), REFERENCE, 0, 1000, exact=True)
        assert float(computed["bias"]) == 1 and float(computed["error"]) == pytest.approx(1)
        assert float(computed["error_std"]) == pytest.approx(1)

    def test_the_wrong_sign_has_bias_two(self):
        computed = quality(
            Moments.of(-3 * REFERENCE[None], np.ones(1), REFERENCE[None]), REFERENCE, 0, 1000, exact=True
        )
        assert float(computed["bias"]) == pytest.approx(2, abs=1e-15)
        assert float(computed["relative_bias"]) == pytest.approx(4)

    @pytest.mark.parametrize("scale", [1e-3, 1e3])
    def test_directions_do_not_depend_on_the_scale_of_the_estimate(self, scale):
        values, weights = small_law()
        before, after = (
            quality(Moments.of(factor * values, weights, REFERENCE[None]), REFERENCE, 0, 500, exact=True)
            for factor in (1, scale)
        )
        for metric in ("bias", "bias_raw", "bias_floor", "variance", "error", "error_std", "descent_probability"):
            assert float(after[metric]) == pytest.approx(float(before[metric]), rel=1e-9), metric

    def test_a_small_angle_is_not_lost_to_rounding(self):
        angle = 1e-9
        tilted = np.array([[math.cos(angle), math.sin(angle), 0.0]])
        towards = np.array([1.0, 0.0, 0.0])
        computed = quality(Moments.of(tilted, np.ones(1), towards[None]), towards, 0, 1000, exact=True)
        assert float(computed["bias"]) == pytest.approx(angle**2 / 2, rel=1e-6)
        assert 1 - math.cos(angle) == 0  # the naive form loses the angle


class TestRawBias:
    def test_the_expected_raw_bias_is_the_mean_over_many_samples_of_replicates(self):
        values, weights = small_law()  # its mean points far away from OTHER, so the floor explains little
        replicates, repetitions = 200, 400_000
        predicted = quality(Moments.of(values, weights, OTHER[None]), OTHER, 0, replicates, exact=True)
        counts = np.random.default_rng(0).multinomial(replicates, weights, size=repetitions)
        means = counts @ values / replicates
        cosines = means @ OTHER / np.linalg.norm(means, axis=-1) / np.linalg.norm(OTHER)
        average, std_error = np.mean(1 - cosines), np.std(cosines) / math.sqrt(repetitions)
        next_order = 5 / replicates * abs(float(predicted["bias_raw"] - predicted["bias"]))
        assert abs(average - predicted["bias_raw"]) < 4 * std_error + next_order
        # The average is not the bias of the law, and not that plus the floor, which is for unbiased estimates.
        assert abs(average - predicted["bias"]) > 4 * std_error + next_order
        assert abs(average - predicted["bias"] - predicted["bias_floor"]) > 4 * std_error + next_order

    def test_for_an_unbiased_estimate_it_equals_the_floor(self):
        values, weights = small_law()
        reference = weights @ values
        computed = quality(Moments.of(values, weights, reference[None]), reference, 0, 1000, exact=True)
        assert float(computed["bias"]) == pytest.approx(0, abs=1e-30)
        assert float(computed["bias_raw"]) == pytest.approx(float(computed["bias_floor"]), rel=1e-9)
        covariance = np.cov(values.T, aweights=weights, ddof=0)
        across = np.eye(3) - np.outer(reference, reference) / (reference @ reference)
        by_hand = np.trace(across @ covariance) / (2 * 1000 * reference @ reference)
        assert float(computed["bias_floor"]) == pytest.approx(by_hand, rel=1e-9)


def values_of(rows, target="here"):
    return {row.metric: row.value for row in rows if row.target == target}


class TestMeasurements:
    def test_an_exact_estimate_has_exact_zeros(self):
        noisy = REFERENCE * (1 + 1e-15)
        rows = exact_measurements(
            Moments.of(noisy[None], np.ones(1), REFERENCE[None]), {"here": REFERENCE}, 1000, 2.2e-16
        )
        computed = values_of(rows)
        zero = "bias bias_raw bias_floor variance error error_std relative_bias total_variance relative_mse".split()
        assert {metric: computed[metric] for metric in zero} == dict.fromkeys(zero, 0.0)
        assert computed["zero_probability"] == 0 and computed["descent_probability"] == 1
        assert all(row.exact and row.std_error == 0 for row in rows)

    def test_a_small_true_bias_is_not_set_to_zero(self):
        tilted = REFERENCE + 1e-6 * np.array([0.5, 1.0, 0.0])  # at a right angle to the reference
        rows = exact_measurements(
            Moments.of(tilted[None], np.ones(1), REFERENCE[None]), {"here": REFERENCE}, 1000, 2.2e-16
        )
        expected = 1e-12 * 1.25 / (2 * REFERENCE @ REFERENCE)
        assert values_of(rows)["bias"] == pytest.approx(expected, rel=1e-3)

    @pytest.mark.parametrize("nothing", [np.zeros(3), np.full(3, np.nan)], ids=["zero", "nan"])
    def test_without_a_gradient_every_metric_is_undefined_and_other_targets_are_not(self, nothing):
        values, weights = small_law()
        references = {"here": REFERENCE, "nowhere": nothing}
        stacked = np.stack([REFERENCE, np.zeros(3)])
        batches = Moments.of(values, weights, stacked).map(lambda a: np.stack([a, 1.01 * a]))
        for rows in (
            exact_measurements(Moments.of(values, weights, stacked), references, 1000, 2.2e-16),
            sampled_measurements(batches, references, 1000),
        ):
            assert [row.metric for row in rows if row.target == "nowhere"] == QUALITY_METRICS
            assert set(values_of(rows, "nowhere").values()) == {None}
            assert None not in values_of(rows).values()

    def test_the_standard_error_of_a_mean_is_that_of_the_batches(self):
        gradients = np.random.default_rng(1).normal(size=(50, 20, 3)) + REFERENCE
        weights = np.full(20, 1 / 20)
        parts = [Moments.of(batch, weights, REFERENCE[None]) for batch in gradients]
        batches = Moments(**{name: np.stack([getattr(p, name) for p in parts]) for name in vars(parts[0])})
        rows = {row.metric: row for row in sampled_measurements(batches, {"here": REFERENCE}, 1000)}
        descents = np.mean(gradients @ REFERENCE > 0, axis=1)
        assert rows["descent_probability"].value == pytest.approx(descents.mean())
        assert rows["descent_probability"].std_error == pytest.approx(descents.std(ddof=1) / math.sqrt(50))
        assert not rows["bias"].exact
        # total_variance is the unbiased sample variance of the 1000 replicates.
        flat = gradients.reshape(-1, 3)
        assert rows["total_variance"].value == pytest.approx(flat.var(axis=0, ddof=1).sum(), rel=1e-9)


def test_a_relative_bias_of_0_and_an_event_without_a_replicate_have_standard_errors():
    rng = np.random.default_rng(3)
    reference = np.array([1.0, -1.0, 0.5])
    draws = reference + rng.normal(size=(100, 20, 3))  # unbiased; the debiased square is below 0 for this seed
    parts = [Moments.of(batch, np.full(20, 1 / 20), reference[None]) for batch in draws]
    batches = Moments(**{name: np.stack([getattr(part, name) for part in parts]) for name in vars(parts[0])})
    rows = {row.metric: row for row in sampled_measurements(batches, {"conditional_poisson": reference}, 2000)}
    relative = rows["relative_bias"]
    assert relative.value == 0
    # The square of the bias of 2000 draws with unit variance is a χ² of 3 coordinates over 2000: spread √6/2000.
    expected = math.sqrt(math.sqrt(6) / 2000 / (reference @ reference))
    assert relative.std_error == pytest.approx(
        expected, rel=0.2
    )  # from 100 batches it has a relative error of about 1/√200
    assert rows["zero_probability"].value == 0
    assert rows["zero_probability"].std_error == pytest.approx(1 / 2000)
