"""The work law against a general solver, and what it says of work that no row has."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from predictors.cost.work import WorkLaw


def rows(seed: int, n: int = 60) -> np.ndarray:
    """MACs, bytes and kernels, of very different sizes."""
    return np.random.default_rng(seed).lognormal(size=(n, 3)) * [1e3, 1.0, 1e-3]


def cost(law: WorkLaw, work: np.ndarray) -> np.ndarray:
    return np.exp(law.log_cost(work))


@given(st.lists(st.floats(0, 1e3), min_size=3, max_size=3), st.floats(0.1, 10))
def test_constants_come_back_from_rows_without_noise(rates: list[float], fixed: float) -> None:
    law = WorkLaw.fit(rows(0), fixed + rows(0) @ rates)
    np.testing.assert_allclose(cost(law, rows(1)), fixed + rows(1) @ rates, rtol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_least_relative_error_with_no_negative_constant(seed: int) -> None:
    rng = np.random.default_rng(seed)
    work = rows(seed)
    y = (1 + work @ [1e-3, -0.2, 1e2]).clip(0.1) * rng.lognormal(0, 0.1, len(work))
    A = np.column_stack([work, np.ones(len(work))]) / y[:, None]
    reference = lsq_linear(A, np.ones(len(work)), (0, np.inf), method="bvls").x
    np.testing.assert_allclose(WorkLaw.fit(work, y).weights, reference, rtol=1e-6, atol=1e-9)
    assert reference[1] == 0  # the fit would like it to be negative


def test_work_that_no_row_has_costs_nothing() -> None:
    work = rows(0)
    work[:, 1] = 0
    assert WorkLaw.fit(work, work[:, 0]).weights[1] == 0


def test_no_cost_is_zero() -> None:
    work = rows(0)[:, :1]
    law = WorkLaw.fit(work, work[:, 0])
    assert cost(law, np.zeros((1, 1)))[0] == pytest.approx(work.min() / 10)
