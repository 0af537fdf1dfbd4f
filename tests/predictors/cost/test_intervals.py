"""Intervals cover what they say: synthetic noise of every size, and rows of a real machine."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from predictors import LatencyPredictor, genes_and_heads, half_width, half_widths, read_rows
from search_spaces import encode, get_space


def covered(interval: tuple[np.ndarray, np.ndarray], y: np.ndarray) -> float:
    return float(np.mean((interval[0] <= y) & (y <= interval[1])))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_a_half_width_is_the_conformal_quantile(coverage: float) -> None:
    errors = np.random.default_rng(0).normal(size=59)
    rank = int(np.ceil(round(60 * coverage, 9)))  # of 59 errors and the one to come
    found = half_width(half_widths(errors, np.arange(59)), coverage)
    assert found == np.sort(np.abs(errors))[rank - 1]


def test_a_subnet_counts_once_however_many_rows_it_has() -> None:
    groups = np.repeat(np.arange(19), np.arange(1, 20))
    errors = groups.astype(float)
    alone = half_widths(np.arange(19.0), np.arange(19))
    np.testing.assert_array_equal(half_widths(errors, groups), alone)


def test_too_few_subnets_give_infinite_intervals() -> None:
    assert half_width(half_widths(np.ones(9), np.arange(9)), 0.9) == 1
    assert half_width(half_widths(np.ones(8), np.arange(8)), 0.9) == np.inf
    assert half_width(half_widths(np.ones(80), np.repeat(np.arange(8), 10)), 0.9) == np.inf


@pytest.mark.parametrize("coverage", [0, -1, 0.995, 1, float("nan")])
def test_a_coverage_that_cannot_be_given(coverage: float) -> None:
    with pytest.raises(ValueError, match=r"coverage must lie above 0 and be at most 0\.99, got"):
        half_width(half_widths(np.ones(9), np.arange(9)), coverage)


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_rows_of_uneven_noise_are_covered(coverage: float) -> None:
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.uniform(1, 9, (900, 3))
        y = (X[:, 0] * X[:, 1] + X[:, 2]) * np.exp(rng.normal(0, 0.02 * X[:, 0]))
        fitted = LatencyPredictor(n_estimators=60).fit(X[:200], y[:200])
        found.append(covered(fitted.predict_interval(X[200:], coverage), y[200:]))
    assert np.mean(found) == pytest.approx(coverage, abs=0.04)


def test_new_subnets_are_covered_where_rows_of_one_share_their_error() -> None:
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        subnet = np.repeat(np.arange(300), 5)
        X = np.column_stack([rng.uniform(1, 9, (300, 2))[subnet], rng.integers(1, 5, 1500)])
        y = (X @ [1.0, 2.0, 0.5]) * np.exp(rng.normal(0, 0.1, 300)[subnet])
        train = subnet < 60
        fitted = LatencyPredictor(n_estimators=60).fit(X[train], y[train], subnet[train])
        found.append(covered(fitted.predict_interval(X[~train]), y[~train]))
    assert np.mean(found) == pytest.approx(0.9, abs=0.04)


def test_held_out_subnets_of_a_real_machine_are_covered() -> None:
    space = get_space("resnet-cifar")
    rows = read_rows(str(files("nas.devices") / "proxies" / "resnet-cifar-host.csv"), space)
    X, y = encode(space, *genes_and_heads(rows, space)), rows["latency_ms"].to_numpy()
    subnets = rows["subnet"].to_numpy(str)
    found, small = [], []
    for seed in range(3):
        names = np.random.default_rng(seed).permutation(np.unique(subnets))
        train = np.isin(subnets, names[:120])
        fitted = LatencyPredictor().fit(X[train], y[train], subnets[train])
        interval = fitted.predict_interval(X[~train])
        found.append(covered(interval, y[~train]))
        below = y[~train] < np.median(y)
        small.append(covered((interval[0][below], interval[1][below]), y[~train][below]))
        assert np.median(interval[1] / interval[0]) < 1.15  # +-7 %: narrow enough to be of use
    assert np.mean(found) == pytest.approx(0.9, abs=0.04)
    assert np.mean(small) == pytest.approx(0.9, abs=0.08)  # small programs alone are covered too
