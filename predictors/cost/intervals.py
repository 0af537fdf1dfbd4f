"""How far a measured cost may lie from its prediction, from errors on subnets left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from search_spaces import Floats

COVERAGES = np.arange(1, 100) / 100


def half_widths(log_errors: ArrayLike, groups: ArrayLike) -> Floats:
    """Half widths (99,) of intervals in log units that cover 1 %, ..., 99 % of new rows.

    Conformal quantiles (Vovk et al., 2005; Barber et al., 2021) of absolute held-out errors (n,).
    What is exchangeable are the groups (n,), the subnets, so each counts once however many rows it
    has (hierarchical conformal prediction: Lee, Barber and Willett, 2023). The group to come
    counts too, as infinitely wrong: few groups give wide intervals, too few infinite ones.
    """
    errors = np.abs(np.asarray(log_errors, dtype=float))
    _, group, n_rows = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(errors)
    reached = np.cumsum(1 / n_rows[group][order]) / (len(n_rows) + 1)
    index = np.searchsorted(reached, COVERAGES - 1e-9)
    return np.append(errors[order], np.inf)[index]


def half_width(widths: Floats, coverage: float) -> float:
    """The entry of `half_widths` for `coverage`, rounded up to a percent."""
    if not 0 < coverage <= COVERAGES[-1]:
        raise ValueError(f"coverage must lie above 0 and be at most 0.99, got {coverage:g}")
    return float(widths[np.searchsorted(COVERAGES, coverage - 1e-9)])
