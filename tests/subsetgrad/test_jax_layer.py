"""The jax functions: shapes, transformations, state, checks, precision, and use inside a training step."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from subsetgrad import jax as subset_jax

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
THETA = jnp.asarray(np.random.default_rng(12).normal(size=(3, 6)))
COEFFICIENTS = jnp.arange(1.0, 7.0)


def square(z):
    return jnp.sum(z**2 * COEFFICIENTS.astype(z.dtype), axis=-1)


@pytest.mark.parametrize("shape", [(6,), (2, 3, 6)])
@pytest.mark.parametrize("name", ["simple", "marginal_pass"])
def test_samples_have_the_shape_of_theta_with_an_axis_of_samples_if_asked(name, shape):
    theta = jax.random.normal(KEY, shape)
    for samples, leading in ((None, ()), (4, (4,))):
        z = jax.jit(partial(subset_jax.sample, k=2, estimator=name, samples=samples))(KEY, theta)
        assert z.shape == (*leading, *shape) and z.dtype == theta.dtype
        np.testing.assert_allclose(z.sum(-1), 2.0, atol=1e-6)
    expectation = partial(subset_jax.expectation, f=square, k=2, estimator=name, samples=4)
    loss = jax.jit(lambda theta: expectation(KEY, theta))(theta)
    assert loss.shape == shape[:-1]
    assert subset_jax.most_likely(theta, k=2).shape == shape


def test_samples_none_means_one_sample_in_both_functions():
    one = jax.jit(partial(subset_jax.expectation, f=square, k=2, samples=1))(KEY, THETA)
    none = jax.jit(partial(subset_jax.expectation, f=square, k=2, samples=None))(KEY, THETA)
    assert none.shape == (3,) and jnp.array_equal(none, one)
    default = subset_jax.expectation(KEY, THETA, square, k=2)
    np.testing.assert_allclose(default, one, rtol=1e-12)
    assert subset_jax.sample(KEY, THETA, k=2, samples=None).shape == THETA.shape
    with pytest.raises(ValueError, match="samples=0 is not a number of samples; pass an int of at least 1, or None"):
        subset_jax.expectation(KEY, THETA, square, k=2, samples=0)


def test_most_likely_is_the_top_k():
    np.testing.assert_array_equal(subset_jax.most_likely(THETA, k=2), oracles.top_k_mask(np.asarray(THETA), 2))


def test_backward_of_simple_is_the_covariance_times_the_summed_cotangents():
    bar = jax.random.normal(KEY, (3, *THETA.shape))
    draw = partial(subset_jax.sample, k=2, samples=3)
    gradient = jax.jit(lambda t: jax.vjp(lambda t: draw(KEY, t), t)[1](bar)[0])(THETA)
    for row in range(3):
        covariance = oracles.enumerated(np.asarray(THETA[row]), 2).covariance
        np.testing.assert_allclose(gradient[row], covariance @ np.asarray(bar[:, row].sum(0)), atol=1e-12)


def test_equal_keys_give_equal_samples():
    draw = jax.jit(partial(subset_jax.sample, k=2, samples=20))
    first, again, other = draw(KEY, THETA), draw(KEY, THETA), draw(jax.random.key(1), THETA)
    assert jnp.array_equal(first, again) and not jnp.array_equal(first, other)
    assert set(np.unique(first)) == {0.0, 1.0} and bool(jnp.all(first.sum(-1) == 2))


def test_a_jitted_gradient_is_the_eager_one_and_is_traced_once():
    traces = 0

    def loss(theta, key, scale):
        nonlocal traces
        traces += 1

        def f(z):  # a new function at each trace, as in a user's step
            return scale * square(z)

        return jnp.sum(subset_jax.expectation(key, theta, f, k=2, estimator="imle_gumbel", samples=2))

    eager = jax.grad(loss, argnums=(0, 2))(THETA, KEY, 2.0)
    step = jax.jit(jax.grad(loss, argnums=(0, 2)))
    traces = 0
    for compiled, plain in zip(step(THETA, KEY, 2.0), eager, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-9, atol=1e-12)
    step(THETA + 1, jax.random.key(5), 3.0)
    assert traces == 1


@pytest.mark.parametrize("name", ["simple", "rloo", "softsub"])
def test_vmap_over_keys_and_rows_is_a_loop(name):
    keys = jax.random.split(KEY, 3)

    def gradient(key, row):
        return jax.grad(lambda t: subset_jax.expectation(key, t, square, k=2, estimator=name, samples=2))(row)

    together = jax.jit(jax.vmap(gradient))(keys, THETA)
    one = jax.jit(gradient)
    alone = jnp.stack([one(key, row) for key, row in zip(keys, THETA, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["aimle", "rebar_pl"])
def test_an_estimator_with_state_takes_it_and_returns_the_next(name):
    state = subset_jax.init_state(THETA, name)
    run = jax.jit(lambda key, state: subset_jax.expectation(key, THETA, square, k=2, estimator=name, state=state))
    loss, after = run(KEY, state)
    assert loss.shape == (3,) and set(after) == set(state)
    assert all(after[key].shape == (3,) for key in state)
    assert any(not jnp.array_equal(after[key], state[key]) for key in state)
    with pytest.raises(ValueError, match=rf"{name} has a state: pass state=init_state\(theta, '{name}'\)"):
        subset_jax.expectation(KEY, THETA, square, k=2, estimator=name)


def test_state_of_leading_axes_keeps_them_and_that_of_none_is_none():
    theta = jnp.zeros((2, 3, 6))
    state = subset_jax.init_state(theta, "aimle")
    assert state["alpha"].shape == (2, 3)
    _, after = subset_jax.expectation(KEY, theta, square, k=2, estimator="aimle", state=state)
    assert after["alpha"].shape == (2, 3)
    assert subset_jax.init_state(theta, "simple") is None


def test_a_jitted_function_may_close_over_its_logits():
    """Under jit, operations on a constant are traced as well, so its values cannot be checked."""
    z = jax.jit(lambda key: subset_jax.sample(key, THETA, k=2))(KEY)
    assert jnp.array_equal(z, subset_jax.sample(KEY, THETA, k=2))


def test_invalid_logits_raise_where_they_can_be_seen_and_are_nan_under_jit():
    theta = THETA.at[1, 0].set(jnp.nan)
    with pytest.raises(ValueError, match=r"theta\[1\] has a NaN logit"):
        subset_jax.sample(KEY, theta, k=2)
    with pytest.raises(ValueError, match=r"theta\[0\] has a \+inf logit"):
        subset_jax.expectation(KEY, THETA.at[0, 0].set(jnp.inf), square, k=2)
    z = jax.jit(partial(subset_jax.sample, k=2))(KEY, theta)
    assert bool(jnp.all(jnp.isnan(z[1]))) and not bool(jnp.any(jnp.isnan(z[jnp.array([0, 2])])))
    empty = jax.jit(partial(subset_jax.sample, k=0, samples=4))(KEY, theta)
    assert empty.shape == (4, 3, 6) and bool(jnp.all(jnp.isnan(empty[:, 1]))) and not bool(jnp.any(empty[:, 0]))


def test_wrong_arguments_are_refused_inside_jit_too():
    for theta, k, kind, message in (
        (THETA, 7, ValueError, r"k=7 is outside \[0, 6\]"),
        (THETA, 2.0, TypeError, "a Python int"),
        (THETA.astype(jnp.float16), 2, TypeError, "theta has dtype float16"),
        (THETA.astype(jnp.bfloat16), 2, TypeError, "theta has dtype bfloat16"),
        (THETA.astype(int), 2, TypeError, "theta has dtype int64"),
    ):
        for call in (partial(subset_jax.sample, k=k), jax.jit(partial(subset_jax.sample, k=k))):
            with pytest.raises(kind, match=message):
                call(KEY, theta)
    with pytest.raises(ValueError, match="imle_sog has no parameter 'lam'"):
        subset_jax.sample(KEY, THETA, k=2, estimator="imle_sog", lam=1.0)
    with pytest.raises(ValueError, match=r"f returned shape \(1,\)"):
        subset_jax.expectation(KEY, THETA, lambda z: square(z).sum(-1), k=2)


@pytest.mark.parametrize("name", ["sfe", "rloo", "exact_enum", "simple_f"])
def test_estimators_that_need_f_say_so_and_name_expectation(name):
    with pytest.raises(TypeError, match=rf"{name} has no backward pass .* Use expectation\(theta, f\)"):
        subset_jax.sample(KEY, THETA, k=2, estimator=name)


@pytest.mark.parametrize("name", ["simple", "softsub", "imle_sog"])
def test_float32_in_gives_float32_out_in_64_bit_mode(name):
    assert jax.config.jax_enable_x64
    theta = THETA.astype(jnp.float32)
    assert subset_jax.sample(KEY, theta, k=2, estimator=name).dtype == jnp.float32
    loss = jax.value_and_grad(lambda t: jnp.sum(subset_jax.expectation(KEY, t, square, k=2, estimator=name)))
    value, gradient = jax.jit(loss)(theta)
    assert value.dtype == gradient.dtype == jnp.float32


ON_32_BITS = """
import warnings
warnings.simplefilter("error")
import jax, jax.numpy as jnp
from subsetgrad import jax as subset_jax
assert not jax.config.jax_enable_x64
theta = jax.random.normal(jax.random.key(0), (3, 6))
f = lambda z: jnp.sum(z**2 * jnp.arange(1.0, 7.0), axis=-1)
for name in ("simple", "softsub", "imle_gumbel", "rebar_pl"):
    def total(t, state):
        out = subset_jax.expectation(jax.random.key(1), t, f, k=2, estimator=name, state=state)
        return jnp.sum(out[0] if state else out)
    gradient = jax.jit(jax.grad(total))(theta, subset_jax.init_state(theta, name))
    assert gradient.dtype == jnp.float32 and bool(jnp.all(jnp.isfinite(gradient))), name
