"""A cost over a grid of CPU, GPU and memory clocks, from a few of its settings."""

from __future__ import annotations

import warnings
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from search_spaces import Floats


class ClockPredictor(RegressorMixin, BaseEstimator):
    """Cost of one workload at clock settings X (n, clocks) in MHz, learned from some of them.

    Log cost is a straight line in the log clocks plus a Gaussian process with a length per clock.
    Its kernel is Matern's of order 3/2, for a cost bends sharply where another clock takes over.
    One clock and three settings are too few for it: `predictors.cost.law` has the form that such
    rows follow.
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from X (n, clocks) and positive costs y (n,), in any unit."""
        X, y = map(np.asarray, validate_data(self, X, y, y_numeric=True, dtype=float))
        if np.min(y) <= 0:
            raise ValueError(f"costs must be positive, got a minimum of {np.min(y):g}")
        self.scale_ = StandardScaler().fit(_log(X))
        Z, log_y = self.scale_.transform(_log(X)), np.log(y)
        A = np.column_stack([np.ones(len(Z)), Z])
        self.line_ = np.linalg.lstsq(A, log_y, rcond=None)[0]
        kernel = ConstantKernel(1.0) * Matern(np.ones(Z.shape[1]), nu=1.5) + WhiteKernel(0.01)
        self.model_ = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
        with warnings.catch_warnings():
            # A clock that does not matter drives its length to the bound: that is the answer.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model_.fit(Z, log_y - A @ self.line_)
        return self

    def predict(self, X: ArrayLike) -> Floats:
        """Costs (n,) in the unit of `y`."""
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, reset=False, dtype=float))
        Z = self.scale_.transform(_log(X))
        line = self.line_[0] + Z @ self.line_[1:]
        cost: Floats = np.exp(line + self.model_.predict(Z))
        return cost

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        tags.input_tags.positive_only = True
        return tags


def _log(X: Floats) -> Floats:
    if np.min(X) < 0:
        raise ValueError(f"Negative values in data: clocks are in MHz, got {np.min(X):g}")
    return np.log1p(X)
