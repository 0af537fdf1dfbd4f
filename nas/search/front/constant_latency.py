"""An All-in-One supernet at every clock: what few of its ratios hold, for a person to choose."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nas.devices.constant_latency import (
    FrequencyMap,
    choose_ratios,
    rule_of_thumb,
    speed_levels,
    variation,
)
from nas.pareto.records import ConstantLatency, RatioChoice
from nas.search.front.points import PointMaker, digits
from nas.search.problem import Problem
from search_spaces import Bools, DvfsLevel, Floats, RatioSpace, Space

LEVELS = "1/4..top"  # slower ones need ratios that cost much accuracy, or none reaches the target


def constant_latency(
    space: Space, problem: Problem, levels: Sequence[DvfsLevel], maker: PointMaker
) -> ConstantLatency | None:
    """Latency, its variation and error of the best K ratios, for every K; without early exits.

    That is over the levels in the bounds or, without such, from a quarter of the fastest clock on.
    And, of all ratios, the point of every level. A level takes ratios that meet the bounds there,
    and is left out where none does. None for other spaces, and for fewer than two levels.
    """
    if not isinstance(space, RatioSpace):
        return None
    genes = space.enumerate()[::-1]  # the whole network first
    scores = problem.scorer(genes)
    outside = problem.bounds.violation(scores)[:, 0] > 0  # (ratios, levels)
    served = np.flatnonzero(~outside.all(axis=0))
    fast = served
    if problem.bounds.levels is None:
        fast = np.intersect1d(served, speed_levels(levels, LEVELS))
    if len(fast) < 2:
        return None
    latency_ms, ratios, errors = scores.latency_ms[:, 0], genes[:, 0] / 1000, scores.error_pct[:, 0]
    rows = by_number_of_ratios(latency_ms[:, fast], errors, ratios, outside[:, fast])
    held = FrequencyMap(latency_ms[:, served], outside[:, served])
    no_exit = np.zeros_like(served)
    return {
        "levels": [levels[i].level for i in fast.tolist()],
        "target_ms": digits(held.target_ms),
        "by_number_of_ratios": rows,
        "points": maker.points(genes, scores, held.ratio_of, no_exit, served),
    }


def by_number_of_ratios(
    ms: Floats, errors: Floats, ratios: Floats, outside: Bools | None = None
) -> list[RatioChoice]:
    """What the best K of `ratios` (n,) hold over levels, for every K until more change nothing.

    `ms` (n, levels) and `errors` (n,) in percent; the whole network comes first. A level takes a
    ratio that is `outside` (n, levels) of the user's limits only if K ratios leave it no other.
    """
    found: list[RatioChoice] = []
    for k in range(1, len(ms) + 1):
        rows = choose_ratios(ms, k, outside)
        if len(rows) < k:
            break
        result = FrequencyMap(ms[rows], None if outside is None else outside[rows])
        error, less = errors[rows][result.ratio_of], result.variance_less
        evenly = rule_of_thumb(ms[0].max() / ms[0].min(), k) if k > 1 else None
        found.append(
            {
                "n_ratios": k,
                "ratios": np.asarray(ratios)[rows].tolist(),
                "cv": digits(variation(result.chosen_ms)),
                "cv_spread_evenly": None if evenly is None else digits(evenly),
                "variance_less": digits(less) if math.isfinite(less) else None,
                "latency_ms": [digits(result.chosen_ms.min()), digits(result.chosen_ms.max())],
                "top1_error_pct": [round(float(x), 4) for x in (error.min(), error.max())],
            }
        )
    return found
