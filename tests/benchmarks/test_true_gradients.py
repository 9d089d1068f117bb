"""Exact gradients against closed forms and finite differences; objectives have the degree and forms they declare."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest

from benchmarks import objectives
from benchmarks.quality import true_gradients
from benchmarks.quality.problem import Method, draw_problem
from benchmarks.quality.true_gradients import Law, gradient, references
from subsetgrad import get
from subsetgrad import ops as ops_module


@pytest.fixture(scope="module")
def torch64():
    return ops_module.load("torch:cpu", "float64")


def problem_of(name, n, k, extension=""):
    return draw_problem(objectives.get(name), extension, "normal", n=n, k=k, seed=5)


def value_of(problem, z):
    return problem.objective.extensions[problem.extension](np, z, problem.parameters)


def mean_of(problem, probabilities, states):
    return float(np.dot(probabilities, [value_of(problem, state) for state in states]))


class TestExactGradient:
    @pytest.mark.parametrize("n", [10, 200])
    def test_of_the_distance_it_is_minus_twice_the_covariance_times_b(self, torch64, n):
        k = n // 2
        problem = problem_of("distance", n, k, "square")
        theta, b = problem.theta, problem.parameters["b"]
        computed = gradient(Law("conditional_poisson"), problem, torch64)
        # Cov z · b is the derivative of the marginals along b, here a finite difference of the recursion in log space.
        step = 1e-5
        up, down = (oracles.log_space(theta + sign * step * b, k)[1] for sign in (1, -1))
        np.testing.assert_allclose(computed, -2 * (up - down) / (2 * step), atol=2e-9)
        if n == 10:
            np.testing.assert_allclose(computed, -2 * oracles.enumerated(theta, k).covariance @ b, atol=1e-13)

    @pytest.mark.parametrize("name", [objective.name for objective in objectives.OBJECTIVES])
    def test_of_the_conditional_poisson_it_is_the_slope_of_the_enumerated_mean(self, torch64, name):
        problem = problem_of(name, 6, 3)

        def mean(logits):
            law = oracles.enumerated(logits, 3)
            return mean_of(problem, law.probabilities, law.states)

        computed = gradient(Law("conditional_poisson"), problem, torch64)
        np.testing.assert_allclose(computed, oracles.finite_difference(mean, problem.theta), atol=1e-8)

    @pytest.mark.parametrize("name", ["distance", "smooth"])
    def test_of_plackett_luce_it_is_the_slope_over_all_orders(self, torch64, name):
        problem = problem_of(name, 5, 3)
        states = oracles.subsets_of(5, 3)

        def mean(logits):
            return mean_of(problem, oracles.plackett_luce_probabilities(logits, 3), states)

        computed = gradient(Law("plackett_luce"), problem, torch64)
        np.testing.assert_allclose(computed, oracles.finite_difference(mean, problem.theta), atol=1e-8)

    @pytest.mark.parametrize("law", ["conditional_poisson", "plackett_luce"])
    def test_of_f_at_the_mean_it_is_its_slope(self, torch64, law):
        problem = problem_of("smooth", 5, 2)
        states = oracles.subsets_of(5, 2)

        def at_the_mean(logits):
            if law == "plackett_luce":
                return float(value_of(problem, oracles.plackett_luce_probabilities(logits, 2) @ states))
            return float(value_of(problem, oracles.enumerated(logits, 2).marginals))

        computed = gradient(Law(law, "f_of_mean"), problem, torch64)
        np.testing.assert_allclose(computed, oracles.finite_difference(at_the_mean, problem.theta), atol=1e-8)

    def test_of_f_at_the_mean_of_the_conditional_poisson_it_needs_no_subsets(self, torch64):
        problem = problem_of("smooth", 60, 20)
        halved = Law("conditional_poisson", "f_of_mean", logits=lambda _, theta, **__: theta / 2)

        def at_the_mean(logits):
            return float(value_of(problem, oracles.log_space(logits / 2, 20)[1]))

        computed = gradient(halved, problem, torch64)
        np.testing.assert_allclose(computed, oracles.finite_difference(at_the_mean, problem.theta), atol=1e-7)

    def test_at_too_large_sizes_there_is_none(self, torch64):
        for law in ("conditional_poisson", "plackett_luce"):
            assert gradient(Law(law), problem_of("smooth", 40, 20), torch64) is None
        assert gradient(Law("plackett_luce"), problem_of("distance", 40, 3), torch64) is None

    @pytest.mark.parametrize("k", [0, 6])
    def test_it_is_zero_for_a_single_subset(self, torch64, k):
        for law in ("conditional_poisson", "plackett_luce"):
            np.testing.assert_allclose(gradient(Law(law), problem_of("smooth", 6, k), torch64), 0, atol=1e-14)

    def test_a_target_with_other_logits_is_differentiated_by_theta(self, torch64):
        problem = problem_of("smooth", 5, 2)
        estimator, states = get("perturbed_opt"), oracles.subsets_of(5, 2)
        method = Method(estimator, estimator.resolve_params({"sigma": 0.7}), 1)
        computed = references(problem, method, torch64)
        assert list(computed) == ["f_of_mean:plackett_luce", "conditional_poisson"]

        def at_the_mean(logits):
            return float(value_of(problem, oracles.plackett_luce_probabilities(logits / 0.7, 2) @ states))

        expected = oracles.finite_difference(at_the_mean, problem.theta)
        np.testing.assert_allclose(computed["f_of_mean:plackett_luce"], expected, atol=1e-8)

    def test_the_conditional_poisson_is_listed_once(self, torch64):
        computed = references(problem_of("smooth", 5, 2), Method(get("simple"), {}, 1), torch64)
        assert list(computed) == ["conditional_poisson"]


@pytest.mark.parametrize("objective", objectives.OBJECTIVES, ids=lambda objective: objective.name)
class TestObjectives:
    def test_extensions_agree_on_subsets(self, objective):
        parameters = draw_problem(objective, "", "normal", n=7, k=3, seed=1).parameters
        states = oracles.subsets_of(7, 3)
        first, *others = (f(np, states, parameters) for f in objective.extensions.values())
        assert first.shape == (35,)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-12)

    def test_the_degree_is_as_declared(self, objective):
        parameters = draw_problem(objective, "", "normal", n=7, k=3, seed=1).parameters
        # Along a line, the differences of order d + 1 of a polynomial of degree d are 0.
        direction, start = np.random.default_rng(1).normal(size=(2, 7))
        line = np.linspace(0, 1, 9)[:, None] * direction + start
        order = {"affine": 2, "quadratic": 3}.get(objective.degree)
        for f in objective.extensions.values():
            if order is not None:
                np.testing.assert_allclose(np.diff(f(np, line, parameters), n=order), 0, atol=1e-12)

    def test_the_linear_form_equals_it_on_subsets(self, objective):
        if objective.linear is None:
            return
        problem = draw_problem(objective, "", "normal", n=7, k=3, seed=1)
        states = oracles.subsets_of(7, 3)
        rest = value_of(problem, states) - states @ objective.linear(problem.parameters)
        assert np.ptp(rest) < 1e-12


class TestExactGradientsBeyondEnumeration:
    def test_pairwise_agrees_with_enumeration(self, torch64, monkeypatch):
        problem, law = problem_of("pairwise", 8, 3, "multilinear"), Law("conditional_poisson")
        enumerated = gradient(law, problem, torch64)
        monkeypatch.setattr(true_gradients, "LIMIT", 0)
        assert np.abs(enumerated).max() > 0.1
        np.testing.assert_allclose(gradient(law, problem, torch64), enumerated, atol=1e-13)

    def test_a_law_without_an_exact_form_has_none(self, torch64):
        for law in ("map", "perturb_and_map", "relaxed"):
            assert gradient(Law(law), problem_of("distance", 6, 2), torch64) is None

    def test_logits_of_the_law_are_differentiated_through(self, torch64):
        problem = problem_of("smooth", 6, 2)
        halved = Law("plackett_luce", logits=lambda _, theta, **__: theta / 2)
        at_half = replace(problem, theta=problem.theta / 2)
        computed, plain = gradient(halved, problem, torch64), gradient(Law("plackett_luce"), at_half, torch64)
        np.testing.assert_allclose(computed, plain / 2, atol=1e-12)
