"""Transfer from several proxies: what few rows may and may not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_t, spearmanr
from sklearn.utils.estimator_checks import parametrize_with_checks

from predictors import (
    ArtifactError,
    TransferPredictor,
    choose_rows,
    learn_prior,
    load_transfer,
    mape_pct,
    save_transfer,
    zero_shot,
)
from predictors.transfer.hypotheses import around, of_costs, of_lines, of_nobody
from predictors.transfer.mixture import shares_of, stacked
from predictors.transfer.posterior import Link, Posterior
from predictors.transfer.prior import FREEDOM, Game, covariance, log_likelihood, loss_of, parts
from search_spaces import encode, get_space

N_FEATURES, N_PROXIES = 6, 8
PROXIES = tuple(range(N_FEATURES, N_FEATURES + N_PROXIES))


def world(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """X [features | log cost on 8 proxies] and the cost on a target of the same kind.

    A device pays for work and for launches, in a proportion of its own.
    """
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 4, (n, N_FEATURES)).astype(float)
    work, launches = features[:, :3].sum(axis=1) + 2, features[:, 3:].sum(axis=1) + 2
    share = rng.uniform(0, 1, N_PROXIES + 1)
    cost = work[:, None] * share + launches[:, None] * (1 - share)
    cost = cost**0.7 * np.exp(rng.normal(0, 0.02, cost.shape)) * rng.uniform(1, 9, N_PROXIES + 1)
    return np.column_stack([features, np.log(cost[:, 1:])]), cost[:, 0]


@parametrize_with_checks([TransferPredictor()])
def test_it_is_a_scikit_learn_regressor(estimator, check) -> None:
    check(estimator)


def test_ten_rows_beat_the_best_proxy_and_a_fit_from_scratch() -> None:
    ranks = []
    for seed in range(3):
        X, y = world(seed)
        prior = learn_prior(X, proxy_columns=PROXIES)
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
            fitted = TransferPredictor(PROXIES, prior=learn_prior(X, proxy_columns=PROXIES))
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
    prior = learn_prior(X, proxy_columns=PROXIES)
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


def test_variance_of_rows_is_the_diagonal_of_their_covariance() -> None:
    X, y = world(7, n=30)
    X = np.column_stack([X, np.arange(len(X)), np.linspace(300, 900, len(X))])
    prior = learn_prior(X, proxy_columns=PROXIES)
    clock, group = (X.shape[1] - 1,), X.shape[1] - 2
    fitted = TransferPredictor(PROXIES, clock, group, prior=prior).fit(X[:9], y[:9])
    design = fitted._design(X)
    link = Link(design, design)
    hypotheses = of_costs(prior, twins=True) + of_lines(prior) + around(of_nobody(prior))
    for h in hypotheses[::7]:
        own = np.diag(link.covariance(h)) + design.noise_share() * np.exp(h.theta[-1])
        assert_allclose(design.variance(h), own, rtol=1e-9)


@pytest.mark.parametrize("grouped", [False, True])
def test_left_out_rows_are_those_of_a_fit_without_them(grouped: bool) -> None:
    X, y = world(10, n=12)
    rows = X if not grouped else np.column_stack([X, np.arange(len(X)) // 3])
    prior = learn_prior(world(10)[0], proxy_columns=PROXIES)
    fitted = TransferPredictor(PROXIES, group_column=X.shape[1] if grouped else None, prior=prior)
    fitted.fit(rows, y)
    names = rows[:, -1] if grouped else np.arange(len(X))
    for p in fitted.mixture_.posteriors[:1] + fitted.mixture_.posteriors[-1:]:
        found = p.left_out(names if grouped else None)
        for name in np.unique(names):
            out = names == name
            seen, asked = fitted._design(rows[~out]), fitted._design(rows[out])
            alone = Posterior.of(p.hypothesis, seen, Link(seen, seen), np.log(y[~out]))
            expected = np.log(y[out]) - alone.mean(asked, Link(seen, asked))
            assert_allclose(found[out], expected, atol=2e-3)  # medians of other rows


@pytest.mark.parametrize("good", [0, 1, 2])
def test_what_predicts_left_out_rows_better_counts_more(good: int) -> None:
    X, y = world(11)
    prior = learn_prior(X, proxy_columns=PROXIES)
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


def test_proxies_alone_rank_a_device_of_their_kind_and_no_other() -> None:
    X, y = world(12)
    rows = choose_rows(prior := learn_prior(X, proxy_columns=PROXIES), X, 30)
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
    prior = learn_prior(X, proxy_columns=PROXIES)
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
    prior = learn_prior(X, proxy_columns=PROXIES)
    rows = choose_rows(prior, X, 20)
    clean = TransferPredictor(PROXIES, prior=prior).fit(X[rows], y[rows]).predict(X)
    wrong = y[rows].copy()
    wrong[7] *= 10
    dirty = TransferPredictor(PROXIES, prior=prior).fit(X[rows], wrong).predict(X)
    assert np.abs(np.log(dirty / clean)).mean() < 0.02


@pytest.mark.parametrize("k", [1, 2])
def test_one_or_two_rows_fix_the_scale(k: int) -> None:
    X, y = world(1)
    prior = learn_prior(X, proxy_columns=PROXIES)
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


def test_intervals_cover_what_they_promise() -> None:
    inside: dict[float, list[float]] = {0.5: [], 0.9: []}
    for seed in range(3):
        X, y = world(seed)
        prior = learn_prior(X, proxy_columns=PROXIES)
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
        prior = learn_prior(X, proxy_columns=PROXIES)
        fitted = TransferPredictor(PROXIES, prior=prior).fit(X[rows], y[rows])
        low, high = fitted.predict_interval(X[rest])
        inside.append(np.mean((low <= y[rest]) & (y[rest] <= high)))
    assert np.mean(inside) > 0.8  # 0.74 with the variances that explain the rows best


def test_widening_is_of_the_last_fit_and_no_subnet_is_on_both_sides() -> None:
    X, y = world(9)
    prior = learn_prior(X, proxy_columns=PROXIES)
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
    prior = learn_prior(X, proxy_columns=PROXIES)
    rows = [0, 1, 2, 3, 3, 3, 3, 3, 3]
    off = y[rows] * np.where(np.array(rows) == 3, 1.3, 1)
    moved = []
    for group in (None, X.shape[1]):
        fitted = TransferPredictor(PROXIES, group_column=group, prior=prior)
        moved.append(
            np.abs(np.log(fitted.fit(named[rows], off).predict(named[50:]) / y[50:])).mean()
        )
    assert moved[1] < moved[0]


def test_a_pool_with_a_gap_is_refused_by_row_and_column() -> None:
    X, _ = world(0)
    X[5, PROXIES[2]] = np.nan
    with pytest.raises(ValueError, match="row 5, column 8 of the pool is nan; predict what"):
        learn_prior(X, proxy_columns=PROXIES)


def test_likelihood_is_that_of_a_multivariate_t() -> None:
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5, 5))
    K = A @ A.T + np.eye(5)
    a, b = rng.normal(size=(2, 5))
    theirs = multivariate_t(shape=K, df=FREEDOM)
    lower = np.linalg.cholesky(K)
    ours = [log_likelihood(lower, float(r @ np.linalg.solve(K, r))) for r in (a, b)]
    assert ours[0] - ours[1] == pytest.approx(theirs.logpdf(a) - theirs.logpdf(b))


def test_gradient_of_the_learning() -> None:
    X, _ = world(0, n=40)
    prior = learn_prior(X, proxy_columns=PROXIES)
    rows = prior.rows(X[:12])
    r = np.random.default_rng(1).normal(size=12)
    game = Game(*parts(rows, rows), r, np.eye(12), np.zeros(()))
    theta = prior.usual()
    step = 1e-4 * np.eye(len(theta))
    slopes = [(loss_of(theta + d, game)[0] - loss_of(theta - d, game)[0]) / 2e-4 for d in step]
    assert_allclose(loss_of(theta, game)[1], slopes, rtol=1e-4, atol=1e-6)


def test_covariance_is_symmetric_and_positive() -> None:
    X, _ = world(0)
    prior = learn_prior(X, proxy_columns=PROXIES)
    rows = prior.rows(X)
    K = covariance(prior.candidates[0], *parts(rows, rows))
    assert_allclose(K, K.T, atol=1e-9)
    assert np.linalg.eigvalsh(K).min() > -1e-8


def test_choosing_reads_no_cost_and_names_distinct_rows() -> None:
    X, _ = world(0)
    prior = learn_prior(X, proxy_columns=PROXIES)
    rows = choose_rows(prior, X, 30)
    assert len(set(rows.tolist())) == 30
    assert (rows[:10] == choose_rows(prior, X, 10)).all()  # a longer list goes on where one ended
    with pytest.raises(ValueError, match="5 rows were asked for, there are 3 candidates"):
        choose_rows(prior, X[:3], 5)


def test_zero_rows_follow_the_device_that_is_most_alike() -> None:
    X, _ = world(0)
    logs = X[:, PROXIES]
    descriptions = np.arange(N_PROXIES)[:, None] * 10.0
    predicted = zero_shot(logs, descriptions, [30.0], length=0.05)
    assert_allclose(np.log(predicted), logs[:, 3], rtol=1e-6)
    with pytest.raises(ValueError, match=r"need descriptions of shape \(8, 2\), got \(8, 1\)"):
        zero_shot(logs, descriptions, [1.0, 2.0])


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
