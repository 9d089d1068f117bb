"""`expectation`: theta gets the finished estimate, and parameters inside f get the gradient of f."""

from __future__ import annotations

import numpy as np
import pytest

from subsetgrad import ESTIMATORS, _layer, get
from subsetgrad.base import evaluate, expectation
from subsetgrad.draws import raw_draws, resolve_draws
from subsetgrad.noise import numpy_draw

N, K = 5, 2
RNG = np.random.default_rng(10)
THETA = RNG.normal(size=(2, N))
C = 1 + 3 * RNG.random(N)
VALUES_ONLY = [record.name for record in ESTIMATORS if record.needs == {"values"}]


def prepared(ops, name, f, samples=2, **params):
    """Returns the record, its draws, and keywords with k, its parameters and a state other than the first one."""
    record = get(name)
    resolved = record.resolve_params(params)
    k = 1 if record.k == 1 else K
    theta = ops.asarray(THETA)
    declared = record.draws_for(k, resolved)
    draw = numpy_draw(np.random.default_rng(0), ops.dtype)
    raw = raw_draws(declared, draw, np, samples=record.samples(samples), rows=2, n=N)
    raw = {key: ops.asarray(value) for key, value in raw.items()}
    draws = resolve_draws(declared, ops, theta, raw, f, k=k, params=resolved)
    state = record.initial_state(ops, theta) if record.initial_state else None
    if state is not None:
        state = {key: value + 2.0 for key, value in state.items()}
    return record, draws, {"k": k, "params": resolved, "state": state}


def objective(ops, scale=1.0):
    c = ops.asarray(C)
    return lambda z: scale * ops.xp.sum(c * z * z, axis=-1)


# One estimator for each way to make an estimate; the conformance suite tests all of them.
KINDS = ["simple", "rloo", "softsub", "rebar_pl", "aimle", "exact_enum", "marginal_pass"]


