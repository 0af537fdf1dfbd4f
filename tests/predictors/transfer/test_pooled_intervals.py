"""Intervals of transferred costs: what they cover, how they widen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictors import TransferPredictor
from tests.predictors.transfer.world import N_FEATURES, PROXIES, prior_of, world


def test_intervals_cover_what_they_promise() -> None:
    inside: dict[float, list[float]] = {0.5: [], 0.9: []}
    for seed in range(3):
        X, y = world(seed)
        prior = prior_of(seed)
        rows = np.random.default_rng(seed).choice(len(X), 20, replace=False)
        fitted = TransferPredictor(PROXIES, prior=prior).fit(X[rows], y[rows])
        for coverage, found in inside.items():
            low, high = fitted.predict_interval(X, coverage)
            assert (low < high).all()
            found.append(float(np.mean((low <= y) & (y <= high))))
    assert np.mean(inside[0.9]) > 0.9
    assert 0.5 < np.mean(inside[0.5]) < 0.9


@pytest.mark.parametrize("k", [10, 30])
def test_intervals_hold_on_a_device_that_is_like_no_proxy(k: int) -> None:
    inside = []
    for seed in range(3):
        X, _ = world(seed)
        f = X[:, :N_FEATURES]  # pays for pairs of features: no proxy does, no line explains it
        jump = 3 * (f[:, 1] > 1) * (f[:, 5] < 2)
        y = 1 + f[:, 0] * f[:, 4] + jump + np.abs(f[:, 2] - f[:, 3])
        rng = np.random.default_rng(seed)
        y = y * np.exp(rng.normal(0, 0.02, len(X)))
        order = rng.permutation(len(X))
        rows, rest = order[:k], order[k:]
        prior = prior_of(seed)
        fitted = TransferPredictor(PROXIES, prior=prior).fit(X[rows], y[rows])
        low, high = fitted.predict_interval(X[rest])
        inside.append(np.mean((low <= y[rest]) & (y[rest] <= high)))
    assert np.mean(inside) > 0.8  # 0.74 with the variances that explain the rows best


def test_widening_is_of_the_last_fit_and_no_subnet_is_on_both_sides() -> None:
    X, y = world(9)
    prior = prior_of(9)
    odd = y * np.exp(np.random.default_rng(0).normal(0, 0.5, len(y)))
    fitted = TransferPredictor(PROXIES, prior=prior).fit(X[:20], odd[:20])
    wide = np.divide(*fitted.predict_interval(X)[::-1])
    again = np.divide(*fitted.fit(X[:20], y[:20]).predict_interval(X)[::-1])
    fresh = TransferPredictor(PROXIES, prior=prior).fit(X[:20], y[:20])
    assert_allclose(again, np.divide(*fresh.predict_interval(X)[::-1]))
    assert np.median(again) < np.median(wide)
    named = np.column_stack([X, np.arange(len(X)) // 5])  # 20 rows of four subnets: no five folds
    few = TransferPredictor(PROXIES, group_column=X.shape[1], prior=prior)
    few.fit(named[:20], odd[:20]).predict_interval(named)
    assert few.widening_ == 1
