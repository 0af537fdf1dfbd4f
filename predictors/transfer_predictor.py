"""Cost on a target device from the costs on other devices and a few measured rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import t as student_t
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from predictors.prior import (
    FREEDOM,
    OFFSET,
    SCALE,
    CostPrior,
    Rows,
    covariance,
    learn_prior,
    log_likelihood,
    parts,
)

Floats = NDArray[np.float64]

RIDGES = np.logspace(-2, 4, 13)
OUTLIER = 5.0  # standard deviations from what the other rows say, and
WRONG = 1.0  # log units, a factor of 2.7: less is no mistake but a device unlike the proxies
NOISE_FACTORS = (1.0, 5.0, 25.0)  # devices whose measurements are noisier than the proxies'
LEAST_WEIGHT = 0.01  # of a candidate that takes part in predictions
MIN_SLOPE = 0.05  # log target cost per log proxy cost: the map between them rises
CLOCK_VARIANCE = (0.25, 0.04)  # of the elasticity in a clock around -1/2, and of what bends it


class TransferPredictor(RegressorMixin, BaseEstimator):
    """Target cost of X = [encoded program | log cost on each proxy | clocks], from k rows.

    The log cost is a strictly increasing map of the mean log cost on the proxies plus a residual
    that few rows leave small: which proxies count more, and what features add. How much a row may
    move each part comes from `prior`, which `learn_prior` makes from what is known of the proxies;
    without it usual values stand in. Several candidates for it are weighted by how well they
    explain the rows. A row that the others rule out, such as one that is wrong by a factor of ten,
    loses its weight.

    With `clock_columns`, in MHz, the cost falls with each clock, by an elasticity that the rows
    decide. `group_column` names the subnet of a row: half of what stays unexplained is taken to
    belong to the subnet, so repeated rows of one do not count as independent ones.

    With no proxy columns it is ridge regression of the log cost.
    """

    def __init__(
        self,
        proxy_columns: Sequence[int] = (),
        clock_columns: Sequence[int] = (),
        group_column: int | None = None,
        *,
        prior: CostPrior | None = None,
    ) -> None:
        self.proxy_columns = proxy_columns
        self.clock_columns = clock_columns
        self.group_column = group_column
        self.prior = prior

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from X (k, features) and measured costs y (k,), positive, in any unit."""
        X, y = map(np.asarray, validate_data(self, X, y, y_numeric=True, dtype=float))
        if np.min(y) <= 0:
            raise ValueError(f"costs must be positive, got a minimum of {np.min(y):g}")
        if not len(self.proxy_columns):
            self.model_ = make_pipeline(StandardScaler(), RidgeCV(RIDGES)).fit(X, np.log(y))
            return self
        self.prior_ = self.prior or self._usual_prior(X)
        self.X_, self.y_ = X, y  # few rows: a saved predictor is fitted again from them
        self.rows_, self.logs_ = self._rows(X), self._log_clocks(X)
        self.groups_ = self._groups(X)
        self.clock_mean_ = self.logs_.mean(axis=0)
        self.slope_ = 1.0
        self._fit_candidates(np.log(y))
        if self._slope() < MIN_SLOPE:  # contradicts monotonicity: keep the map, learn the rest
            self.slope_ = MIN_SLOPE
            self._fit_candidates(np.log(y))
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Costs (n,) of X (n, features), in the unit of `y`."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=float))
        if not len(self.proxy_columns):
            return np.exp(self.model_.predict(X))
        return np.exp(self._log_mean(X)[0])

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> tuple[Floats, Floats]:
        """Lower and upper ends (n,) between which a measured cost lies with chance `coverage`."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=float))
        if not len(self.proxy_columns):
            raise ValueError("intervals need proxy_columns; none were given")
        mean, variance = self._log_mean(X, with_variance=True)
        half = student_t.ppf((1 + coverage) / 2, FREEDOM + len(self.rows_)) * np.sqrt(variance)
        return np.exp(mean - half), np.exp(mean + half)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags

    # ---- the process ---------------------------------------------------------------------------

    def _usual_prior(self, X: Floats) -> CostPrior:
        special = {*self.proxy_columns, *self.clock_columns, self.group_column}
        features = [c for c in range(X.shape[1]) if c not in special]
        kin = ["one family"] * len(self.proxy_columns)  # nothing is learned from the target's rows
        blocks = [features] if features else []
        return learn_prior(X, proxy_columns=self.proxy_columns, families=kin, blocks=blocks)

    def _rows(self, X: Floats) -> Rows:
        return self.prior_.rows(X)

    def _log_clocks(self, X: Floats) -> Floats:
        return np.log(X[:, list(self.clock_columns)])

    def _groups(self, X: Floats) -> Floats:
        return np.arange(float(len(X))) if self.group_column is None else X[:, self.group_column]

    def _clock_mean(self, logs: Floats) -> Floats:
        """What clocks usually do: the cost falls by half a percent per percent of all of them."""
        if not logs.shape[1]:
            return np.zeros(len(logs))
        return -0.5 * (logs - self.clock_mean_).mean(axis=1)

    def _clock_covariance(self, a: Floats, b: Floats) -> Floats:
        a, b = a - self.clock_mean_, b - self.clock_mean_
        distance = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
        return CLOCK_VARIANCE[0] * a @ b.T + CLOCK_VARIANCE[1] * np.exp(-distance)

    def _candidates(self) -> Floats:
        """Log variances to try: what the prior offers, each with several noise variances."""
        thetas = np.repeat(self.prior_.candidates, len(NOISE_FACTORS), axis=0)
        thetas[:, -1] += np.tile(np.log(NOISE_FACTORS), len(self.prior_.candidates))
        return thetas

    def _fit_candidates(self, log_y: Floats) -> None:
        """Posterior of every candidate prior, and how much each counts."""
        k = len(log_y)
        r = log_y - self.slope_ * self.rows_.mean - self._clock_mean(self.logs_)
        self.offset_ = np.median(r)
        r = r - self.offset_
        linear, distances = self._parts(self.rows_)
        clock = self._clock_covariance(self.logs_, self.logs_) if self.logs_.shape[1] else 0.0
        same = self.groups_[:, None] == self.groups_
        self.posteriors_ = []
        scores = []
        for theta in self._candidates():
            K = covariance(theta, linear, distances) + clock
            noise = np.exp(theta[-1])
            if self.group_column is not None:
                K = K + noise / 2 * same
                noise = noise / 2
            spread = _robust_noise(K, r, noise)
            total = K + np.diag(spread)
            scores.append(log_likelihood(total, r))
            factor = cho_factor(total, lower=True)
            alpha = cho_solve(factor, r)
            amplitude = (FREEDOM + r @ alpha) / (FREEDOM + k)
            self.posteriors_.append((theta, alpha, factor, amplitude))
        weights = np.array(scores)
        n_alone = max(1, len(self.prior_.candidates) - 1)
        weights -= np.where(np.arange(len(weights)) < len(NOISE_FACTORS), 0, np.log(n_alone))
        weights = np.exp(weights - weights.max())
        weights[weights < LEAST_WEIGHT * weights.sum()] = 0
        self.weights_ = weights / weights.sum()

    def _parts(self, rows: Rows) -> tuple[Floats, Floats]:
        """Of the covariance with `rows`; nothing moves the map where its slope had to be set."""
        linear, distances = parts(self.rows_, rows)
        if self.slope_ == MIN_SLOPE:
            linear[[0, -1]] = distances[-1] = 0
        return linear, distances

    def _slope(self) -> float:
        """Of the log cost in the proxies' mean over its usual range, all else equal."""
        ends = np.array([-SCALE, SCALE])
        still = [np.zeros((2, b.shape[1])) for b in self.rows_.blocks[:-1]]
        probe = Rows(ends, np.zeros((2, self.rows_.mix.shape[1])), (*still, ends[:, None] / SCALE))
        linear, distances = self._parts(probe)
        low, high = sum(
            w * (covariance(theta, linear, distances).T @ alpha)
            for w, (theta, alpha, *_) in zip(self.weights_, self.posteriors_, strict=True)
            if w
        )
        return self.slope_ + float(high - low) / (2 * SCALE)

    def _log_mean(self, X: Floats, with_variance: bool = False) -> tuple[Floats, Floats]:
        rows, logs = self._rows(X), self._log_clocks(X)
        base = self.offset_ + self.slope_ * rows.mean + self._clock_mean(logs)
        linear, distances = self._parts(rows)
        clock = self._clock_covariance(self.logs_, logs) if logs.shape[1] else 0.0
        same = self.groups_[:, None] == self._groups(X) if self.group_column is not None else None
        means, variances = [], []
        for w, (theta, alpha, factor, amplitude) in zip(
            self.weights_, self.posteriors_, strict=True
        ):
            if not w:
                continue
            noise = np.exp(theta[-1])
            C = covariance(theta, linear, distances) + clock
            if same is not None:
                C = C + noise / 2 * same
            means.append(w * (C.T @ alpha))
            if with_variance:
                own = _own_variance(theta, rows) + noise
                if logs.shape[1]:
                    own += np.array([self._clock_covariance(x[None], x[None])[0, 0] for x in logs])
                left = np.maximum(own - (C * cho_solve(factor, C)).sum(axis=0), noise)
                variances.append((w, amplitude * left, C.T @ alpha))
        mean = np.sum(means, axis=0)
        if not with_variance:
            return base + mean, np.empty(0)
        spread = sum(w * (v + (m - mean) ** 2) for w, v, m in variances)
        return base + mean, np.asarray(spread)


