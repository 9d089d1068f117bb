"""Soft operators: values and gradients at -inf, at extremes and in float32, against 150-digit arithmetic."""

from __future__ import annotations

import decimal

import numpy as np
import oracles
import pytest

from subsetgrad import soft_top_k

INF = np.inf
ROWS = {
    "ordinary": [0.3, -1.2, 2.0, 0.1],
    "equal": [1.0, 1.0, 1.0, 1.0],
    "spread": [-100.0, 0.0, 40.0, 100.0],
    "shifted": [1000.3, 998.8, 1002.0, 1000.1],
    "one impossible": [0.3, -INF, 2.0, 0.1],
    "one possible": [-INF, -INF, 2.0, -INF],
    "one item": [0.7],
}
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def value_and_gradient(ops, function, row, weights):
    """Returns function(row), and the gradient of Σ weights · function over its finite entries."""
    xp, w = ops.xp, ops.asarray(weights)

    def total(x):
        value = function(ops, x)
        finite = xp.isfinite(value)
        return xp.sum(xp.where(finite, w * xp.where(finite, value, 0.0), 0.0)), value

    (_, value), gradient = ops.value_and_grad(total, has_aux=True)(ops.asarray(row))
    return np.asarray(value), np.asarray(gradient)


def exact(name, row):
    """Returns the values by definition, in 150-digit arithmetic."""
    with decimal.localcontext() as context:
        context.prec = 150
        weights = [decimal.Decimal(float(x)).exp() if np.isfinite(x) else decimal.Decimal(0) for x in row]
        total = sum(weights)
        if name == "softmax":
            values = [w / total for w in weights]
        elif name == "log_sum_exp":
            values = [total.ln()]
        else:
            rests = [sum(weights[:i] + weights[i + 1 :]) for i in range(len(weights))]
            values = [(rest / total).ln() if rest else -INF for rest in rests]
        return np.array([float(value) for value in values])


NAMES = ["softmax", "log_sum_exp", "log_one_minus_softmax"]


@rows
@pytest.mark.parametrize("name", NAMES)
def test_values_are_those_of_the_definition(ops, name, row):
    value, _ = value_and_gradient(ops, getattr(soft_top_k, name), np.array(row), np.ones(1))
    np.testing.assert_allclose(value, exact(name, row), rtol=1e-12, atol=1e-300)


@rows
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_and_those_of_finite_differences(ops, name, row):
    row = np.array(row)
    possible = np.isfinite(row)
    weights = np.linspace(0.5, 2.0, 1 if name == "log_sum_exp" else len(row))
    function = getattr(soft_top_k, name)
    _, gradient = value_and_gradient(ops, function, row, weights)

    def total(values):
        full = row.copy()
        full[possible] = values
        value = exact(name, full)
        return float(np.sum((weights * np.where(np.isfinite(value), value, 0.0))[np.isfinite(value)]))

    assert np.all(np.isfinite(gradient)) and np.all(gradient[~possible] == 0)
    np.testing.assert_allclose(
        gradient[possible], oracles.finite_difference(total, row[possible]), rtol=1e-6, atol=1e-7
    )


def test_log_sum_exp_of_nothing_possible_is_minus_infinity_without_gradient(ops):
    value, gradient = value_and_gradient(ops, soft_top_k.log_sum_exp, np.full(3, -INF), np.ones(1))
    assert value == -INF and np.all(gradient == 0)


def test_gradient_flows_where_two_items_share_the_largest_logit(ops):
    """`log(1 − a)` uses different formulas for the two; values and gradients must be equal all the same."""
    row = np.array([1.5, 0.2, 1.5])
    value, gradient = value_and_gradient(ops, soft_top_k.log_one_minus_softmax, row, np.ones(3))
    assert value[0] == pytest.approx(value[2], rel=1e-14)
    assert gradient[0] == pytest.approx(gradient[2], rel=1e-12)


def float32_rows():
    rng = np.random.default_rng(0)
    shape = (50, 200)
    cases = [rng.normal(size=shape), 30 * rng.normal(size=shape), 1e-3 * rng.normal(size=shape), np.zeros(shape)]
    dominated = rng.normal(size=shape)
    dominated[:, 0] += np.linspace(0, 60, 50)  # up to where 1 − a underflows in float32, but log(1 − a) does not
    return np.concatenate([*cases, dominated]).astype(np.float32)


def test_log_one_minus_softmax_is_accurate_in_float32(ops32):
    """The relative error is small both where the value is small and where one item dominates."""
    rows32 = float32_rows()
    x = rows32.astype(float)
    log_total = np.logaddexp.reduce(x, axis=-1, keepdims=True)
    a = np.exp(x - log_total)
    expected = np.log1p(-np.minimum(a, 0.5))
    for row, item in zip(*np.nonzero(a > 0.5), strict=True):
        expected[row, item] = np.logaddexp.reduce(np.delete(x[row], item)) - log_total[row, 0]
    actual = np.asarray(soft_top_k.log_one_minus_softmax(ops32, ops32.asarray(rows32)))
    assert actual.dtype == np.float32
    normal = np.abs(expected) > 1e-30
    error = np.max(np.abs(actual - expected)[normal] / np.abs(expected)[normal])
    assert error < 1e-5, f"relative error {error:.2g}"
    # Wrong twins: 1 − a by subtraction, and log(1 − a) of the largest item as a difference of logarithms everywhere.
    a32 = a.astype(np.float32)
    with np.errstate(divide="ignore"):
        subtracted = np.log(np.float32(1) - a32)
    assert np.max(np.abs(subtracted - expected)[normal] / np.abs(expected)[normal]) > 0.05
    item = np.argmax(x, axis=-1)[:, None]
    others = np.where(np.arange(200) == item, -np.inf, x)
    difference = np.logaddexp.reduce(others, axis=-1).astype(np.float32) - log_total[:, 0].astype(np.float32)
    of_largest = np.take_along_axis(expected, item, axis=-1)[:, 0]
    assert np.max(np.abs(difference - of_largest) / np.abs(of_largest)) > 5e-5


@pytest.mark.parametrize("k", [0, 1, 3, 4])
def test_soft_top_k_sums_to_k_and_never_takes_an_impossible_item(ops, k):
    x = ops.asarray(np.array([[0.3, -1.2, 2.0, 0.1], [0.3, -1.2, 2.0, 0.1]]))
    y = np.asarray(soft_top_k.soft_top_k(ops, x, k, 0.5, 1e-30))
    np.testing.assert_allclose(y.sum(axis=-1), k, atol=1e-12)
    if k < 4:
        x = ops.asarray(np.array([[0.3, -1.2, -INF, 0.1]]))
        y = np.asarray(soft_top_k.soft_top_k(ops, x, k, 0.5, 1e-30))
        np.testing.assert_allclose(y.sum(axis=-1), k, atol=1e-12)
        assert np.all(y[:, 2] == 0)


def test_softmax_and_log_sum_exp_are_accurate_in_float32(ops32):
    rows32 = float32_rows()
    x = rows32.astype(float)
    log_total = np.logaddexp.reduce(x, axis=-1, keepdims=True)
    probability = np.asarray(soft_top_k.softmax(ops32, ops32.asarray(rows32)), float)
    np.testing.assert_allclose(probability, np.exp(x - log_total), rtol=2e-5, atol=1e-36)
    total = np.asarray(soft_top_k.log_sum_exp(ops32, ops32.asarray(rows32)), float)
    np.testing.assert_allclose(total, log_total, rtol=1e-6, atol=1e-6)
