"""Costs of encoded programs on one device at one clock setting, by gradient-boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data
from xgboost import XGBRegressor

from predictors.work import fit_work_law


class _CostPredictor(RegressorMixin, BaseEstimator):
    """XGBoost (Chen and Guestrin, 2016) on the logarithm of a cost, so that errors are relative.

    The defaults were chosen by cross-validation over subnets on the bundled host rows. One thread
    and a fixed seed: the same rows give the same trees on any number of cores.

    `work_columns` name columns of X that hold amounts of work (MACs, bytes, kernels). A sum of them
    is fitted first (`predictors.work`) and the trees learn the logarithm of the ratio to it: trees
    alone are constant beyond the rows they saw.
    """

    quantity: ClassVar[str]

    def __init__(
        self,
        *,
        n_estimators: int = 300,
        max_depth: int = 4,
        learning_rate: float = 0.1,
        work_columns: Sequence[int] = (),
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.work_columns = work_columns

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from X (n_samples, n_features) and measured y (n_samples,), all positive."""
        X, y = map(np.asarray, validate_data(self, X, y, y_numeric=True))
        if np.min(y) <= 0:
            raise ValueError(f"{self.quantity} must be positive, got a minimum of {np.min(y):g}")
        settings = {k: v for k, v in self.get_params().items() if k != "work_columns"}
        self.model_ = XGBRegressor(n_jobs=1, random_state=0, **settings)
        self.work_law_ = fit_work_law(self._work(X), y) if len(self.work_columns) else None
        self.model_.fit(X, np.log(y) - self._log_law(X))
        self.n_rows_ = np.shape(y)[0]
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float32]:
        """The cost of X (n_samples, n_features), in the unit of `y`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)
        return np.exp(self.model_.predict(X) + self._log_law(X))

    def _work(self, X: ArrayLike) -> NDArray[np.float64]:
        return np.asarray(X, dtype=float)[:, list(self.work_columns)]

    def _log_law(self, X: ArrayLike) -> NDArray[np.float32] | np.float32:
        """What the trees correct: zero without work columns."""
        if self.work_law_ is None:
            return np.float32(0)
        return np.log(self.work_law_.cost(self._work(X))).astype(np.float32)

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
