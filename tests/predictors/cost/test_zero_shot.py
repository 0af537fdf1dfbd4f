"""Costs on a device of which nothing was measured."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from predictors import zero_shot
from tests.predictors.transfer.world import N_PROXIES, PROXIES, world


def test_zero_rows_follow_the_device_that_is_most_alike() -> None:
    X, _ = world(0)
    logs = X[:, PROXIES]
    descriptions = np.arange(N_PROXIES)[:, None] * 10.0
    predicted = zero_shot(logs, descriptions, [30.0], length=0.05)
    assert_allclose(np.log(predicted), logs[:, 3], rtol=1e-6)
    with pytest.raises(ValueError, match=r"need descriptions of shape \(8, 2\), got \(8, 1\)"):
        zero_shot(logs, descriptions, [1.0, 2.0])
