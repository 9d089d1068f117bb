"""Sampled moments against exact ones, their standard errors, and their debiasing."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import oracles
import pytest
from questions import exact_rows, question_about, question_of, sampled_rows

from benchmarks import objectives
from benchmarks.quality import estimates, moments
from benchmarks.quality.moments import has_exact
from benchmarks.quality.noise_source import NoiseSource
from benchmarks.results.names import QUALITY_METRICS
from subsetgrad import get
from subsetgrad import ops as ops_module


class TestSampledAgainstExact:
    @pytest.mark.parametrize("name", ["simple", "sfe", "ste", "rloo", "simple_f"])
    def test_every_metric_agrees_within_its_standard_error(self, name):
        question, references = question_of(name)
        assert has_exact(*question[:2])
        finite, sampled = exact_rows(question, references), sampled_rows(question, references)
        assert list(finite) == list(sampled) == QUALITY_METRICS
        for metric, row in sampled.items():
            assert finite[metric].exact and not row.exact
            # relative_bias is floored at 0, so sampled values are too large on average where the exact one is 0.
            slack = 3 * row.std_error if metric == "relative_bias" and finite[metric].value == 0 else 0.0
            gap = abs(row.value - finite[metric].value)
            assert gap <= 5 * row.std_error + slack + 1e-12, (metric, row, finite[metric])

    def test_the_metrics_of_another_step_size_do_not_agree(self):
        question, references = question_of("simple_f", step_size=2.5)
        other, _ = question_of("simple_f", step_size=1.0)
        finite, sampled = exact_rows(other, references), sampled_rows(question, references)
        assert abs(sampled["bias"].value - finite["bias"].value) > 5 * sampled["bias"].std_error
        assert abs(sampled["total_variance"].value - finite["total_variance"].value) > 5 * (
            sampled["total_variance"].std_error
        )

    def test_estimates_without_randomness_have_one_outcome(self):
        for name in ("exact_enum", "marginal_pass"):
            question, references = question_of(name)
            assert has_exact(*question[:2])
            rows = exact_rows(question, references)
            assert rows["total_variance"].value == rows["variance"].value == 0
        assert exact_rows(*question_of("exact_enum"))["bias"].value == 0

    def test_probabilities_of_all_outcomes_sum_to_one_and_give_the_mean(self):
        question, _ = question_of("simple_f", n=5, k=2)
        ((gradients, weights),) = moments.outcomes(*question)
        assert gradients.shape == (100, 5)
        # The definition: z from the law of θ, z′ from that of θ − λ∇f(z), and the difference z − z′.
        law = oracles.enumerated(question.problem.theta, 2)
        f, mean = objectives.get("smooth").extensions["direct"], np.zeros(5)
        for z, p in zip(law.states, law.probabilities, strict=True):
            slope = oracles.finite_difference(lambda x: float(f(np, x, question.problem.parameters)), z)
            mean += p * (z - oracles.enumerated(question.problem.theta - 2.5 * slope, 2).marginals)
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(weights @ gradients, mean, atol=1e-8)


class TestZeroEstimates:
    """P(ĝ = 0) counts estimates that are 0 up to rounding, and no small ones."""

    def test_small_gradients_of_a_steep_relaxation_are_not_set_to_0(self):
        # At this temperature every seventh gradient is below 1e-6 of the largest, and none is 0.
        ops = ops_module.load("torch:cpu", "float32")
        question = question_about(get("softsub"), n=10, k=5, objective="distance", temperature=0.03)
        narrow = question._replace(ops=ops)
        gradients, _ = estimates.gradients(*narrow, narrow.draws(NoiseSource(0), 2000, 0), 2000, None, raw=True)
        size = np.abs(gradients).max(axis=-1)
        assert (size > 0).all() and (size < 1e-6 * size.max()).mean() > 0.1

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("objective", ["coverage", "network"])
    def test_equal_subsets_give_0_on_every_compiler(self, objective, dtype):
        question = question_about(get("rloo"), n=6, k=1, objective=objective, seed=1234)
        on_jax = question._replace(ops=ops_module.load("jax:cpu", dtype))
        finite = moments.exact_moments(*on_jax, np.ones((1, 6)))
        chance = np.exp(question.problem.theta) / np.exp(question.problem.theta).sum()
        assert finite.zero == pytest.approx(np.sum(chance**2), rel=1e-5)


REPEATS, SMALL = 40, 2000


@cache
def repeated(name, objective="distance"):
    """Returns per metric the values and standard errors of `REPEATS` runs of R=2000, and the exact values."""
    question, references = question_of(name, objective=objective)
    runs = [sampled_rows(question, references, SMALL, seed) for seed in range(REPEATS)]
    columns = {m: np.array([(run[m].value, run[m].std_error) for run in runs]).T for m in QUALITY_METRICS}
    return columns, {metric: row.value for metric, row in exact_rows(question, references, SMALL).items()}


class TestStandardErrors:
    @pytest.mark.parametrize(("name", "objective"), [("sfe", "distance"), ("simple", "distance"), ("ste", "smooth")])
    def test_they_are_the_spread_over_seeds(self, name, objective):
        columns, _ = repeated(name, objective)
        for metric in ("variance", "error", "error_std", "total_variance", "relative_mse", "descent_probability"):
            values, claimed = columns[metric]
            if np.ptp(values) < 1e-12:
                continue  # the same in every run, for example a descent probability of 1
            ratio = values.std(ddof=1) / claimed.mean()
            # The spread of 40 values has a relative error of 1/√78 = 0.11, and 3.5 of these are allowed.
            assert 0.6 < ratio < 1.4, (metric, ratio)

    def test_that_of_the_debiased_bias_is_its_spread_over_seeds(self):
        columns, _ = repeated("simple")
        values, claimed = columns["bias"]
        assert 0.6 < values.std(ddof=1) / claimed.mean() < 1.4

    def test_they_fall_with_the_square_root_of_replicates(self):
        question, references = question_of("sfe", objective="distance")
        few, many = (sampled_rows(question, references, count)["error"].std_error for count in (2_000, 32_000))
        assert few / many == pytest.approx(4, rel=0.3)


class TestBias:
    def test_of_an_unbiased_estimator_it_is_zero_on_average_where_the_raw_one_is_not(self):
        columns, finite = repeated("sfe")
        debiased, raw = columns["bias"][0], columns["bias_raw"][0]
        assert finite["bias"] == 0

        def errors_from_zero(values):
            return abs(values.mean()) / (values.std(ddof=1) / math.sqrt(REPEATS))

        assert errors_from_zero(debiased) < 4
        assert errors_from_zero(raw) > 6  # without the jackknife the line above would fail; about 8 are expected
        assert raw.mean() > 5 * abs(debiased.mean())

    def test_the_floor_and_the_expected_raw_bias_predict_the_sampled_ones(self):
        columns, finite = repeated("sfe")
        raw, floor = columns["bias_raw"][0], columns["bias_floor"][0]
        std_error = raw.std(ddof=1) / math.sqrt(REPEATS)
        assert finite["bias_floor"] == pytest.approx(finite["bias_raw"], rel=1e-9)
        assert abs(raw.mean() - finite["bias_raw"]) < 4 * std_error
        assert abs(raw.mean() - floor.mean()) < 4 * std_error
        assert floor.mean() == pytest.approx(finite["bias_floor"], rel=0.1)

    def test_of_a_biased_estimator_it_agrees_with_the_exact_one(self):
        columns, finite = repeated("simple")
        values = columns["bias"][0]
        assert finite["bias"] > 1e-3
        assert abs(values.mean() - finite["bias"]) < 4 * values.std(ddof=1) / math.sqrt(REPEATS)
