"""Which part counts how much."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictors import TransferPredictor
from predictors.transfer.mixture import shares_of, stacked
from tests.predictors.transfer.world import PROXIES, prior_of, world


@pytest.mark.parametrize("good", [0, 1, 2])
def test_what_predicts_left_out_rows_better_counts_more(good: int) -> None:
    X, y = world(11)
    prior = prior_of(11)
    part = TransferPredictor(PROXIES, prior=prior).fit(X[:40], y[:40]).costs_
    errors = part.left_out(None) + np.random.default_rng(0).normal(0, 1, (3, 40))
    errors[good] = part.left_out(None)
    shares = shares_of(errors, (0.4, 0.4, 0.2), None)
    assert shares.sum() == pytest.approx(1)
    assert shares[good] > 0.9
    alike = [errors[good]] * 3
    assert_allclose(shares_of(alike, (0.4, 0.4, 0.2), None), [0.4, 0.4, 0.2], atol=1e-6)
    mixed = stacked([part] * 3, shares)
    assert_allclose(mixed.weights.reshape(3, -1).sum(axis=1), shares)