@pytest.mark.parametrize("name", KINDS)
def test_theta_gets_the_finished_estimate_times_the_outer_weights(ops, name):
    f = objective(ops)
    record, draws, keywords = prepared(ops, name, f)
    theta, outer = ops.asarray(THETA), ops.asarray(np.array([0.25, -3.0]))
    points, weights, gradient, _ = ops.compile(lambda t: evaluate(record, ops, t, draws, f, **keywords))(theta)

    def total(t):
        loss, _ = expectation(record, ops, t, f, draws, **keywords)
        return ops.xp.sum(outer * loss), loss

    (_, loss), theta_bar = ops.compile(ops.value_and_grad(total, has_aux=True))(theta)
    assert np.any(np.asarray(gradient))
    np.testing.assert_allclose(np.asarray(theta_bar), np.asarray(outer)[:, None] * np.asarray(gradient), rtol=1e-12)
    plain = np.sum(np.asarray(weights) * np.asarray(f(points)), axis=0)
    np.testing.assert_allclose(np.asarray(loss), plain, rtol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_parameters_of_f_get_the_gradient_of_f_at_the_points(ops, name):
    theta, c = ops.asarray(THETA), ops.asarray(C)
    record, draws, keywords = prepared(ops, name, objective(ops))
    at_theta = ops.compile(lambda t: evaluate(record, ops, t, draws, objective(ops), **keywords))
    points, weights, _, _ = at_theta(theta)

    def total(parameters):

        def f(z):
            return ops.xp.sum(parameters * z * z, axis=-1)

        return ops.xp.sum(expectation(record, ops, theta, f, draws, **keywords)[0])

    c_bar = np.asarray(ops.compile(ops.value_and_grad(total))(c)[1])
    expected = np.einsum("mb,mbi->i", np.asarray(weights), np.asarray(points) ** 2)
    np.testing.assert_allclose(c_bar, expected, rtol=1e-10)


def zero_share(gradient):
    return np.mean(np.all(np.asarray(gradient) == 0, axis=-1))


def batch_of_zeros(ops, rows, outer):
    """Returns the share of zero gradients of I-MLE by `expectation`, times an outer factor, over equal rows."""
    record = get("imle_gumbel")
    keywords = {"k": K, "params": record.resolve_params({"step_size": 0.5})}
    theta = ops.asarray(np.repeat(THETA[:1], rows, axis=0))
    draws = {"noise": ops.asarray(np.random.default_rng(0).gumbel(size=(1, rows, N)))}
    f = objective(ops)

    def total(t):
        return outer * ops.xp.sum(expectation(record, ops, t, f, draws, **keywords)[0])

    return zero_share(ops.value_and_grad(total)(theta)[1])


def layer_of_zeros(ops, rows, outer):
    """Returns the same share through the sample of a layer, where the rule gets the cotangent as it arrives."""
    record = get("imle_gumbel")
    theta = ops.asarray(np.repeat(THETA[:1], rows, axis=0))
    noise = numpy_draw(np.random.default_rng(0), ops.dtype)
    f = objective(ops)

    def total(t):

        def draw(*arguments):
            return ops.asarray(noise(*arguments))

        z = _layer.sample(record, ops, t, draw, k=K, samples=1, params=record.resolve_params({"step_size": 0.5}))
        return outer * ops.xp.sum(f(z))

    return zero_share(ops.value_and_grad(total)(theta)[1])


def test_rules_see_the_gradient_of_f_before_any_outer_factor(ops):
    """The share of zero gradients does not change under a mean over 64 rows; through a sample (wrong twin) it does."""
    rows = 512
    plain = batch_of_zeros(ops, rows, 1.0)
    assert 0 < plain < 0.6
    assert batch_of_zeros(ops, rows, 1 / 64) == plain
    assert layer_of_zeros(ops, rows, 1.0) < 0.6
    assert layer_of_zeros(ops, rows, 1 / 64) > 0.9


def test_rules_see_the_gradient_of_f_of_each_sample_alone(ops):
    """The estimate of S samples is the mean of S estimates of one sample: the rule sees no factor 1/S."""
    record = get("imle_gumbel")
    keywords = {"k": K, "params": record.resolve_params({"step_size": 0.5})}
    noise, f = np.random.default_rng(1).gumbel(size=(8, 2, N)), objective(ops)
    theta = ops.asarray(THETA)
    together = np.asarray(evaluate(record, ops, theta, {"noise": ops.asarray(noise)}, f, **keywords)[2])
    alone = [evaluate(record, ops, theta, {"noise": ops.asarray(one[None])}, f, **keywords)[2] for one in noise]
    np.testing.assert_allclose(together, np.mean([np.asarray(one) for one in alone], axis=0), atol=1e-12)
    weak = {"k": K, "params": record.resolve_params({"step_size": 1 / 16})}
    twin = np.asarray(evaluate(record, ops, theta, {"noise": ops.asarray(noise)}, f, **weak)[2])
    assert np.max(np.abs(together - twin)) > 0.1  # wrong twin: step size λ/S


@pytest.mark.parametrize("name", VALUES_ONLY)
def test_estimators_from_values_never_ask_for_the_gradient_of_f(ops, name):
    def refuse(*_):
        raise AssertionError("the gradient of f was asked for")

    f = ops.custom_vjp(objective(ops), refuse)
    with pytest.raises(AssertionError, match="asked for"):  # this f does refuse its gradient
        ops.value_and_grad(lambda z: ops.xp.sum(f(z)))(ops.asarray(THETA))
    record, draws, keywords = prepared(ops, name, f)

    def total(t):
        return ops.xp.sum(expectation(record, ops, t, f, draws, **keywords)[0])

    assert np.all(np.isfinite(np.asarray(ops.value_and_grad(total)(ops.asarray(THETA))[1])))


def test_values_only_estimators_are_these():
    assert VALUES_ONLY == ["exact_enum", "sfe", "rloo"]


def test_unknown_parameters_and_wrong_types_are_named():
    record = get("imle_sog")
    with pytest.raises(ValueError, match="imle_sog has no parameter 'lambda_'; its parameters: step_size, kappa"):
        record.resolve_params({"lambda_": 1.0})
    with pytest.raises(ValueError, match=r"imle_sog\[terms=2.5\]: expected int"):
        record.resolve_params({"terms": 2.5})
    with pytest.raises(ValueError, match=r"aimle\[central=1\]: expected bool"):
        get("aimle").resolve_params({"central": 1})
    assert record.resolve_params({"kappa": 5})["kappa"] == pytest.approx(5.0)
    assert isinstance(record.resolve_params({"kappa": 5})["kappa"], float)
