"""The interval of a transfer's errors, of few subnets and of many."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from predictors.transfer.report import error_interval


@pytest.mark.parametrize("n", [5, 8, 12])
@pytest.mark.parametrize("n_rows", [1, 3])
def test_the_interval_of_few_subnets_holds_nine_of_ten_others(n: int, n_rows: int) -> None:
    """Rows of a subnet share nearly all of their error; the outermost of 8 would hold 0.78."""
    rng, held = np.random.default_rng(0), []
    for _ in range(2000):
        *known, new = rng.normal(size=n + 1)
        errors = np.repeat(known, n_rows) + 0.1 * rng.normal(size=n * n_rows)
        low, high = error_interval(errors, np.repeat(np.arange(n), n_rows))
        held.append(low <= new <= high)
    assert 0.88 < np.mean(held) < 0.95


def test_rows_of_one_subnet_count_as_one() -> None:
    errors, subnets = np.array([0.1, -0.2, 0.3]), np.arange(3)
    half = t.ppf(0.95, 2) * np.sqrt(np.mean(errors**2) * (1 + 1 / 3))
    assert error_interval(errors, subnets) == pytest.approx((-half, half))
    n_rows = [1, 2, 50]
    again = error_interval(np.repeat(errors, n_rows), np.repeat(subnets, n_rows))
    assert again == pytest.approx((-half, half))


def test_many_subnets_show_their_tails() -> None:
    errors = np.append(np.zeros(22), [-0.1, 0.4])
    low, high = np.quantile(errors, [0.05, 0.95], method="weibull")
    assert error_interval(errors, np.arange(24)) == pytest.approx((low, high))
