"""Rank correlations against scipy, one group and one resample at a time."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictors import kendall_tau, mape_pct, srcc, srcc_within, srcc_within_interval
from search_spaces import InputError

RNG = np.random.default_rng(0)
LEVEL = np.tile([0, 1, 2], 8)
SUBNET = np.repeat(list("abcdefgh"), 3)
Y = np.exp(RNG.normal(size=24))
NOISY = Y * np.exp(0.5 * RNG.normal(size=24))


def test_mape_is_in_percent_of_the_truth() -> None:
    assert mape_pct([1, 2], [1.1, 1.6]) == pytest.approx(15)


def test_constants_have_no_rank() -> None:
    assert np.isnan(srcc([1, 1], [1, 2]))
    assert np.isnan(srcc_within([1, 1, 1], [1, 2, 3], [0, 0, 0]))
    assert kendall_tau([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3)


def test_srcc_within_is_the_mean_over_groups_that_vary() -> None:
    levels = [g == LEVEL for g in range(3)]
    expected = np.mean([spearmanr(Y[rows], NOISY[rows]).statistic for rows in levels])
    assert srcc_within(Y, NOISY, LEVEL) == pytest.approx(expected)
    with_single = srcc_within(np.append(Y, 1), np.append(NOISY, 1), np.append(LEVEL, 3))
    assert with_single == pytest.approx(expected)


def test_two_near_equal_programs_at_another_level_do_not_outweigh_ten() -> None:
    y, predicted = (
        np.append(np.arange(1.0, 11), [1, 1.02]),
        np.append(np.arange(1.0, 11), [1.02, 1]),
    )
    level, subnet = np.append(np.zeros(10), [1, 1]), np.append(np.arange(10), [10, 11])
    ranks = [spearmanr(y[level == g], predicted[level == g]).statistic for g in (0, 1)]
    assert srcc_within(y, predicted, level) == pytest.approx(0.9 * ranks[0] + 0.1 * ranks[1])
    assert srcc_within_interval(y, predicted, level, subnet)[0] > 0.79


def test_the_clock_alone_ranks_nothing() -> None:
    clock = np.array([9.0, 3.0, 1.0])[LEVEL]
    assert srcc(Y * clock**3, clock) > 0.8
    assert np.isnan(srcc_within(Y * clock, clock, LEVEL))


def test_the_interval_is_the_bootstrap_done_slowly() -> None:
    subnet = np.unique(SUBNET, return_inverse=True)[1]
    draws = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=200)
    means = []
    for draw in draws:
        rows = np.repeat(np.arange(24), draw[subnet])
        groups = [rows[LEVEL[rows] == g] for g in range(3)]
        if all(np.ptp(Y[g]) > 0 and np.ptp(NOISY[g]) > 0 for g in groups):
            means.append(np.mean([spearmanr(Y[g], NOISY[g]).statistic for g in groups]))
    expected = tuple(np.percentile(means, [5, 95]))
    found = srcc_within_interval(Y, NOISY, LEVEL, SUBNET, n_resamples=200)
    assert found == pytest.approx(expected)


def test_a_level_with_one_row_does_not_void_the_interval() -> None:
    rows = [np.append(a, b) for a, b in ((Y, 1), (NOISY, 1), (LEVEL, 3))]
    assert np.isfinite(srcc_within_interval(*rows, np.append(SUBNET, "a"))).all()
    assert np.isnan(srcc_within_interval([1, 2], [1, 2], [0, 1], ["a", "b"])).all()


def test_a_thousand_resamples_take_a_moment() -> None:
    start = time.process_time()
    srcc_within_interval(Y, NOISY, LEVEL, SUBNET)
    assert time.process_time() - start < 0.2


@pytest.mark.parametrize("metric", [mape_pct, srcc, kendall_tau])
def test_values_that_do_not_pair_up_are_refused(metric) -> None:
    """A column beside a row would be all pairs, without a word."""
    y = np.arange(1.0, 9.0)
    for other in (y[:, None], y[:3]):
        with pytest.raises(InputError, match=r"one or more, \(n,\) alike, got \(8,\) and \("):
            metric(y, other)
    with pytest.raises(InputError, match=r"alike, got \(0,\) and \(0,\)"):
        metric([], [])
