"""The named noises: exact mean and variance on numpy and on each backend, and no infinite numbers."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
import torch
from questions import question_about
from scipy import special, stats

from benchmarks.quality.noise_source import NoiseSource
from subsetgrad import Estimator
from subsetgrad import ops as ops_module
from subsetgrad.builders import score_function
from subsetgrad.noise import (
    EXPONENTIAL,
    GUMBEL,
    NORMAL,
    Noise,
    numpy_draw,
    sum_of_gamma,
)

SIZE = (400, 50, 10)
NOISES = [GUMBEL, EXPONENTIAL, NORMAL, sum_of_gamma(5.0), sum_of_gamma(1.0, 0.5, 3), sum_of_gamma(20.0, 2.0, 20)]
# E (x − mean)^4 / variance^2 of one entry.
KURTOSIS = {GUMBEL.name: 5.4, EXPONENTIAL.name: 9.0, NORMAL.name: 3.0}


def kurtosis(noise: Noise) -> float:
    """Returns the fourth standardised moment of the noise; for sum-of-gamma noise, from the cumulants of its terms."""
    if noise.name in KURTOSIS:
        return KURTOSIS[noise.name]
    kappa, terms = (float(noise.name.split(f"{key}=")[1].rstrip(")").split(",")[0]) for key in ("kappa", "terms"))
    powers = 1 / np.arange(1, int(terms) + 1)
    return 3 + 6 * kappa * float(np.sum(powers**4) / np.sum(powers**2) ** 2)


def deviations(noise: Noise, array: np.ndarray) -> tuple[float, float]:
    """Returns the errors of the array's mean and variance, in standard errors."""
    array, count = np.asarray(array, np.float64), array.size
    assert np.isfinite(array).all()
    mean = (array.mean() - noise.mean) / math.sqrt(noise.variance / count)
    variance = (array.var() - noise.variance) / (noise.variance * math.sqrt((kurtosis(noise) - 1) / count))
    return abs(mean), abs(variance)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("noise", NOISES, ids=lambda noise: noise.name)
def test_numpy_draws_have_the_exact_mean_and_variance(noise, dtype):
    array = noise.transform(np, numpy_draw(np.random.default_rng(0), dtype), SIZE)
    assert array.shape == SIZE and array.dtype == dtype
    assert max(deviations(noise, array)) < 5


ON_DEVICE = [("torch", dtype, noise) for dtype in ("float64", "float32") for noise in NOISES]
# Two noises suffice on jax: both frameworks share the definitions, and test_ops.py tests the random numbers of jax.
ON_DEVICE += [("jax", "float64", noise) for noise in (GUMBEL, sum_of_gamma(1.0, 0.5, 3))]


@pytest.mark.parametrize(("backend", "dtype", "noise"), ON_DEVICE, ids=lambda value: getattr(value, "name", value))
def test_device_draws_have_the_exact_mean_and_variance(backend, dtype, noise):
    ops = ops_module.load(backend, dtype)
    key = torch.Generator().manual_seed(1) if backend == "torch" else jax.random.key(1)
    array = noise.transform(ops.xp, ops.draw(key), SIZE)
    assert tuple(array.shape) == SIZE and str(array.dtype).endswith(dtype)
    assert max(deviations(noise, np.asarray(array))) < 5


def inverted(kappa: float, terms: int = 10) -> Noise:
    """Returns the sum-of-gamma noise as two published codes draw it, with the rate i/κ used as the scale."""

    def transform(xp, draw, shape):
        total = sum(draw("gamma", shape, 1 / kappa) * (i / kappa) for i in range(1, terms + 1))
        return (total - math.log(terms)) / kappa

    right = sum_of_gamma(kappa, 1.0, terms)
    return Noise(right.name, right.mean, right.variance, transform)


