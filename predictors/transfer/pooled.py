"""Cost on a target device from the costs on other devices and a few measured rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student_t
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from predictors.transfer.hypotheses import around, of_costs, of_lines, of_nobody
from predictors.transfer.learning import RIDGES, learn_prior
from predictors.transfer.mixture import Mixture, proxies_alone, shares_of, stacked
from predictors.transfer.posterior import OUTLIER, Design, Link, Posterior
from predictors.transfer.prior import SCALE, CostPrior, Rows
from search_spaces import Floats, Ints

LIKELY = 20  # lines whose deviations and noise the rows choose
REFINED, REFINE_FROM = 2, 10  # hypotheses whose variances the rows may move, and rows to do it
N_FOLDS, FEW_FREEDOM = 5, 2.0  # of held-out errors; rows that "as wide as was said" is worth
SAFE = 1.3  # times wider yet: 90 % on most devices is less on those whose proxies mislead
USUAL_SHARES = (0.4, 0.4, 0.2)  # of costs, lines and own rows
MIN_SLOPE = 0.05  # log target cost per log proxy cost: the map between them rises


class TransferPredictor(RegressorMixin, BaseEstimator):
    """Target cost of X = [encoded program | log cost on each proxy | clocks], from k rows.

    Three ways of predicting are mixed in the shares that predict left-out rows best, near usual
    ones while rows are few (`mixture.shares_of`).

    Costs: the log cost is a strictly increasing map of the mean log cost on the proxies, or of the
    cost on one of them whose twin the target is, plus a residual that few rows leave small: which
    proxies count more, and what features add. How much a row may move each part comes from `prior`,
    which `learn_prior` makes from what is known of the proxies; without it usual values stand in.
    These hypotheses are weighted by how well they explain the rows, and from ten rows on the best
    two are refined.

    Lines: the linear predictors that the prior knows of a proxy, with weights of features that the
    rows adapt, for each proxy (AdaProxy, Lu et al., 2022), as they are and flatter: where starting
    kernels takes most of the time, all programs cost nearly the same.

    Own rows: a line that is near no proxy's.

    A row that the others rule out, such as one that is wrong by a factor of ten, loses its weight.

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
        named = [*self.proxy_columns, *self.clock_columns, self.group_column or 0]
        if max(named) >= X.shape[1]:
            raise ValueError(f"X has {X.shape[1]} columns, column {max(named)} is none of them")
        if not len(self.proxy_columns):
            self.model_ = make_pipeline(StandardScaler(), RidgeCV(RIDGES)).fit(X, np.log(y))
            return self
        self.prior_ = self.prior or self._usual_prior(X)
        self.__dict__.pop("widening_", None)  # of the last fit
        self.X_, self.y_ = X, y  # few rows: a saved predictor is fitted again from them
        self.log_mhz_ = np.log(X[:, list(self.clock_columns)]).mean(axis=0)
        with threadpool_limits(1):  # hundreds of small matrices: threads would only wait
            self.slope_, still = 1.0, False
            self._fit(self._design(X, still), np.log(y))
            if self._slope() < MIN_SLOPE:  # contradicts monotonicity: keep the map, learn the rest
                self.slope_, still = MIN_SLOPE, True
                self._fit(self._design(X, still), np.log(y))
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Costs (n,) of X (n, features), in the unit of `y`."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=float))
        if not len(self.proxy_columns):
            cost: Floats = np.exp(self.model_.predict(X))
            return cost
        design = self._design(X)
        return np.exp(self.mixture_.mean(design, Link(self.design_, design)))

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> tuple[Floats, Floats]:
        """Lower and upper ends (n,) between which a measured cost lies with chance `coverage`.

        They are so wide that of 90 % at least 85 % hold on the worst of many devices, and so hold
        more on most (`benchmarks/transfer_halves.py`). The first call after `fit` fits five times
        more, to parts of the rows (`_widening`).
        """
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=float))
        if not len(self.proxy_columns):
            raise ValueError("intervals need proxy_columns; none were given")
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must lie above 0 and below 1, got {coverage:g}")
        mean, deviation = self._belief(X)
        t = student_t.ppf((1 + coverage) / 2, FEW_FREEDOM + len(self.y_))
        half = t * SAFE * self._widening() * deviation
        return np.exp(mean - half), np.exp(mean + half)

    def deviation(self, X: ArrayLike) -> Floats:
        """(n,) standard deviations of the log cost of X, before held-out rows widen them."""
        check_is_fitted(self)
        return self._belief(np.asarray(validate_data(self, X, reset=False, dtype=float)))[1]

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
        prior = learn_prior(X, proxy_columns=self.proxy_columns, families=kin, blocks=blocks)
        return replace(prior, linear=np.zeros_like(prior.linear))  # a line needs more than k rows

    def _design(self, X: Floats, still: bool | None = None) -> Design:
        logs = np.log(X[:, list(self.clock_columns)]) - self.log_mhz_
        groups = None if self.group_column is None else X[:, self.group_column]
        still = self.design_.still if still is None else still
        return Design(self.prior_.rows(X), logs, groups, self.slope_, still)

    def _fit(self, design: Design, log_y: Floats) -> None:
        """What costs on the proxies explain, what their lines do, and how to mix both."""
        self.design_ = design
        link = Link(design, design)
        twins = self.slope_ != MIN_SLOPE
        seen = [Posterior.of(h, design, link, log_y) for h in of_costs(self.prior_, twins=twins)]
        if len(log_y) >= REFINE_FROM:  # not the twins: ten rows would fit one of them by chance
            plain = [p for p in seen if p.hypothesis.base is None]
            for p in sorted(plain, key=lambda p: -p.log_evidence)[:REFINED]:
                h = p.refined(design, link, log_y)
                seen.append(Posterior.of(h, design, link, log_y))
        self.costs_ = self.mixture_ = Mixture.of(seen)
        self.parts_ = [self.costs_]
        if self.prior_.linear.any():
            lines = [Posterior.of(h, design, link, log_y) for h in of_lines(self.prior_)]
            likely = sorted(lines, key=lambda p: -p.log_evidence)[:LIKELY]
            for some in ([p.hypothesis for p in likely], [of_nobody(self.prior_)]):
                finer = [h for line in some for h in around(line)]
                self.parts_.append(
                    Mixture.of([Posterior.of(h, design, link, log_y) for h in finer])
                )
            left_out = [part.left_out(design.groups) for part in self.parts_]
            shares = shares_of(left_out, USUAL_SHARES, design.groups)
            self.mixture_ = stacked(self.parts_, shares)

    def groups(self) -> Ints:
        """(k,) a number for the subnet of every fitted row, or for the row itself."""
        names = (
            np.arange(len(self.y_)) if self.group_column is None else self.X_[:, self.group_column]
        )
        numbers: Ints = np.unique(names, return_inverse=True)[1]
        return numbers

    def left_out_errors(self) -> Floats:
        """(k,) log errors of the fitted rows, each as if its subnet had not been fitted.

        Weights of hypotheses and shares are those of all rows.
        """
        check_is_fitted(self)
        return self.mixture_.left_out(self.design_.groups)

    def line_shares(self) -> Floats:
        """(P + 1,) how much the line of every proxy counts in predictions, and nobody's."""
        check_is_fitted(self)
        shares = np.zeros(len(self.proxy_columns) + 1)
        for p, weight in zip(self.mixture_.posteriors, self.mixture_.weights, strict=True):
            if p.hypothesis.weights is not None:
                shares[-1 if p.hypothesis.base is None else p.hypothesis.base] += weight
        return shares

    def proxies_alone(self) -> Floats:
        """Costs (k,) of the fitted rows that the proxies alone say, each subnet from the others.

        How well they rank the rows tells whether proxies, or a mix of them, behave like the target.
        """
        check_is_fitted(self)
        log_y = np.log(self.y_)
        left_out = proxies_alone(self.design_, log_y).left_out(self.design_.groups)
        cost: Floats = np.exp(log_y - left_out)
        return cost

    def _belief(self, X: Floats) -> tuple[Floats, Floats]:
        """(n,) expected log cost of X, and the standard deviation of a measured one."""
        design = self._design(X)
        return self.mixture_.belief(design, Link(self.design_, design))

    def _widening(self) -> float:
        """By how much deviations fall short of the errors on rows that a fit did not see.

        At least 1. Variances that were chosen to explain the rows explain them too well: each
        fifth of the subnets is predicted by a fit, choice included, to the others.
        """
        if not hasattr(self, "widening_"):
            n, groups, z2 = len(self.y_), self.groups(), 0.0
            if len(np.unique(groups)) >= N_FOLDS:
                for train, test in GroupKFold(N_FOLDS).split(self.X_, groups=groups):
                    part = clone(self).fit(self.X_[train], self.y_[train])
                    mean, deviation = part._belief(self.X_[test])
                    z = np.clip((np.log(self.y_[test]) - mean) / deviation, -OUTLIER, OUTLIER)
                    z2 += float(z @ z)
            self.widening_ = float(np.sqrt(max(1.0, (FEW_FREEDOM + z2) / (FEW_FREEDOM + n))))
        return self.widening_

    def _slope(self) -> float:
        """Of the log cost in all proxies together over their usual range, all else equal."""
        ends, rows = np.array([-SCALE, SCALE]), self.design_.rows
        still = [np.zeros((2, b.shape[1])) for b in rows.blocks[:-1]]
        together = np.repeat(ends[:, None], rows.z.shape[1], axis=1)
        alike = Rows(together, ends, np.zeros_like(together), (*still, ends[:, None] / SCALE))
        n_clocks = self.design_.logs.shape[1]
        groups = None if self.group_column is None else np.full(2, np.nan)  # no subnet of the rows
        probe = Design(alike, np.zeros((2, n_clocks)), groups, self.slope_, self.design_.still)
        low, high = self.costs_.mean(probe, Link(self.design_, probe))
        return float(high - low) / (2 * SCALE)
