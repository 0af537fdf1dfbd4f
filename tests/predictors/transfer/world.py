"""A world of devices: programs, what eight proxies take for them, and what a target takes."""

from __future__ import annotations

from functools import cache

import numpy as np

from predictors import CostPrior, learn_prior

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


@cache
def prior_of(seed: int) -> CostPrior:
    """What the proxies of `world(seed)` suggest."""
    return learn_prior(world(seed)[0], proxy_columns=PROXIES)
