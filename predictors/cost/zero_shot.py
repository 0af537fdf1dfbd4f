"""Costs on a device where nothing was measured, from described devices alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from search_spaces import Floats


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
    cost: Floats = np.exp(X @ (weights / weights.sum()))
    return cost
