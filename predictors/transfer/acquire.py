"""Which few subnets to measure on a target, before anything was measured there."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from predictors.transfer.prior import CostPrior, covariance, parts
from search_spaces import Ints


def choose_rows(prior: CostPrior, candidates: ArrayLike, k: int, *, seed: int = 0) -> Ints:
    """Which k of the candidates (n, features) to measure on a target, in order of use.

    The first, third, ... lower the summed posterior variance of all candidates most (Cohn et al.,
    1996: active learning for regression); the others are drawn, because what the pool asks for may
    tell little of a device that is unlike it. No measurement is needed, so all can be named
    beforehand.
    """
    rows, theta = prior.rows(candidates), prior.candidates[0]
    if k > len(rows):
        raise ValueError(f"{k} rows were asked for, there are {len(rows)} candidates")
    K = covariance(theta, *parts(rows, rows))
    noise = np.exp(theta[-1])
    drawn = np.random.default_rng(seed).permutation(len(rows)).tolist()
    chosen: list[int] = []
    for i in range(k):
        gain = (K**2).sum(axis=0) / (np.diag(K) + noise)
        gain[chosen] = -1
        best = next(c for c in drawn if c not in chosen) if i % 2 else int(gain.argmax())
        chosen.append(best)
        K = K - np.outer(K[:, best], K[best]) / (K[best, best] + noise)
    return np.array(chosen)
