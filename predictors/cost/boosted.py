"""Costs of encoded programs on one device at one clock setting: a law of work, and trees on it."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GroupKFold
from sklearn.utils import Tags
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
from xgboost import XGBRegressor

from predictors.cost.intervals import half_width, half_widths
from predictors.cost.work import WorkLaw
from search_spaces import Floats


class _CostPredictor(RegressorMixin, BaseEstimator):
    """A `WorkLaw` times the exponential of XGBoost (Chen and Guestrin, 2016): errors are relative.

    The defaults were chosen by cross-validation over subnets on the bundled host rows;
    `benchmarks/cost_features.py` shows what the law and other features are worth. One thread and a
    fixed seed: the same rows give the same trees on any number of cores.

    `n_folds` models without a fold of the subnets each tell how wide intervals must be; 0 learns no
    intervals and fits six times as fast.
    """

    quantity: ClassVar[str]

    def __init__(
        self,
        *,
        n_estimators: int = 300,
        max_depth: int = 4,
        learning_rate: float = 0.1,
        n_folds: int = 5,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.n_folds = n_folds

    def fit(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None) -> Self:
        """Learn from X (n_samples, n_features) and measured y (n_samples,), all positive.

        `groups` (n_samples,) names the subnet of every row, for intervals that hold for new ones.
        """
        X, y = map(np.asarray, validate_data(self, X, y, y_numeric=True, dtype=float))
        if np.min(y) <= 0:
            raise ValueError(f"{self.quantity} must be positive, got a minimum of {np.min(y):g}")
        names = np.arange(len(y)) if groups is None else np.asarray(groups)
        check_consistent_length(X, names)
        self.law_, self.model_ = self._fitted(X, y)
        self.n_rows_, self.n_groups_ = len(y), len(np.unique(names))
        self.rows_sha256_ = rows_sha256(X, y)
        self.held_out_log_errors_ = self._held_out_log_errors(X, y, names)
        self.half_widths_ = half_widths(self.held_out_log_errors_, names)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """The cost (n,) of X (n, features), in the unit of `y`."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=float))
        return _cost(self.law_, self.model_, X)

    def predict_interval(self, X: ArrayLike, coverage: float = 0.9) -> tuple[Floats, Floats]:
        """Lower and upper ends (n,) between which a measured cost lies with chance `coverage`.

        (0, infinity) where too few groups were seen: 0.9 needs 9 of them.
        """
        cost = self.predict(X)
        half = np.exp(half_width(self.half_widths_, coverage))
        return cost / half, cost * half

    def _fitted(self, X: Floats, y: Floats) -> tuple[WorkLaw, XGBRegressor]:
        law = WorkLaw.fit(X, y)
        settings: dict[str, Any] = self.get_params()
        del settings["n_folds"]
        model = XGBRegressor(n_jobs=1, random_state=0, **settings)
        return law, model.fit(X, np.log(y) - law.log_cost(X))

    def _held_out_log_errors(self, X: Floats, y: Floats, groups: NDArray[Any]) -> Floats:
        """log(y / prediction) (n,), each from a model that saw none of the row's group."""
        errors = np.full(len(y), np.inf)
        n_folds = min(self.n_folds, self.n_groups_)
        if n_folds < 2:
            return errors
        for train, test in GroupKFold(n_folds).split(X, y, groups):
            errors[test] = np.log(y[test] / _cost(*self._fitted(X[train], y[train]), X[test]))
        return errors

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags


class LatencyPredictor(_CostPredictor):
    """latency_ms of encoded programs, learned as log(latency_ms)."""

    quantity = "latency_ms"


class EnergyPredictor(_CostPredictor):
    """energy_mj of encoded programs, learned as log(energy_mj)."""

    quantity = "energy_mj"


def rows_sha256(X: ArrayLike, y: ArrayLike) -> str:
    """Checksum of training rows: X (n, features) beside y (n,) as little-endian float64."""
    rows = np.column_stack([np.asarray(X), np.asarray(y)])
    return hashlib.sha256(rows.astype("<f8").tobytes()).hexdigest()


def _cost(law: WorkLaw, model: XGBRegressor, X: Floats) -> Floats:
    cost: Floats = np.exp(law.log_cost(X) + model.predict(X))
    return cost
