"""The steps that the clock reads do a training step's work: shapes, fresh noise, the estimator's own gradient."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

from benchmarks import backends
from benchmarks.cost.steps import MODES, NAMES, steps
from subsetgrad import ESTIMATORS, get

SIZES = {"n": 6, "k": 2, "batch": 3}


def built(name, backend="torch", mode=None, **more):
    ops = backends.load(backend, "cpu", "float64")
    return steps(get(name), more.pop("params", {}), ops, **(SIZES | more), mode=mode or MODES[backend][0])


def asks_for_f(record, k):
    """Returns whether an estimate takes values of f, or the law of a draw does: then a step goes through a loss."""
    declared = record.draws_for(k, record.resolve_params({})).values()
    return "values" in record.needs or any(getattr(draw, "logits", None) for draw in declared)


@pytest.mark.parametrize("name", [record.name for record in ESTIMATORS])
def test_every_estimator_steps_on_torch(name):
    record, k = get(name), 1 if get(name).k == 1 else 2
    found = built(name, k=k)
    assert isinstance(found.sample(), dict)
    forward, (total, gradient) = found.forward(), found.total()
    assert forward.shape == total.shape and total.shape == (
        (3,) if asks_for_f(record, k) else (record.samples(1), 3, 6)
    )
    assert gradient.shape == (3, 6) and bool(gradient.isfinite().all())
    assert forward.requires_grad  # as in training: what the backward pass needs is kept


@pytest.mark.parametrize(
    ("name", "mode"),
    [("ste_gumbel", "compiled"), ("ste_gumbel", "eager"), ("exact_enum", "compiled"), ("aimle", "compiled")],
)
def test_jax_steps_in_both_modes(name, mode):
    found = built(name, "jax", mode)
    total, gradient = found.total()
    assert found.forward().shape == total.shape and gradient.shape == (3, 6)
    assert np.isfinite(np.asarray(gradient)).all()


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_noise_is_fresh_at_every_call(backend):
    found = built("imle_gumbel", backend)
    first, second = (np.asarray(found.sample()["noise"]) for _ in range(2))
    assert first.shape == (1, 3, 6) and (first != second).all()
    gradients = {np.asarray(found.total()[1]).tobytes() for _ in range(20)}
    assert len(gradients) > 1


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_total_is_the_estimator_s_vector_jacobian_product(backend):
    # marginal_pass is deterministic: its gradient at a fixed cotangent is the covariance product. What is drawn of the
    # seed is theta, f's coefficients and the cotangent, in this order.
    rng = np.random.RandomState(7)
    theta, _, z_bar = rng.randn(3, 6), rng.randn(6), rng.randn(1, 3, 6)[0]
    laws = [oracles.enumerated(row, 2) for row in theta]
    z, gradient = built("marginal_pass", backend, seed=7).total()
    expected = [law.covariance @ row for law, row in zip(laws, z_bar, strict=True)]
    np.testing.assert_allclose(np.asarray(gradient), expected, atol=1e-12)
    z = np.asarray(z.detach() if backend == "torch" else z)
    np.testing.assert_allclose(z[0], [law.marginals for law in laws], atol=1e-12)


def test_a_step_leaves_no_gradient_behind():
    found = built("marginal_pass")  # without noise: what accumulates is twice and thrice the first
    kept = [found.total()[1] for _ in range(3)]
    assert len({id(gradient) for gradient in kept}) == 3
    assert bool(kept[0].any()) and all(torch.equal(kept[0], gradient) for gradient in kept)


def test_samples_are_raised_to_the_estimator_s_minimum():
    assert built("rloo", samples=1).sample()["z"].shape == (2, 3, 6)
    assert built("simple", samples=5).forward().shape == (5, 3, 6)


def test_a_jax_program_is_compiled_once_and_known_by_its_parts():
    found = built("ste_gumbel", "jax")
    first = found.build("total")
    assert first.trace_seconds > 0 and first.compile_seconds > 0
    found.total()
    assert found.build("total") is first
    assert built("ste_gumbel").build is None and built("ste_gumbel", "jax", "eager").build is None


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    found = built("simple")
    for name in NAMES:
        getattr(found, name)()
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_mode_is_named():
    with pytest.raises(ValueError, match="mode='fast' is not a mode of jax; choose compiled or eager"):
        built("simple", "jax", "fast")


def test_a_size_out_of_range_is_refused():
    with pytest.raises(ValueError, match="k=7"):
        built("simple", k=7)
