"""The quality of one cell: closed forms of the paper's toy problem, and undefined metrics."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from questions import question_of, stacked

from benchmarks.quality import measure
from benchmarks.quality.moments import exact_moments
from benchmarks.results.cell import Cell
from benchmarks.results.names import QUALITY_METRICS
from subsetgrad import get

SEEDS = (1234, 1067, 9198, 9453, 6240, 7044, 1755, 7898, 3131, 1277)  # of the paper's Figure 1


def cell_of(name, *, n=10, k=5, objective="distance", extension="square", seed=1234, **changed):
    estimator = get(name)
    plain = {"samples": estimator.samples(1), "replicates": 10_000, "dtype": "float64"} | changed
    params = tuple(sorted(estimator.params.items()))
    problem = {"objective": objective, "extension": extension, "logits": "normal", "n": n, "k": k, "seed": seed}
    return Cell(estimator=name, params=params, backend="torch", device="cpu", **problem, **plain)


def values_of(cell):
    return {row.metric: row for row in measure.quality_of(cell)}


class TestFigureOne:
    """Closed forms of the paper's toy, f = ‖z − b‖² at n=10, k=5: with x = 2(z − b), Σ = Cov z and μ = E z."""

    @pytest.mark.parametrize("seed", SEEDS[:3])
    def test_simple_has_the_mean_and_variance_of_its_closed_form(self, seed):
        question, gradients = question_of("simple", n=10, k=5, objective="distance", seed=seed)
        law, b = oracles.enumerated(question.problem.theta, 5), question.problem.parameters["b"]
        moments = exact_moments(*question, stacked(gradients))
        np.testing.assert_allclose(moments.mean, 2 * law.covariance @ (law.marginals - b), atol=1e-12)
        rows = values_of(cell_of("simple", seed=seed))
        expected = 4 * np.trace(np.linalg.matrix_power(law.covariance, 3))
        assert rows["total_variance"].value == pytest.approx(expected, rel=1e-10)
        assert rows["total_variance"].exact and rows["total_variance"].std_error == 0

    def test_straight_through_has_four_times_the_variance_of_z(self):
        question, _ = question_of("ste", n=10, k=5, objective="distance", seed=1234)
        law = oracles.enumerated(question.problem.theta, 5)
        assert values_of(cell_of("ste"))["total_variance"].value == pytest.approx(4 * np.trace(law.covariance))

    def test_the_published_values_of_ten_seeds_come_out(self):
        # Bias, variance and error of the notebooks' toy problem: exact values by enumeration, averaged over ten seeds.
        golden = {"simple": (0.0368, 0.0123, 0.2468), "sfe": (0.0, 0.1312, 0.9988), "ste": (0.1897, 0.0076, 0.3357)}
        for name, expected in golden.items():
            rows = [values_of(cell_of(name, seed=seed)) for seed in SEEDS]
            for metric, value in zip(("bias", "variance", "error"), expected, strict=True):
                assert np.mean([row[metric].value for row in rows]) == pytest.approx(value, abs=6e-5), (name, metric)

    def test_simple_is_exact_and_without_variance_on_the_linear_extension(self):
        rows = values_of(cell_of("simple", extension="linear"))
        zero = "bias bias_raw bias_floor variance error error_std relative_bias total_variance relative_mse".split()
        assert {metric: rows[metric].value for metric in zero} == dict.fromkeys(zero, 0.0)
        assert rows["descent_probability"].value == pytest.approx(1)

    def test_beyond_enumeration_moments_are_sampled(self):
        # The exact gradient of an affine objective needs no enumeration, and on the linear extension SIMPLE equals it.
        rows = values_of(cell_of("simple", n=30, k=10, extension="linear", replicates=200))
        assert not rows["bias"].exact
        assert rows["relative_bias"].value < 1e-6 and rows["total_variance"].value < 1e-20


class TestUndefined:
    @pytest.mark.parametrize("name", ["simple", "imle_gumbel"])
    def test_with_a_single_subset_every_metric_is_undefined(self, name):
        rows = measure.quality_of(cell_of(name, n=5, k=5, replicates=200))
        assert {row.metric for row in rows} == set(QUALITY_METRICS)
        assert {(row.value, row.std_error, row.exact) for row in rows} == {(None, None, False)}

    def test_without_an_exact_gradient_the_cell_fails(self):
        with pytest.raises(
            ValueError, match="n=40, k=20: the exact gradient of smooth cannot be computed; use a smaller n"
        ):
            measure.quality_of(cell_of("simple", n=40, k=20, objective="smooth", extension="direct"))

    def test_a_target_without_an_exact_gradient_leaves_the_other(self):
        rows = measure.quality_of(cell_of("softsub", n=30, k=3, replicates=200))
        by_target = {target: [r.value for r in rows if r.target == target] for target in {r.target for r in rows}}
        assert set(by_target["plackett_luce"]) == {None}
        assert None not in by_target["conditional_poisson"]

    def test_each_estimator_is_judged_by_its_target_and_the_conditional_poisson(self):
        rows = measure.quality_of(cell_of("softsub", replicates=200))
        assert {row.target for row in rows} == {"plackett_luce", "conditional_poisson"}
        assert {row.target for row in measure.quality_of(cell_of("imle_gumbel", replicates=200))} == {
            "conditional_poisson"
        }
