"""The work law against a general solver, and what it says of work that no row has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from predictors.work import FLOOR, fit_work_law


def rows(seed: int, n: int = 60) -> np.ndarray:
    """MACs, bytes and kernels, of very different sizes."""
    return np.random.default_rng(seed).lognormal(size=(n, 3)) * [1e3, 1.0, 1e-3]


@given(st.lists(st.floats(0, 1e3), min_size=3, max_size=3), st.floats(0.1, 10))
def test_constants_come_back_from_rows_without_noise(rates: list[float], fixed: float) -> None:
    cost = fixed + rows(0) @ rates
    law = fit_work_law(rows(0), cost)
    np.testing.assert_allclose(law.cost(rows(1)), fixed + rows(1) @ rates, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_least_relative_error_with_no_negative_constant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    work = rows(seed)
    cost = (1 + work @ [1e-3, -0.2, 1e2]).clip(0.1) * rng.lognormal(0, 0.1, len(work))
    A = np.column_stack([np.ones(len(work)), work]) / cost[:, None]
    reference = lsq_linear(A, np.ones(len(work)), (0, np.inf), method="bvls").x
    law = fit_work_law(work, cost)
    np.testing.assert_allclose([law.fixed, *law.rates], reference, rtol=1e-6, atol=1e-9)
    assert reference[2] == 0  # the fit would like it to be negative


def test_work_that_no_row_has_costs_nothing() -> None:
    work = rows(0)
    work[:, 1] = 0
    law = fit_work_law(work, work[:, 0])
    assert law.rates[1] == 0


def test_no_cost_is_zero() -> None:
    work = rows(0)[:, :1]
    law = fit_work_law(work, work[:, 0])
    assert law.cost(np.zeros((1, 1)))[0] == pytest.approx(FLOOR * work.min())