def choose_rows(prior: CostPrior, candidates: ArrayLike, k: int) -> NDArray[np.int64]:
    """Which k of the candidates (n, features) to measure on a target, in order of use.

    Each next one lowers the summed posterior variance of all candidates most (Cohn et al., 1996:
    active learning for regression); it depends on no measurement, so all can be named beforehand.
    """
    rows, theta = prior.rows(candidates), prior.candidates[0]
    if k > len(rows):
        raise ValueError(f"{k} rows were asked for, there are {len(rows)} candidates")
    K = covariance(theta, *parts(rows, rows))
    noise = np.exp(theta[-1])
    chosen: list[int] = []
    for _ in range(k):
        gain = (K**2).sum(axis=0) / (np.diag(K) + noise)
        gain[chosen] = -1
        best = int(gain.argmax())
        chosen.append(best)
        K = K - np.outer(K[:, best], K[best]) / (K[best, best] + noise)
    return np.array(chosen)


def zero_shot(
    X: ArrayLike, descriptions: ArrayLike, target_description: ArrayLike, *, length: float = 1.0
) -> Floats:
    """Costs (n,) on a device that was never measured, from log costs X (n, P) on described ones.

    `descriptions` (P, d) are numbers such as log peak, log bandwidth and log batch; they are scaled
    to one standard deviation. Devices count by likeness, exp(-distance^2 / (2 length^2)), and where
    all are far, equally; the result has no scale of its own and is good for ranks above all.
    """
    X, D = np.asarray(X, dtype=float), np.asarray(descriptions, dtype=float)
    target = np.asarray(target_description, dtype=float)
    if D.shape != (X.shape[1], len(target)):
        raise ValueError(
            f"{X.shape[1]} proxies with {len(target)} numbers each need descriptions of shape "
            f"({X.shape[1]}, {len(target)}), got {D.shape}"
        )
    spread = np.where(D.std(axis=0) > 0, D.std(axis=0), 1)
    distance = (((D - target) / spread) ** 2).mean(axis=1)
    weights = np.exp(-(distance - distance.min()) / (2 * length**2))
    return np.exp(X @ (weights / weights.sum()))


def _own_variance(theta: Floats, rows: Rows) -> Floats:
    """Diagonal of the covariance of rows with themselves, without noise."""
    scales = np.exp(theta)
    n = 2 + len(rows.blocks)
    squares = [rows.mean**2, *((b**2).sum(axis=1) for b in (rows.mix, *rows.blocks))]
    own: Floats = OFFSET + sum(v * s for v, s in zip(scales[:n], squares, strict=True))
    return own + scales[n:-2].sum()


def _robust_noise(K: Floats, r: Floats, noise: float) -> Floats:
    """Noise variance of every row: `noise`, or more where the other rows rule a row out.

    One row after the other, the one furthest out first, at most a fifth of all.
    """
    spread = np.full(len(r), noise)
    for _ in range(max(1, len(r) // 5)):
        inverse = np.linalg.inv(K + np.diag(spread))
        left_out = (inverse @ r) / np.diag(inverse)  # residual of each row without itself
        far = left_out**2 * np.diag(inverse)
        worst = int(far.argmax())
        if far[worst] < OUTLIER**2 or abs(left_out[worst]) < WRONG:
            break
        spread[worst] += left_out[worst] ** 2
    return spread
