"""The exact k-subset distribution against enumeration, other recursions, and identities."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import numpy as np
import oracles
import pytest

from subsetgrad import subsets

pytestmark = pytest.mark.usefixtures("form")

SIZES = ((1, 0), (1, 1), (2, 1), (5, 0), (5, 1), (5, 4), (5, 5), (8, 3))
SHIFT = 1024.0


def rows_of(n, k, dtype="float64"):
    """Returns `[R, n]` ordinary and extreme logits; at least k of each row are finite."""
    rng = np.random.default_rng(1000 * n + k)
    ordinary = np.round(rng.normal(size=n) * 2**9) / 2**9  # rounded, so that adding SHIFT is exact in float32
    one_missing, just_k = ordinary.copy(), np.full(n, -np.inf)
    if k < n:
        one_missing[rng.integers(n)] = -np.inf
    just_k[rng.permutation(n)[:k]] = rng.normal(size=k)
    rows = [
        ordinary,
        ordinary[::-1],
        ordinary + SHIFT,
        ordinary - 1e5,
        np.zeros(n),
        np.where(np.arange(n) == n // 2, 1e4, ordinary),
        rng.uniform(-50, 50, n),
        rng.uniform(-1e4, 1e4, n),
        np.where(rng.random(n) < 0.5, -1e4, 1e4) + ordinary,
        one_missing,
        just_k,
    ]
    return np.array(rows).astype(dtype).astype("float64")


def all_functions(ops, k, theta, v, z):
    """Returns the values of all functions, so that each shape is compiled once."""
    return {
        "log_partition": subsets.log_partition(ops, theta, k),
        "marginals": subsets.marginals(ops, theta, k),
        "entropy": subsets.entropy(ops, theta, k),
        "kl": subsets.kl_to_uniform(ops, theta, k),
        "covariance_product": subsets.covariance_product(ops, theta, k, v),
        "second_order": subsets.second_order_inclusions(ops, theta, k),
        "log_prob": subsets.log_prob(ops, theta, k, z),
    }


@pytest.fixture(scope="module", autouse=True)
def _computed_by_each_form(form):
    computed.cache_clear()
    differentiated.cache_clear()


@cache
def computed(ops, n, k):
    """Returns `(laws of the rows, vectors [V, 1, n], name -> values of the library)`."""
    theta = rows_of(n, k, ops.dtype)
    v = np.concatenate([np.eye(n), np.full((1, n), 7.0), np.random.default_rng(7).normal(size=(2, n))])[:, None, :]
    z = subsets.enumerate(n, k)[:, None, :]
    compiled = ops.compile(lambda *arrays: all_functions(ops, k, *arrays))
    values = compiled(ops.asarray(theta), ops.asarray(v), ops.asarray(z))
    laws = [oracles.enumerated(row, k) for row in theta]
    return laws, v, {name: np.asarray(value) for name, value in values.items()}


def call(ops, function, theta, k):
    """Returns the values of one function as a numpy array."""
    return np.asarray(ops.compile(lambda array: function(ops, array, k))(ops.asarray(theta)))


def size_of(theta):
    """Returns the largest |logit| of each row, at least 1, `[R]`; rounding errors of sums are proportional to it."""
    return np.maximum(1.0, np.abs(np.where(np.isfinite(theta), theta, 0.0)).max(axis=-1))


@pytest.mark.parametrize(("n", "k"), SIZES)
class TestAgainstEnumeration:
    def test_log_partition(self, ops, n, k):
        laws, _, values = computed(ops, n, k)
        exact = [law.log_partition for law in laws]
        np.testing.assert_allclose(values["log_partition"], exact, rtol=1e-14, atol=1e-12)

    def test_marginals(self, ops, n, k):
        laws, _, values = computed(ops, n, k)
        np.testing.assert_allclose(values["marginals"], [law.marginals for law in laws], rtol=1e-12, atol=1e-300)

    def test_entropy_and_divergence_from_uniform(self, ops, n, k):
        laws, _, values = computed(ops, n, k)
        exact = np.array([law.entropy for law in laws])
        np.testing.assert_allclose(values["entropy"], exact, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(values["kl"], math.log(math.comb(n, k)) - exact, rtol=0, atol=1e-12)

    def test_covariance_product_broadcasts_over_vectors(self, ops, n, k):
        laws, v, values = computed(ops, n, k)
        exact = np.array([[law.covariance @ vector[0] for law in laws] for vector in v])
        np.testing.assert_allclose(values["covariance_product"], exact, rtol=0, atol=1e-12)

    def test_second_order_inclusions(self, ops, n, k):
        laws, _, values = computed(ops, n, k)
        np.testing.assert_allclose(values["second_order"], [law.second_order for law in laws], rtol=1e-12, atol=1e-300)

    def test_log_prob_of_every_subset(self, ops, n, k):
        laws, _, values = computed(ops, n, k)
        exact = np.array([law.log_probabilities for law in laws]).T
        possible = np.isfinite(exact)
        np.testing.assert_array_equal(np.isneginf(values["log_prob"]), ~possible)
        allowed = np.broadcast_to(1e-15 * n * size_of(rows_of(n, k)), exact.shape)
        assert np.all(np.abs(values["log_prob"][possible] - exact[possible]) <= allowed[possible])


@pytest.mark.parametrize(("n", "k"), [(1, 0), (5, 4), (8, 3)])
class TestSinglePrecision:
    def test_marginals(self, ops32, n, k):
        laws, _, values = computed(ops32, n, k)
        exact, marginals = np.array([law.marginals for law in laws]), values["marginals"]
        assert marginals.dtype == np.float32
        np.testing.assert_allclose(marginals, exact, rtol=0, atol=1e-5)
        likely = exact > 1e-6
        np.testing.assert_allclose(marginals[likely], exact[likely], rtol=1e-4, atol=0)

    def test_everything_else(self, ops32, n, k):
        laws, v, values = computed(ops32, n, k)
        assert {value.dtype for value in values.values()} == {np.dtype("float32")}
        products = [[law.covariance @ vector[0] for law in laws] for vector in v]
        np.testing.assert_allclose(values["covariance_product"], products, rtol=0, atol=2e-5)
        np.testing.assert_allclose(values["entropy"], [law.entropy for law in laws], rtol=0, atol=2e-5)
        np.testing.assert_allclose(values["second_order"], [law.second_order for law in laws], rtol=0, atol=2e-5)
        exact = np.array([law.log_partition for law in laws])
        error = np.abs(values["log_partition"] - exact) / size_of(rows_of(n, k, "float32"))
        assert error.max() < 1e-6 * n


@pytest.mark.parametrize("form", ["tree"], indirect=True, scope="module")
@pytest.mark.parametrize(("n", "k"), [(200, 37), (1000, 50), (1000, 500)])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_many_items_agree_with_the_recursion_in_log_space(ops, n, k, spread):
    theta = spread * np.random.default_rng(n + k).normal(size=n)
    log_partition, marginals, entropy = oracles.log_space(theta, k)
    assert call(ops, subsets.log_partition, theta, k) == pytest.approx(log_partition, rel=1e-13)
    np.testing.assert_allclose(call(ops, subsets.marginals, theta, k), marginals, rtol=1e-11, atol=1e-300)
    assert call(ops, subsets.entropy, theta, k) == pytest.approx(entropy, rel=1e-11)


@pytest.mark.parametrize("form", ["tree"], indirect=True, scope="module")
@pytest.mark.parametrize(("n", "k"), [(30, 11), (100, 3), (100, 98)])
def test_marginals_agree_with_rational_arithmetic(ops, n, k):
    weights = np.exp(3 * np.random.default_rng(n + k).normal(size=n))
    normaliser, exact = oracles.rational([Fraction(float(w)) for w in weights], k)
    marginals = call(ops, subsets.marginals, np.log(weights), k)
    np.testing.assert_allclose(marginals, [float(m) for m in exact], rtol=1e-12)
    assert call(ops, subsets.log_partition, np.log(weights), k) == pytest.approx(math.log(normaliser), rel=1e-13)


def test_marginals_the_authors_print_for_their_own_check(ops):
    # From github.com/UCLA-StarAI/SIMPLE, v2/simple.py: marginals of four independent items, given that two are chosen.
    p = np.array([0.3, 0.6, 0.5, 0.2])
    marginals = call(ops, subsets.marginals, np.log(p / (1 - p)), 2)
    np.testing.assert_allclose(marginals, [0.3568, 0.7622, 0.6595, 0.2216], atol=1e-4)


def test_entropy_of_the_uniform_law_is_the_log_of_the_number_of_subsets(ops):
    entropy = call(ops, subsets.entropy, np.full(20, 3.0), 10)
    assert entropy == pytest.approx(math.log(math.comb(20, 10)), rel=1e-13)
    assert entropy == pytest.approx(12.127, abs=5e-4)
    assert abs(call(ops, subsets.kl_to_uniform, np.full(20, 3.0), 10)) < 1e-12


@pytest.mark.parametrize(("n", "k"), [(5, 4), (8, 3)])
class TestIdentities:
    def test_marginals_sum_to_k(self, ops, n, k):
        np.testing.assert_allclose(computed(ops, n, k)[2]["marginals"].sum(axis=-1), k, rtol=1e-13)

    def test_second_order_inclusions_are_symmetric_with_marginals_on_the_diagonal_and_rows_of_sum_k_mu(self, ops, n, k):
        values = computed(ops, n, k)[2]
        second, marginals = values["second_order"], values["marginals"]
        np.testing.assert_allclose(second, np.swapaxes(second, -1, -2), rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(np.diagonal(second, axis1=-2, axis2=-1), marginals, rtol=1e-12, atol=1e-300)
        np.testing.assert_allclose(second.sum(axis=-1), k * marginals, rtol=1e-12, atol=1e-300)

    def test_covariance_is_symmetric_and_kills_constants(self, ops, n, k):
        product = computed(ops, n, k)[2]["covariance_product"]
        covariance = np.moveaxis(product[:n], 0, -1)
        np.testing.assert_allclose(covariance, np.swapaxes(covariance, -1, -2), rtol=0, atol=1e-15)
        np.testing.assert_allclose(product[n], 0, atol=1e-14)
        np.testing.assert_allclose(product.sum(axis=-1), 0, atol=1e-14)

    def test_a_shift_adds_k_times_itself_to_the_log_partition_and_changes_nothing_else(self, ops, n, k):
        values = computed(ops, n, k)[2]
        for name, value in values.items():
            of_row = np.moveaxis(value, 1 if name in ("covariance_product", "log_prob") else 0, 0)
            gain = SHIFT * k if name == "log_partition" else 0.0
            np.testing.assert_allclose(of_row[2] - gain, of_row[0], rtol=0, atol=1e-12)

    def test_permuting_the_items_permutes_the_answers(self, ops, n, k):
        values = computed(ops, n, k)[2]
        marginals, second = values["marginals"], values["second_order"]
        np.testing.assert_allclose(marginals[1], marginals[0, ::-1], rtol=1e-14)
        np.testing.assert_allclose(second[1], second[0, ::-1, ::-1], rtol=1e-14)
        np.testing.assert_allclose(values["entropy"][1], values["entropy"][0], rtol=1e-14)

    def test_choosing_k_is_leaving_out_n_minus_k_at_the_opposite_logits(self, ops, n, k):
        left_out = call(ops, subsets.marginals, -rows_of(n, k)[:9], n - k)
        np.testing.assert_allclose(computed(ops, n, k)[2]["marginals"][:9], 1 - left_out, rtol=0, atol=1e-13)


def derivatives(ops, k, theta, u, v):
    """Returns derivatives by automatic differentiation, in forward mode, in reverse mode, and nested."""

    def gradient_of(function):
        return lambda x: ops.value_and_grad(lambda y: ops.xp.sum(function(y)))(x)[1]

    def along(function, direction):
        return lambda x: ops.jvp(function, (x,), (direction,))[1]

    gradient = gradient_of(lambda x: subsets.log_partition(ops, x, k))
    return {
        "gradient": gradient(theta),
        "hessian": along(gradient, u)(theta),
        "third": along(along(gradient, u), v)(theta),
        "marginals_jvp": along(lambda x: subsets.marginals(ops, x, k), u)(theta),
        "marginals_vjp": gradient_of(lambda x: subsets.marginals(ops, x, k) * u)(theta),
        "covariance_product_vjp": gradient_of(lambda x: subsets.covariance_product(ops, x, k, u) * v)(theta),
        "entropy": gradient_of(lambda x: subsets.entropy(ops, x, k))(theta),
    }


@cache
def differentiated(ops, n, k):
    """Returns `(laws, u [R, n], v [R, n], derivatives of the library)` at all rows, including ties and -inf."""
    theta = rows_of(n, k)
    u, v = np.random.default_rng(11).normal(size=(2, *theta.shape))
    compiled = ops.compile(lambda *arrays: derivatives(ops, k, *arrays))
    values = compiled(*(ops.asarray(array) for array in (theta, u, v)))
    laws = [oracles.enumerated(row, k) for row in theta]
    return laws, u, v, {name: np.asarray(value) for name, value in values.items()}


class TestDerivatives:
    n, k = 5, 2

    def test_gradient_of_the_log_partition_is_the_marginals(self, ops):
        laws, _, _, values = differentiated(ops, self.n, self.k)
        np.testing.assert_allclose(values["gradient"], [law.marginals for law in laws], rtol=0, atol=1e-12)

    @pytest.mark.parametrize("name", ["hessian", "marginals_jvp", "marginals_vjp"])
    def test_second_derivatives_are_covariances(self, ops, name):
        laws, u, _, values = differentiated(ops, self.n, self.k)
        exact = [law.covariance @ vector for law, vector in zip(laws, u, strict=True)]
        np.testing.assert_allclose(values[name], exact, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("name", ["third", "covariance_product_vjp"])
    def test_third_derivatives_are_third_central_moments(self, ops, name):
        laws, u, v, values = differentiated(ops, self.n, self.k)
        exact = [np.einsum("ijl,j,l->i", law.third_moment, *pair) for law, *pair in zip(laws, u, v, strict=True)]
        np.testing.assert_allclose(values[name], exact, rtol=0, atol=1e-12)

    def test_gradient_of_the_entropy_is_minus_the_covariance_with_theta(self, ops):
        laws, _, _, values = differentiated(ops, self.n, self.k)
        theta = rows_of(self.n, self.k)
        finite = np.where(np.isfinite(theta), theta, 0.0)
        centred = [row - law.marginals @ row / self.k for law, row in zip(laws, finite, strict=True)]
        exact = [-law.covariance @ row for law, row in zip(laws, centred, strict=True)]
        np.testing.assert_allclose(values["entropy"], exact, rtol=0, atol=1e-11)
        by_differences = oracles.finite_difference(lambda row: oracles.enumerated(row, self.k).entropy, theta[0])
        np.testing.assert_allclose(values["entropy"][0], by_differences, rtol=0, atol=1e-9)

    def test_score_is_the_subset_minus_the_marginals(self, ops):
        theta, z = rows_of(self.n, self.k)[:3], subsets.enumerate(self.n, self.k)[:3]
        score = ops.compile(ops.value_and_grad(lambda x: ops.xp.sum(subsets.log_prob(ops, x, self.k, ops.asarray(z)))))
        marginals = call(ops, subsets.marginals, theta, self.k)
        np.testing.assert_allclose(np.asarray(score(ops.asarray(theta))[1]), z - marginals, rtol=0, atol=1e-12)
