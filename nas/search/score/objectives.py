"""What a trial reports about its subnet: one value for every objective."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nas.search.score.quantities import DEFAULT_OBJECTIVES, Quantity
from nas.search.score.scorer import Scores
from search_spaces import Floats

WITHIN_PCT = 0.5  # error that the cheapest policy may add to that of the most accurate one


def trial_values(
    scores: Scores, level: int, objectives: Sequence[Quantity] = DEFAULT_OBJECTIVES
) -> Floats:
    """The values of every trial at one level, `(n, objectives)`; they depend on the subnet alone.

    Error of its most accurate policy; the others, at `level`, of the fastest policy within
    WITHIN_PCT of that error.
    """
    error, latency, *others = objectives
    errors = scores.value(error)[:, :, level]
    best = errors.min(axis=1)
    near = errors <= best[:, None] + WITHIN_PCT
    latencies = np.where(near, scores.value(latency)[:, :, level], np.inf)
    cheapest = latencies.argmin(axis=1)
    rows = np.arange(len(best))
    rest = [scores.value(quantity)[rows, cheapest, level] for quantity in others]
    return np.stack([best, latencies[rows, cheapest], *rest], axis=1)


def combined(values: Floats) -> Floats:
    """Values of trials `(n, objectives)` from those on every device `(devices, n, objectives)`.

    Geometric means: half the latency on one device weighs as much as half of it on another, however
    fast they are. A device without energy (0) does not count there.
    """
    if len(values) == 1:
        alone: Floats = values[0]
        return alone
    logs = np.log(values, out=np.zeros_like(values), where=values > 0)
    known = (values > 0).sum(axis=0)
    mean = np.exp(logs.sum(axis=0) / np.maximum(known, 1))
    mean = np.where(known > 0, mean, 0)
    mean[:, 0] = values[0, :, 0]  # a subnet has one error
    return mean