class TestSumOfGamma:
    def test_golden_mean_and_variance(self):
        # By hand for κ = 5, τ = 1, s = 10: (H_10 − log 10)/5, and a fifth of Σ 1/i².
        noise = sum_of_gamma(5.0, 1.0, 10)
        assert noise.mean == pytest.approx(0.125277, abs=1e-6)
        assert noise.variance == pytest.approx(0.309953, abs=1e-6)

    def test_the_twin_with_scale_and_rate_inverted_is_caught(self):
        wrong = inverted(5.0)
        array = wrong.transform(np, numpy_draw(np.random.default_rng(0), "float64"), SIZE)
        assert min(deviations(wrong, array)) > 50

    @pytest.mark.parametrize(("kappa", "tau"), [(1.0, 1.0), (3.0, 1.0), (5.0, 0.5)])
    def test_the_sum_of_kappa_copies_tends_to_gumbel(self, kappa, tau):
        def distance(terms):
            noise = sum_of_gamma(kappa, tau, terms)
            shape = (4000, int(kappa))
            sums = noise.transform(np, numpy_draw(np.random.default_rng(2), "float64"), shape).sum(axis=-1)
            return stats.kstest(sums, stats.gumbel_r(scale=tau).cdf).statistic

        # For 4000 draws of the limit itself, the statistic exceeds 1.63/√4000 in 1 % of cases. s = 2 is far from it.
        assert distance(200) < 1.63 / math.sqrt(4000) < 3 / math.sqrt(4000) < distance(2)

    def test_the_exact_moments_of_kappa_copies_tend_to_those_of_gumbel(self):
        noise = sum_of_gamma(7.0, 1.0, 100_000)
        assert 7 * noise.mean == pytest.approx(GUMBEL.mean, abs=1e-5)
        assert 7 * noise.variance == pytest.approx(GUMBEL.variance, abs=2e-5)
        assert GUMBEL.variance == pytest.approx(special.polygamma(1, 1))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [((0.0,), "kappa=0.0"), ((-1.0,), "kappa=-1.0"), ((5.0, 0.0), "tau=0.0"), ((5.0, 1.0, 0), "terms=0")],
    )
    def test_a_parameter_out_of_range_is_refused(self, arguments, message):
        with pytest.raises(ValueError, match=f"{message} of the sum-of-gamma noise must be positive"):
            sum_of_gamma(*arguments)

    def test_different_laws_have_different_names(self):
        names = [sum_of_gamma(*arguments).name for arguments in ((5.0,), (4.0,), (5.0, 2.0), (5.0, 1.0, 9))]
        assert len(set(names)) == 4
        assert sum_of_gamma(5).name == sum_of_gamma(5.0, 1.0, 10).name


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("noise", [GUMBEL, EXPONENTIAL, sum_of_gamma(5.0)], ids=lambda noise: noise.name)
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_primitives_at_zero_give_no_infinity(noise, dtype, backend):
    ops = ops_module.load(backend, dtype)
    zeros = ops.asarray(np.zeros((2, 3)))
    drawn = noise.transform(ops.xp, lambda name, shape, parameter=None: zeros, (2, 3))
    assert np.isfinite(np.asarray(drawn)).all()
    assert np.isfinite(noise.transform(np, lambda *_: np.zeros((2, 3), dtype), (2, 3))).all()


class TestShape:
    def test_samples_rows_and_items(self):
        assert GUMBEL.shape(3, 4, 5) == (3, 4, 5)

    def test_extra_axes_stand_between_rows_and_items(self):
        wide = GUMBEL.with_axes(7, 2)
        assert wide.shape(3, 4, 5) == (3, 4, 7, 2, 5)
        assert (wide.name, wide.mean, wide.variance) == (GUMBEL.name, GUMBEL.mean, GUMBEL.variance)
        assert GUMBEL.axes == ()

    def test_equal_generators_draw_equal_numbers(self):
        first, second, other = (
            sum_of_gamma(5.0).transform(np, numpy_draw(np.random.default_rng(seed), "float64"), (10, 3))
            for seed in (4, 4, 5)
        )
        np.testing.assert_array_equal(first, second)
        assert np.all(first != other)


def test_two_noises_of_one_law_within_an_estimator_are_independent():
    record = Estimator(
        name="two_noises",
        law="relaxed",
        target="conditional_poisson",
        estimate=score_function(lambda ops, theta, z, v, *, k: theta),
        draws={"a": NORMAL, "b": NORMAL},
        needs=frozenset({"values"}),
        unbiased_for="nothing",
        source="a test",
    )
    question = question_about(record, n=5, k=2, objective="affine")
    drawn = question.draws(NoiseSource(0), 20_000, 0)
    product = np.asarray(drawn["a"] * drawn["b"])
    assert abs(product.mean()) < 5 * product.std() / np.sqrt(product.size)
    drawn["a"].mul_(0.0)  # an estimator that overwrites its noise must not change later draws
    assert np.asarray(question.draws(NoiseSource(0), 20_000, 0)["a"]).std() > 0.9