print("done")
"""


def test_32_bit_mode_works_without_a_warning():
    environment = {key: value for key, value in os.environ.items() if key != "JAX_ENABLE_X64"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", ON_32_BITS], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert done.returncode == 0 and done.stdout.strip() == "done", done.stderr[-2000:]


def test_a_model_learns_which_features_count():
    x = jax.random.normal(jax.random.key(3), (256, 8))
    y = x[:, 1] - 2 * x[:, 5]
    parameters = {"theta": jnp.zeros(8), "w": 0.1 * jnp.ones(8)}

    def loss(parameters, key, train=True):
        theta = parameters["theta"] if train else jax.lax.stop_gradient(parameters["theta"])

        def f(z):
            return jnp.mean(((z * parameters["w"]) @ x.T - y) ** 2, axis=-1)

        return subset_jax.expectation(key, theta, f, k=2)

    @partial(jax.jit, static_argnames="train")
    def adam(parameters, moments, key, count, train=True):
        value, gradient = jax.value_and_grad(loss)(parameters, key, train)
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, moments[0], gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, moments[1], gradient)

        def step(p, m, v):
            return p - 0.1 * m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)

        return jax.tree.map(step, parameters, first, second), (first, second), value

    def trained(train):
        current, moments = parameters, (jax.tree.map(jnp.zeros_like, parameters),) * 2
        losses = []
        for count, key in enumerate(jax.random.split(KEY, 80), start=1):
            current, moments, value = adam(current, moments, key, float(count), train)
            losses.append(float(value))
        return losses, current["theta"]

    losses, theta = trained(train=True)
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:5])
    assert set(np.argsort(theta)[-2:].tolist()) == {1, 5}
    losses, theta = trained(train=False)  # wrong twin: the logits get no gradient
    assert np.mean(losses[-10:]) > 0.5 * np.mean(losses[:5]) and not np.any(theta)


def test_a_sample_with_state_is_differentiable_under_every_transformation():
    theta = jax.random.normal(jax.random.key(0), (3, 6))
    state = subset_jax.init_state(theta, "aimle")
    state = {**state, "alpha": state["alpha"] + 1.0}

    def loss(theta, state):
        return (
            subset_jax.sample(jax.random.key(1), theta, k=2, estimator="aimle", state=state) * jnp.arange(6.0)
        ).sum()

    plain = jax.grad(loss)(theta, state)
    assert np.any(plain)
    np.testing.assert_allclose(jax.grad(jax.jit(loss))(theta, state), plain, rtol=1e-12)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(loss))(theta, state), plain, rtol=1e-12)
    mapped = jax.grad(lambda t: jax.vmap(loss)(t, state).sum())(theta)
    # Under vmap over rows, each row uses the key as if it were the only row.
    alone = [jax.grad(loss)(row, {name: of[b] for name, of in state.items()}) for b, row in enumerate(theta)]
    assert np.any(mapped)
    np.testing.assert_allclose(mapped, alone, rtol=1e-12)
