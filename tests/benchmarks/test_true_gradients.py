"""Exact gradients against closed forms and differences of enumerated means; the objectives keep their word."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from benchmarks import objectives
from benchmarks.quality import true_gradients
from benchmarks.quality.true_gradients import Law
from subsetgrad import get
from subsetgrad import ops as ops_module


@pytest.fixture(scope="module")
def torch64():
    return ops_module.load("torch:cpu", "float64")


def problem(name, n, seed=5):
    objective = objectives.get(name)
    theta, parameters = objectives.problem(objective, "normal", n, seed)
    return objective, theta, parameters


def mean_of(objective, parameters, probabilities, states):
    values = [objective.extensions[objective.extension("")](np, state, parameters) for state in states]
    return float(np.dot(probabilities, values))


class TestExactGradient:
    @pytest.mark.parametrize("n", [10, 200])
    def test_of_the_distance_it_is_minus_twice_the_covariance_times_b(self, torch64, n):
        objective, theta, parameters = problem("distance", n)
        k = n // 2
        found = true_gradients.gradient(Law("conditional_poisson"), torch64, objective, "square", theta, parameters, k)
        # The covariance, from marginals of the recursion in log space: ∂μ_j/∂θ·b by a difference along b.
        step = 1e-5
        up, down = (oracles.log_space(theta + sign * step * parameters["b"], k)[1] for sign in (1, -1))
        np.testing.assert_allclose(found, -2 * (up - down) / (2 * step), atol=2e-9)
        if n == 10:
            np.testing.assert_allclose(
                found, -2 * oracles.enumerated(theta, k).covariance @ parameters["b"], atol=1e-13
            )

    @pytest.mark.parametrize("name", [objective.name for objective in objectives.OBJECTIVES])
    def test_of_the_conditional_poisson_it_is_the_slope_of_the_enumerated_mean(self, torch64, name):
        objective, theta, parameters = problem(name, 6)

        def mean(logits):
            law = oracles.enumerated(logits, 3)
            return mean_of(objective, parameters, law.probabilities, law.states)

        extension = objective.extension("")
        found = true_gradients.gradient(Law("conditional_poisson"), torch64, objective, extension, theta, parameters, 3)
        np.testing.assert_allclose(found, oracles.finite_difference(mean, theta), atol=1e-8)

    @pytest.mark.parametrize("name", ["distance", "smooth"])
    def test_of_plackett_luce_it_is_the_slope_over_all_orders(self, torch64, name):
        objective, theta, parameters = problem(name, 5)
        states = oracles.subsets_of(5, 3)

        def mean(logits):
            return mean_of(objective, parameters, oracles.plackett_luce_probabilities(logits, 3), states)

        extension = objective.extension("")
        found = true_gradients.gradient(Law("plackett_luce"), torch64, objective, extension, theta, parameters, 3)
        np.testing.assert_allclose(found, oracles.finite_difference(mean, theta), atol=1e-8)

    @pytest.mark.parametrize("law", ["conditional_poisson", "plackett_luce"])
    def test_of_f_at_the_mean_it_is_the_slope_of_that(self, torch64, law):
        objective, theta, parameters = problem("smooth", 5)
        f, states = objective.extensions["direct"], oracles.subsets_of(5, 2)

        def at_the_mean(logits):
            if law == "plackett_luce":
                return float(f(np, oracles.plackett_luce_probabilities(logits, 2) @ states, parameters))
            return float(f(np, oracles.enumerated(logits, 2).marginals, parameters))

        found = true_gradients.gradient(Law(law, "f_of_mean"), torch64, objective, "direct", theta, parameters, 2)
        np.testing.assert_allclose(found, oracles.finite_difference(at_the_mean, theta), atol=1e-8)

    def test_of_f_at_the_mean_of_the_conditional_poisson_it_needs_no_subsets(self, torch64):
        objective, theta, parameters = problem("smooth", 60)
        f = objective.extensions["direct"]
        halved = Law("conditional_poisson", "f_of_mean", logits=lambda _, theta, **__: theta / 2)
        found = true_gradients.gradient(halved, torch64, objective, "direct", theta, parameters, 20)

        def at_the_mean(logits):
            return float(f(np, oracles.log_space(logits / 2, 20)[1], parameters))

        np.testing.assert_allclose(found, oracles.finite_difference(at_the_mean, theta), atol=1e-7)

    def test_out_of_reach_there_is_none(self, torch64):
        objective, theta, parameters = problem("smooth", 40)
        for law in ("conditional_poisson", "plackett_luce"):
            assert true_gradients.gradient(Law(law), torch64, objective, "direct", theta, parameters, 20) is None
        objective, theta, parameters = problem("distance", 40)
        assert true_gradients.gradient(Law("plackett_luce"), torch64, objective, "square", theta, parameters, 3) is None

    @pytest.mark.parametrize("k", [0, 6])
    def test_it_is_zero_where_nothing_can_be_chosen(self, torch64, k):
        objective, theta, parameters = problem("smooth", 6)
        for law in ("conditional_poisson", "plackett_luce"):
            found = true_gradients.gradient(Law(law), torch64, objective, "direct", theta, parameters, k)
            np.testing.assert_allclose(found, 0, atol=1e-14)

    def test_a_target_tempered_by_the_estimator_is_differentiated_by_theta(self, torch64):
        objective, theta, parameters = problem("smooth", 5)
        estimator, states = get("perturbed_opt"), oracles.subsets_of(5, 2)
        params = estimator.resolve_params({"sigma": 0.7})
        found = true_gradients.references(estimator, params, torch64, objective, "direct", theta, parameters, 2)
        assert list(found) == ["f_of_mean:plackett_luce", "conditional_poisson"]

        def at_the_mean(logits):
            mean = oracles.plackett_luce_probabilities(logits / 0.7, 2) @ states
            return float(objective.extensions["direct"](np, mean, parameters))

        expected = oracles.finite_difference(at_the_mean, theta)
        np.testing.assert_allclose(found["f_of_mean:plackett_luce"], expected, atol=1e-8)

    def test_the_conditional_poisson_is_named_once(self, torch64):
        objective, theta, parameters = problem("smooth", 5)
        found = true_gradients.references(get("simple"), {}, torch64, objective, "direct", theta, parameters, 2)
        assert list(found) == ["conditional_poisson"]


@pytest.mark.parametrize("objective", objectives.OBJECTIVES, ids=lambda objective: objective.name)
class TestObjectives:
    def test_extensions_agree_on_subsets(self, objective):
        _, parameters = objectives.problem(objective, "normal", 7, 1)
        states = oracles.subsets_of(7, 3)
        first, *others = (f(np, states, parameters) for f in objective.extensions.values())
        assert first.shape == (35,)
        for other in others:
            np.testing.assert_allclose(other, first, rtol=1e-12)

    def test_the_degree_is_as_stated(self, objective):
        _, parameters = objectives.problem(objective, "normal", 7, 1)
        # Along a line a polynomial of degree d has zero differences of order d + 1.
        direction, start = np.random.default_rng(1).normal(size=(2, 7))
        line = np.linspace(0, 1, 9)[:, None] * direction + start
        order = {"affine": 2, "quadratic": 3}.get(objective.degree)
        for f in objective.extensions.values():
            if order is not None:
                np.testing.assert_allclose(np.diff(f(np, line, parameters), n=order), 0, atol=1e-12)

    def test_the_linear_form_is_that_on_subsets(self, objective):
        if objective.linear is None:
            return
        _, parameters = objectives.problem(objective, "normal", 7, 1)
        states = oracles.subsets_of(7, 3)
        rest = objective.extensions[objective.extension("")](np, states, parameters) - states @ objective.linear(
            parameters
        )
        assert np.ptp(rest) < 1e-12


class TestExactGradientsBeyondEnumeration:
    def test_pairwise_agrees_with_enumeration(self, torch64, monkeypatch):
        objective, theta, parameters = problem("pairwise", 8)
        law = Law("conditional_poisson")
        enumerated = true_gradients.gradient(law, torch64, objective, "multilinear", theta, parameters, 3)
        monkeypatch.setattr(true_gradients, "LIMIT", 0)
        found = true_gradients.gradient(law, torch64, objective, "multilinear", theta, parameters, 3)
        assert np.abs(enumerated).max() > 0.1
        np.testing.assert_allclose(found, enumerated, atol=1e-13)

    def test_a_law_without_an_exact_form_has_none(self, torch64):
        objective, theta, parameters = problem("distance", 6)
        for law in ("map", "perturb_and_map", "relaxed"):
            assert true_gradients.gradient(Law(law), torch64, objective, "square", theta, parameters, 2) is None

    def test_logits_of_the_law_are_differentiated_through(self, torch64):
        objective, theta, parameters = problem("smooth", 6)
        halved = Law("plackett_luce", logits=lambda _, theta, **__: theta / 2)
        found = true_gradients.gradient(halved, torch64, objective, "direct", theta, parameters, 2)
        plain = true_gradients.gradient(Law("plackett_luce"), torch64, objective, "direct", theta / 2, parameters, 2)
        np.testing.assert_allclose(found, plain / 2, atol=1e-12)
