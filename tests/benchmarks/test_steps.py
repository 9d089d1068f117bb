"""The steps that the clock reads: their shapes, new noise at each call, and the estimator's gradient."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

from benchmarks import backends
from benchmarks.cost.steps import MODES, NAMES, steps
from subsetgrad import ESTIMATORS, get

SIZES = {"n": 6, "k": 2, "batch": 3}


def build_steps(name, backend="torch", mode=None, **more):
    ops = backends.load(backend, "cpu", "float64")
    return steps(get(name), more.pop("params", {}), ops, **(SIZES | more), mode=mode or MODES[backend][0])


def asks_for_f(record, k):
    """Returns whether the estimate or one of its draws takes values of f; then the step returns a loss."""
    declared = record.draws_for(k, record.resolve_params({})).values()
    return "values" in record.needs or any(getattr(draw, "logits", None) for draw in declared)


@pytest.mark.parametrize("name", [record.name for record in ESTIMATORS])
def test_every_estimator_steps_on_torch(name):
    record, k = get(name), 1 if get(name).k == 1 else 2
    built_steps = build_steps(name, k=k)
    assert isinstance(built_steps.sample(), dict)
    forward, (total, gradient) = built_steps.forward(), built_steps.total()
    assert forward.shape == total.shape and total.shape == (
        (3,) if asks_for_f(record, k) else (record.samples(1), 3, 6)
    )
    assert gradient.shape == (3, 6) and bool(gradient.isfinite().all())
    assert forward.requires_grad  # as in training, torch stores the arrays of the backward pass


@pytest.mark.parametrize(
    ("name", "mode"),
    [("ste_gumbel", "compiled"), ("ste_gumbel", "eager"), ("exact_enum", "compiled"), ("aimle", "compiled")],
)
def test_jax_steps_in_both_modes(name, mode):
    built_steps = build_steps(name, "jax", mode)
    total, gradient = built_steps.total()
    assert built_steps.forward().shape == total.shape and gradient.shape == (3, 6)
    assert np.isfinite(np.asarray(gradient)).all()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_every_call_draws_new_noise(backend):
    built_steps = build_steps("imle_gumbel", backend)
    first, second = (np.asarray(built_steps.sample()["noise"]) for _ in range(2))
    assert first.shape == (1, 3, 6) and (first != second).all()
    gradients = {np.asarray(built_steps.total()[1]).tobytes() for _ in range(20)}
    assert len(gradients) > 1


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_total_is_the_estimator_s_vector_jacobian_product(backend):
    # marginal_pass is deterministic: its gradient at a fixed cotangent is the covariance product. The seed determines
    # theta, the coefficients of f and the cotangent, in this order.
    rng = np.random.RandomState(7)
    theta, _, z_bar = rng.randn(3, 6), rng.randn(6), rng.randn(1, 3, 6)[0]
    laws = [oracles.enumerated(row, 2) for row in theta]
    z, gradient = build_steps("marginal_pass", backend, seed=7).total()
    expected = [law.covariance @ row for law, row in zip(laws, z_bar, strict=True)]
    np.testing.assert_allclose(np.asarray(gradient), expected, atol=1e-12)
    z = np.asarray(z.detach() if backend == "torch" else z)
    np.testing.assert_allclose(z[0], [law.marginals for law in laws], atol=1e-12)


def test_a_step_leaves_no_gradient_behind():
    built_steps = build_steps(
        "marginal_pass"
    )  # without noise; accumulated gradients would be 1, 2 and 3 times the first
    gradients = [built_steps.total()[1] for _ in range(3)]
    assert len({id(gradient) for gradient in gradients}) == 3
    assert bool(gradients[0].any()) and all(torch.equal(gradients[0], gradient) for gradient in gradients)


def test_samples_are_raised_to_the_estimator_s_minimum():
    assert build_steps("rloo", samples=1).sample()["z"].shape == (2, 3, 6)
    assert build_steps("simple", samples=5).forward().shape == (5, 3, 6)


def test_a_jax_program_is_compiled_once():
    built_steps = build_steps("ste_gumbel", "jax")
    first = built_steps.build("total")
    assert first.trace_seconds > 0 and first.compile_seconds > 0
    built_steps.total()
    assert built_steps.build("total") is first
    assert build_steps("ste_gumbel").build is None and build_steps("ste_gumbel", "jax", "eager").build is None


def test_the_global_generator_is_not_used():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    built_steps = build_steps("simple")
    for name in NAMES:
        getattr(built_steps, name)()
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode='fast' is not a mode of jax; choose compiled or eager"):
        build_steps("simple", "jax", "fast")


def test_a_size_out_of_range_is_refused():
    with pytest.raises(ValueError, match="k=7"):
        build_steps("simple", k=7)
