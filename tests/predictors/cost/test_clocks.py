"""Costs over clock grids, learned from a few settings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from predictors import ClockPredictor, mape_pct


@parametrize_with_checks([ClockPredictor()])
def test_it_is_a_scikit_learn_regressor(estimator, check) -> None:
    check(estimator)


def test_a_twentieth_of_a_grid_gives_the_rest() -> None:
    cpu, gpu, emc = np.linspace(300, 2200, 20), np.linspace(100, 1300, 14), [400, 800, 1600, 2100]
    X = np.array(list(product(cpu, gpu, emc)))
    c, g, e = X.T / 1e3
    rng = np.random.default_rng(0)
    t = ((0.4 / c) ** 3 + (0.5 / g) ** 3 + (0.1 / e + 0.1) ** 3) ** (1 / 3)
    t = t * np.exp(rng.normal(0, 0.01, len(t)))
    some = rng.choice(len(X), len(X) // 20, replace=False)
    rest = np.setdiff1d(np.arange(len(X)), some)
    predicted = ClockPredictor().fit(X[some], t[some]).predict(X[rest])
    assert mape_pct(t[rest], predicted) < 4


def test_negative_clocks_and_costs_are_refused() -> None:
    with pytest.raises(ValueError, match="clocks are in MHz, got -1"):
        ClockPredictor().fit([[-1.0], [1.0], [2.0]], [1, 2, 3])
    with pytest.raises(ValueError, match="costs must be positive, got a minimum of -1"):
        ClockPredictor().fit([[1.0], [2.0], [3.0]], [1, -1, 3])
