"""The torch layer: shapes, modes, randomness, state, checks, and use inside a model."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch

from subsetgrad import get
from subsetgrad.torch import SubsetLayer

RNG = np.random.default_rng(11)
THETA = torch.tensor(RNG.normal(size=(3, 6)))
HARD = ["simple", "imle_sog", "imle_gumbel", "ste", "simple_b", "aimle"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def square(z):
    return torch.sum(z**2 * torch.arange(1.0, 7.0, dtype=z.dtype), dim=-1)


@pytest.mark.parametrize("shape", [(6,), (3, 6), (2, 3, 6)])
@pytest.mark.parametrize("name", ["simple", "aimle", "softsub", "marginal_pass"])
def test_samples_have_the_shape_of_theta_with_an_axis_of_samples_if_asked(name, shape):
    theta = torch.randn(shape, generator=seeded())
    for samples, leading in ((None, ()), (1, (1,)), (4, (4,))):
        layer = SubsetLayer(name, k=2, samples=samples)
        z = layer(theta.requires_grad_())
        assert z.shape == (*leading, *shape) and z.dtype == theta.dtype
        torch.testing.assert_close(z.sum(-1), torch.full(z.shape[:-1], 2.0), atol=1e-5, rtol=0)
        (gradient,) = torch.autograd.grad(square(z).sum(), theta)
        assert gradient.shape == shape and torch.isfinite(gradient).all()
        layer.eval()
        assert layer(theta).shape == (*leading, *shape)
        assert layer.expectation(theta, square).shape == shape[:-1]


@pytest.mark.parametrize("name", HARD)
def test_training_samples_and_evaluation_takes_the_most_likely(name):
    layer = SubsetLayer(name, k=2, samples=50, generator=seeded())
    z = layer(THETA)
    assert set(z.unique().tolist()) == {0.0, 1.0} and (z.sum(-1) == 2).all()
    assert (z != z[0]).any()
    layer.eval()
    expected = torch.zeros_like(THETA).scatter(-1, torch.topk(THETA, 2).indices, 1.0)
    assert torch.equal(layer(THETA), expected.expand(50, 3, 6))
    assert not layer(THETA.clone().requires_grad_()).requires_grad


def test_equal_generators_give_equal_samples():
    first, second, other = (SubsetLayer("simple", k=2, samples=20, generator=seeded(s))(THETA) for s in (0, 0, 1))
    assert torch.equal(first, second) and not torch.equal(first, other)
    torch.manual_seed(3)
    layer = SubsetLayer("simple", k=2, samples=20)
    one, two = layer(THETA), layer(THETA)
    torch.manual_seed(3)
    assert torch.equal(layer(THETA), one) and not torch.equal(one, two)


@pytest.mark.parametrize("samples", [1, 3])
def test_backward_of_simple_is_the_covariance_times_the_summed_cotangents(samples):
    import oracles

    theta = THETA.clone().requires_grad_()
    z = SubsetLayer("simple", k=2, samples=samples)(theta)
    bar = torch.tensor(RNG.normal(size=tuple(z.shape)))
    z.backward(bar)
    for row in range(3):
        covariance = oracles.enumerated(THETA[row].numpy(), 2).covariance
        np.testing.assert_allclose(theta.grad[row], covariance @ bar[:, row].sum(0).numpy(), atol=1e-12)


@pytest.mark.parametrize("name", ["aimle", "rebar_pl"])
def test_state_moves_in_training_mode_only_and_travels_with_the_model(name):
    layer = SubsetLayer(name, k=2, generator=seeded())
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    assert before and all(key.startswith("state_") for key in before)
    layer.eval()
    layer.expectation(THETA, square)
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
    layer.train()
    layer.expectation(THETA, square)
    moved = layer.state_dict()
    assert any(not torch.equal(value, before[key]) for key, value in moved.items())
    restored = SubsetLayer(name, k=2)
    restored.load_state_dict(moved)
    assert all(torch.equal(value, moved[key]) for key, value in restored.state_dict().items())
    assert all(buffer.dtype == torch.float64 for buffer in restored.double().buffers())
    restored.expectation(THETA, square)
    restored.float().expectation(THETA.float(), square)


def test_state_moves_in_the_backward_pass_of_a_sample():
    layer = SubsetLayer("aimle", k=2)
    z = layer(THETA.clone().requires_grad_())
    assert float(layer.state_alpha) == 0
    square(z).sum().backward()
    assert float(layer.state_alpha) == pytest.approx(1e-3) and layer.state_alpha.shape == ()


def test_stateless_estimators_have_no_buffers():
    assert list(SubsetLayer("simple", k=2).buffers()) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0.0, float("nan"), 1.0, 2.0, 0.0, 0.0], r"theta\[1\] has a NaN logit"),
        ([0.0, float("inf"), 1.0, 2.0, 0.0, 0.0], r"theta\[1\] has a \+inf logit"),
        ([0.0] + [float("-inf")] * 5, r"theta\[1\] has 1 finite logits, fewer than k=2"),
    ],
)
def test_invalid_logits_are_refused_where_values_are_checked(row, message):
    theta = THETA.clone()
    theta[1] = torch.tensor(row)
    for layer in (SubsetLayer("simple", k=2), SubsetLayer("simple", k=2, validate=True)):
        for call in (layer, lambda t, layer=layer: layer.expectation(t, square)):
            with pytest.raises(ValueError, match=message):
                call(theta)
    unchecked = SubsetLayer("simple", k=2, validate=False)(theta)
    assert unchecked[1].isnan().all() and not unchecked[[0, 2]].isnan().any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_other_dtypes_are_refused_with_the_way_out(dtype):
    with pytest.raises(TypeError, match=r"pass theta.float\(\)"):
        SubsetLayer("simple", k=2)(THETA.to(dtype))


@pytest.mark.parametrize("training", [True, False])
def test_theta_on_an_unsupported_device_is_refused_with_the_supported_ones(training):
    layer = SubsetLayer("simple", k=2).train(training)
    theta = torch.zeros(3, 6, device="meta")
    for call in (layer, lambda t: layer.expectation(t, square)):
        with pytest.raises(
            ValueError, match=r"theta is on device 'meta'; .* run on cpu and cuda: move theta .* theta.to\('cpu'\)"
        ):
            call(theta)


def test_k_out_of_range_and_of_a_wrong_type_is_refused():
    for k, kind, message in (
        (7, ValueError, r"k=7 is outside \[0, 6\] for n=6"),
        (-1, ValueError, "k=-1 is negative; choose k between 0 and the number of items"),
        (2.0, TypeError, "a Python int"),
        (True, TypeError, "k=True is a bool"),
    ):
        with pytest.raises(kind, match=message):
            SubsetLayer("simple", k=k)(THETA)
    with pytest.raises(ValueError, match="k=2: gs is defined for k=1 only"):
        SubsetLayer("gs", k=2)


def test_what_is_neither_a_name_nor_a_record_is_refused():
    with pytest.raises(TypeError, match="estimator=3 is a int; pass the name of an estimator, or an Estimator"):
        SubsetLayer(3, 2)


def test_unknown_names_are_refused_with_those_known():
    with pytest.raises(ValueError, match="imle_sog has no parameter 'lam'; its parameters: step_size"):
        SubsetLayer("imle_sog", k=2, lam=1.0)
    with pytest.raises(ValueError, match=r"unknown estimator 'simpel'; known: .*simple"):
        SubsetLayer("simpel", k=2)


@pytest.mark.parametrize("name", ["sfe", "rloo", "exact_enum", "rebar_pl", "simple_f"])
def test_estimators_that_need_f_say_so_and_name_expectation(name):
    layer = SubsetLayer(name, k=2)
    with pytest.raises(TypeError, match=rf"{name} has no backward pass .* Use expectation\(theta, f\)"):
        layer(THETA)
    theta = THETA.clone().requires_grad_()
    layer.expectation(theta, square).sum().backward()
    assert torch.isfinite(theta.grad).all()
    assert layer.eval()(THETA).shape == THETA.shape


def test_f_of_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"f returned shape \(1,\) .* all axes but the last: \(1, 3\)"):
        SubsetLayer("simple", k=2).expectation(THETA, lambda z: square(z).sum(-1))


@pytest.mark.parametrize("name", ["simple", "imle_gumbel", "marginal_pass"])
def test_nothing_to_choose_gives_zeros_and_no_gradient(name):
    theta = THETA.clone().requires_grad_()
    for samples, shape in ((None, (3, 6)), (4, (4, 3, 6))):
        z = SubsetLayer(name, k=0, samples=samples)(theta)
        assert z.shape == shape and not z.any()
        assert not torch.autograd.grad(z.sum(), theta)[0].any()


def test_impossible_items_are_never_chosen_and_have_no_gradient():
    theta = THETA.clone()
    theta[:, 2] = -float("inf")
    theta.requires_grad_()
    z = SubsetLayer("simple", k=2, samples=30)(theta)
    square(z).sum().backward()
    assert not z[..., 2].any() and not theta.grad[:, 2].any() and torch.isfinite(theta.grad).all()


def test_repr_shows_estimator_k_and_parameters():
    shown = repr(SubsetLayer("imle_sog", k=3, step_size=10.0))
    assert shown == "SubsetLayer('imle_sog', k=3, step_size=10.0, kappa=0.0, tau=1.0, terms=10)"


@pytest.mark.parametrize(
    "name", ["simple", "aimle", "perturbed_opt", "subsetgrad.families.simple_as_printed:SIMPLE_DIVIDED"]
)
def test_layers_are_copied_and_pickled_with_their_state(name):
    layer = SubsetLayer(name, k=2)
    if name == "aimle":
        layer.state_alpha.fill_(0.7)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), torch.load(file, weights_only=False)]
    for other in copies:
        assert other.record is get(name) and other.params == layer.params
        assert other.state_dict() == layer.state_dict()
        assert other.expectation(THETA, square).shape == (3,)


@pytest.mark.parametrize("n", [10, 40])
@pytest.mark.parametrize("name", ["simple", "marginal_pass"])
def test_autocast_changes_nothing(name, n):
    """Code around the layer may run in bfloat16, but the products inside the layer keep their precision."""
    theta = torch.randn(3, n, generator=torch.Generator().manual_seed(0))

    def gradient():
        torch.manual_seed(1)
        logits = theta.clone().requires_grad_()
        z = SubsetLayer(name, k=5)(logits)
        (z @ theta.T).square().sum().backward()
        return z, logits.grad

    plain = gradient()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, slope = gradient()
        assert (theta @ theta.T).dtype == torch.bfloat16  # autocast does act on other products
    assert z.dtype == slope.dtype == torch.float32
    torch.testing.assert_close(z, plain[0], rtol=0, atol=0)
    # The gradients differ, because f itself runs in bfloat16.
    torch.testing.assert_close(slope, plain[1], rtol=0.03, atol=0.03 * float(plain[1].abs().max()))


def regression(layer, steps=60):
    """Trains the logits to choose the 2 features of 8 on which y depends; returns the losses and the logits."""
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x[:, 1] - 2 * x[:, 5]
    theta = torch.nn.Parameter(torch.zeros(8))
    head = torch.nn.Linear(8, 1)
    optimizer = torch.optim.Adam([theta, *head.parameters()], lr=0.1)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.mean((head(layer(theta) * x)[:, 0] - y) ** 2)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, theta.detach()


def test_a_model_learns_which_features_count():
    layer = SubsetLayer("simple", k=2, generator=seeded())
    losses, theta = regression(layer)
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:5])
    assert set(torch.topk(theta, 2).indices.tolist()) == {1, 5}
    # Wrong twin: the logits get no gradient.
    losses, theta = regression(lambda t: SubsetLayer("simple", k=2, generator=seeded())(t.detach()))
    assert set(torch.topk(theta, 2).indices.tolist()) != {1, 5} or not theta.any()


def test_layer_works_inside_a_sequential_model():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, 6), SubsetLayer("imle_gumbel", k=2, step_size=10.0), torch.nn.Linear(6, 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    x = torch.randn(128, 4)
    y = torch.sign(x[:, :1])
    losses = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = torch.mean((model(x) - y) ** 2)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:5])
    assert model.eval()(x).shape == (128, 1)


@pytest.mark.parametrize("name", ["aimle", "rebar_pl"])
def test_invalid_rows_and_empty_batches_do_not_spoil_the_state(name):
    layer = SubsetLayer(name, k=2, validate=False)
    theta = torch.randn(3, 6)
    theta[1, 0] = float("nan")
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    layer.expectation(theta, lambda z: (z * torch.arange(6.0)).sum(-1))
    after = {key: value.clone() for key, value in layer.state_dict().items()}
    assert any(not torch.equal(value, before[key]) for key, value in after.items())  # the valid rows changed it
    assert all(torch.isfinite(value).all() for value in after.values())
    layer.expectation(torch.zeros(0, 6), lambda z: (z * torch.arange(6.0)).sum(-1))
    assert all(torch.equal(value, after[key]) for key, value in layer.state_dict().items())


def test_parameters_that_share_a_name_with_an_argument_go_into_params():
    layer = SubsetLayer("perturbed_opt", k=2, params={"samples": 16})
    assert layer.params["samples"] == 16
    assert layer.samples is None


@pytest.mark.parametrize("samples", [0, -2, 1.5, True])
def test_samples_is_a_number_of_samples(samples):
    with pytest.raises(ValueError, match="samples="):
        SubsetLayer("simple", k=2, samples=samples)
