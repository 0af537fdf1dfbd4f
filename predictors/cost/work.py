"""A cost as a sum over kinds of work: what trees correct, and what goes on beyond their rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from search_spaces import Floats


@dataclass(frozen=True)
class WorkLaw:
    """Cost as a sum of the features, none of which makes a program cheaper.

    With MACs, bytes and kernel counts among the features it is a roofline in which nothing
    overlaps, its constants fitted. Half of the trees' error is the steps in which they follow this
    sum; it also goes on beyond the training rows, where trees stay flat. Features below 0 count
    as 0.
    """

    weights: Floats  # one per feature, then the constant; at least 0
    least: float  # no program costs less: a tenth of the cheapest training row

    @classmethod
    def fit(cls, X: Floats, y: Floats) -> WorkLaw:
        """Least relative squares (non-negative least squares: Lawson and Hanson, 1974)."""
        A = _with_constant(X)
        weights, _ = nnls(A / y[:, None], np.ones(len(y)), maxiter=100 * A.shape[1])
        return cls(weights, float(y.min()) / 10)

    def log_cost(self, X: Floats) -> Floats:
        """Logarithm of the cost (n,) of X (n, features), in the unit of `y`."""
        return np.log(np.maximum(_with_constant(X) @ self.weights, self.least))


def _with_constant(X: Floats) -> Floats:
    return np.column_stack([np.maximum(X, 0), np.ones(len(X))])
