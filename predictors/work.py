"""A cost as a sum over kinds of work: what trees correct, and what holds beyond the training rows.

cost = c0 + sum_j c_j w_j with all c >= 0, w_j the amount of one kind of work, for example MACs,
bytes moved or kernels started: a roofline in which nothing overlaps, its constants fitted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

Floats = NDArray[np.float64]

FLOOR = 1e-2  # of the cheapest row: a program with no work of a kind that costs is not free


@dataclass(frozen=True)
class WorkLaw:
    """The fitted constants."""

    fixed: float
    rates: tuple[float, ...]  # cost per unit of work
    least: float

    def cost(self, work: Floats) -> Floats:
        """Costs (n,) of `work` (n, kinds), in the unit of the rows; never below `least`."""
        return np.maximum(self.fixed + work @ np.array(self.rates), self.least)


def fit_work_law(work: Floats, cost: Floats) -> WorkLaw:
    """Non-negative least squares on relative errors; `work` is (n, kinds), `cost` (n,) positive.

    A kind of work that no row has costs nothing.
    """
    relative = np.column_stack([np.ones(len(work)), work]) / cost[:, None]
    norm = np.linalg.norm(relative, axis=0)
    norm[norm == 0] = 1
    constants = nnls(relative / norm, np.ones(len(cost)))[0] / norm
    return WorkLaw(float(constants[0]), tuple(constants[1:].tolist()), FLOOR * float(cost.min()))
