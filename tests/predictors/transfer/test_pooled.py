"""Transfer from several proxies: what few rows may and may not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import spearmanr
from sklearn.utils.estimator_checks import parametrize_with_checks

from predictors import (
    ArtifactError,
    TransferPredictor,
    choose_rows,
    learn_prior,
    load_transfer,
    mape_pct,
    save_transfer,
)
from predictors.transfer.posterior import Link
from search_spaces import encode, get_space
from tests.predictors.transfer.world import N_FEATURES, N_PROXIES, PROXIES, prior_of, world


@parametrize_with_checks([TransferPredictor()])
def test_it_is_a_scikit_learn_regressor(estimator, check) -> None:
    check(estimator)


def test_ten_rows_beat_the_best_proxy_and_a_fit_from_scratch() -> None:
    ranks = []
    for seed in range(3):
        X, y = world(seed)
        prior = prior_of(seed)
        rows = choose_rows(prior, X, 10)
        rest = np.setdiff1d(np.arange(len(X)), rows)
        predicted = TransferPredictor(PROXIES, prior=prior).fit(X[rows], y[rows]).predict(X[rest])
        features = X[:, :N_FEATURES]
        scratch = TransferPredictor().fit(features[rows], y[rows]).predict(features[rest])
        three = predicted, scratch, X[rest][:, PROXIES].mean(axis=1)
        ranks.append([spearmanr(p, y[rest]).statistic for p in three])
        assert ranks[-1][0] > max(0.97, ranks[-1][1])
    ours, _, mean = np.mean(ranks, axis=0)
    assert ours > mean - 0.005


def test_more_rows_make_it_better_on_average() -> None:
    error = []
    for k in (3, 10, 40):
        gaps = []
        for seed in range(3):
            X, y = world(seed)
            fitted = TransferPredictor(PROXIES, prior=prior_of(seed))
            rows = np.random.default_rng(seed).choice(len(X), k, replace=False)
            predicted = fitted.fit(X[rows], y[rows]).predict(X)
            gaps.append(np.abs(np.log(predicted / y)).mean())
        error.append(np.mean(gaps))
    assert error == sorted(error, reverse=True)


class Oracle:
    """A target whose costs can only be had one row at a time; it counts them."""

    def __init__(self, cost: np.ndarray) -> None:
        self._cost, self.read = cost, set[int]()

    def measure(self, row: int) -> float:
        self.read.add(row)
        return float(self._cost[row])


@pytest.mark.parametrize("k", [1, 10, 40])
def test_no_cost_is_read_but_those_of_the_chosen_rows(k: int) -> None:
    X, y = world(5)
    oracle = Oracle(y)
    prior = prior_of(5)
    rows = choose_rows(prior, X, k)
    fitted = TransferPredictor(PROXIES, prior=prior)
    fitted.fit(X[rows], [oracle.measure(row) for row in rows.tolist()])
    assert np.isfinite(fitted.predict(X)).all()
    assert np.isfinite(fitted.predict_interval(X)).all()
    assert oracle.read == set(rows.tolist())


def test_a_twin_among_the_proxies_is_found() -> None:
    X, _ = world(6)
    unlike = 1 + X[:, 0] ** 2  # a device that no mean of the others explains
    X[:, PROXIES[4]] = np.log(unlike)
    rng = np.random.default_rng(0)
    cost = 3 * unlike * np.exp(rng.normal(0, 0.01, len(X)))
    prior = learn_prior(X, proxy_columns=PROXIES)
    rows = rng.choice(len(X), 8, replace=False)
    fitted = TransferPredictor(PROXIES, prior=prior).fit(X[rows], cost[rows])
    assert mape_pct(cost, fitted.predict(X)) < 3
    bases = [p.hypothesis.base for p in fitted.mixture_.posteriors]
    assert fitted.mixture_.weights[[base == 4 for base in bases]].sum() > 0.95


def test_proxies_alone_rank_a_device_of_their_kind_and_no_other() -> None:
    X, y = world(12)
    rows = choose_rows(prior := prior_of(12), X, 30)
    fitted = TransferPredictor(PROXIES, prior=prior).fit(X[rows], y[rows])
    assert spearmanr(fitted.proxies_alone(), y[rows]).statistic > 0.9
    assert fitted.line_shares().sum() < 1  # costs count too
    f = X[:, :N_FEATURES]
    unlike = np.exp(0.3 * (f[:, 0] - f[:, 1] + f[:, 3] - f[:, 4]))
    fitted.fit(X[rows], unlike[rows])
    assert spearmanr(fitted.proxies_alone(), unlike[rows]).statistic < 0.6
    assert spearmanr(fitted.predict(X), unlike).statistic > 0.95  # from its own rows


def test_noise_of_proxies_costs_little_where_the_target_is_linear() -> None:
    gaps = []
    for seed in range(2):
        X, _ = world(seed)
        rng = np.random.default_rng(seed)
        cost = np.exp(X[:, :N_FEATURES] @ rng.uniform(0.05, 0.15, N_FEATURES))
        noisy = X.copy()
        noisy[:, PROXIES] += rng.normal(0, 0.2, (len(X), N_PROXIES))
        prior = learn_prior(noisy, proxy_columns=PROXIES)
        rows = choose_rows(prior, noisy, 12)
        fitted = TransferPredictor(PROXIES, prior=prior).fit(noisy[rows], cost[rows])
        design = fitted._design(noisy)
        alone = fitted.costs_.mean(design, Link(fitted.design_, design))
        ours = spearmanr(fitted.predict(noisy), cost).statistic
        gaps.append(ours - spearmanr(alone, cost).statistic)
    assert np.mean(gaps) > 0.01


def test_a_device_on_which_all_programs_cost_nearly_the_same_is_a_flat_line() -> None:
    X, _ = world(13)
    prior = prior_of(13)
    weights = np.linspace(0.02, 0.04, N_FEATURES)
    cost = np.exp(0.2 * (X[:, PROXIES[1]] + X[:, :N_FEATURES] @ weights))
    rows = choose_rows(prior, X, 12)
    fitted = TransferPredictor(PROXIES, prior=prior).fit(X[rows], cost[rows])
    lines = fitted.parts_[1]
    flat = np.array([p.hypothesis.scale < 1 for p in lines.posteriors])
    assert lines.weights[flat].sum() > 0.9
    assert spearmanr(fitted.predict(X), cost).statistic > 0.9


def test_one_proxy_alone_is_a_rising_map_whatever_the_rows_say() -> None:
    h = np.linspace(0, 2, 50)[:, None]
    sound = TransferPredictor((0,)).fit(h[::10], 3 * np.exp(0.8 * h[::10, 0]))
    assert_allclose(sound.predict(h), 3 * np.exp(0.8 * h[:, 0]), rtol=0.05)
    against = TransferPredictor((0,)).fit(h[::10], 3 * np.exp(-0.8 * h[::10, 0]))
    assert (np.diff(sound.predict(h)) > 0).all()
    assert (np.diff(against.predict(h)) > 0).all()


def test_a_row_that_is_ten_times_too_large_changes_little() -> None:
    X, y = world(0)
    prior = prior_of(0)
    rows = choose_rows(prior, X, 20)
    clean = TransferPredictor(PROXIES, prior=prior).fit(X[rows], y[rows]).predict(X)
    wrong = y[rows].copy()
    wrong[7] *= 10
    dirty = TransferPredictor(PROXIES, prior=prior).fit(X[rows], wrong).predict(X)
    assert np.abs(np.log(dirty / clean)).mean() < 0.02


@pytest.mark.parametrize("k", [1, 2])
def test_one_or_two_rows_fix_the_scale(k: int) -> None:
    X, y = world(1)
    prior = prior_of(1)
    predicted = TransferPredictor(PROXIES, prior=prior).fit(X[:k], y[:k]).predict(X)
    assert np.median(np.abs(np.log(predicted / y))) < 0.25


def test_a_feature_far_outside_the_rows_does_not_explode() -> None:
    X, y = world(8)
    X[:10, 2] = 1 + 1e-9 * np.arange(10)  # hardly varies among the rows that are known
    predicted = TransferPredictor(PROXIES).fit(X[:10], y[:10]).predict(X)
    assert mape_pct(y, predicted) < 30


def test_ties_and_constant_columns_are_harmless() -> None:
    X, y = world(2)
    X[:, 0], X[:, PROXIES[3]] = 1.0, 0.0
    fitted = TransferPredictor(PROXIES, prior=learn_prior(X, proxy_columns=PROXIES))
    predicted = fitted.fit(X[:20], np.ceil(y[:20])).predict(X)
    assert np.isfinite(predicted).all()
    assert spearmanr(predicted, y).statistic > 0.9


def test_clocks_scale_the_cost() -> None:
    X, y = world(3, n=60)
    rng = np.random.default_rng(0)
    mhz = rng.choice([300.0, 600.0, 1200.0], len(X))
    cost = y * (mhz / 600) ** -0.8
    both = np.column_stack([X, mhz])
    prior = learn_prior(X, proxy_columns=PROXIES)
    fitted = TransferPredictor(PROXIES, (both.shape[1] - 1,), prior=prior).fit(both[:30], cost[:30])
    both[:, -1] = 900
    at_900 = fitted.predict(both) / (y * 1.5**-0.8)
    assert np.median(np.abs(np.log(at_900))) < 0.05


def test_repeated_rows_of_a_subnet_count_less_than_rows_of_others() -> None:
    X, y = world(4)
    named = np.column_stack([X, np.arange(len(X))])
    prior = prior_of(4)
    rows = [0, 1, 2, 3, 3, 3, 3, 3, 3]
    off = y[rows] * np.where(np.array(rows) == 3, 1.3, 1)
    moved = []
    for group in (None, X.shape[1]):
        fitted = TransferPredictor(PROXIES, group_column=group, prior=prior)
        moved.append(
            np.abs(np.log(fitted.fit(named[rows], off).predict(named[50:]) / y[50:])).mean()
        )
    assert moved[1] < moved[0]


def test_a_saved_transfer_predicts_the_same_and_names_its_proxies(tmp_path: Path) -> None:
    space = get_space("resnet-digits")
    rng = np.random.default_rng(0)
    features = encode(space, space.sample(200, rng), np.ones((1, space.n_exits + 1), dtype=bool))
    size = np.log(features[:, -1] + 1)
    X = np.column_stack([features, size, size**2 + rng.normal(0, 0.01, len(size)), size])
    columns = tuple(range(features.shape[1], X.shape[1]))
    prior = learn_prior(X, proxy_columns=columns)
    fitted = TransferPredictor(columns, prior=prior).fit(X[:9], np.exp(size[:9]))
    save_transfer(fitted, tmp_path, space, "latency_ms", ["a", "b", "c"], device="board")
    loaded, names = load_transfer(tmp_path, "latency_ms", space)
    assert names == ["a", "b", "c"]
    assert_allclose(loaded.predict(X), fitted.predict(X), rtol=1e-9)
    with pytest.raises(ArtifactError, match="is for space resnet-digits, asked resnet-cifar"):
        load_transfer(tmp_path, "latency_ms", get_space("resnet-cifar"))
    tensors = tmp_path / "transfer_latency_ms.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\1")
    with pytest.raises(ArtifactError, match=r"safetensors differs from its checksum"):
        load_transfer(tmp_path, "latency_ms", space)
    with pytest.raises(ValueError, match="3 proxy columns, 1 names"):
        save_transfer(fitted, tmp_path, space, "latency_ms", ["a"])


def test_costs_must_be_positive_and_intervals_need_proxies() -> None:
    X, y = world(0)
    with pytest.raises(ValueError, match="costs must be positive, got a minimum of -1"):
        TransferPredictor(PROXIES).fit(X[:5], [1, 2, 3, -1, 2])
    with pytest.raises(ValueError, match="intervals need proxy_columns"):
        TransferPredictor().fit(X, y).predict_interval(X)
