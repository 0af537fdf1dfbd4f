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
from search_spaces import DvfsLevel, Floats, RatioSpace, Space

LEVELS = "1/4..top"  # slower ones are slower than the target with any ratio


def constant_latency(
    space: Space, problem: Problem, levels: Sequence[DvfsLevel], maker: PointMaker
) -> ConstantLatency | None:
    """Latency, its variation and error of the best K ratios, for every K; without early exits.

    And, of them all, the point of every level. None for other spaces, and for fewer than two
    `levels` from a quarter of the fastest clock on.
    """
    allowed = problem.bounds.levels
    chosen = [i for i in speed_levels(levels, LEVELS) if allowed is None or i in allowed]
    if not isinstance(space, RatioSpace) or len(chosen) < 2:
        return None
    genes = space.enumerate()[::-1]  # the whole network first
    scores = problem.scorer(genes)
    latency_ms = scores.latency_ms[:, 0, chosen]
    rows = by_number_of_ratios(latency_ms, scores.error_pct[:, 0], genes[:, 0] / 1000)
    held = FrequencyMap(latency_ms).ratio_of
    return {
        "levels": [levels[i].level for i in chosen],
        "target_ms": digits(scores.latency_ms[0, 0, chosen].min()),
        "by_number_of_ratios": rows,
        "points": maker.points(genes, scores, held, np.zeros_like(held), np.array(chosen)),
    }


def by_number_of_ratios(ms: Floats, errors: Floats, ratios: Floats) -> list[RatioChoice]:
    """What the best K of `ratios` (n,) hold over levels, for every K until more change nothing.

    `ms` (n, levels) and `errors` (n,) in percent; the whole network comes first.
    """
    found: list[RatioChoice] = []
    for k in range(1, len(ms) + 1):
        rows = choose_ratios(ms, k)
        if len(rows) < k:
            break
        result = FrequencyMap(ms[rows])
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
