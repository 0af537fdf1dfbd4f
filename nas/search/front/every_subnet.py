"""Every subnet of a space that has few, such as ratios or groups: what a board may switch to.

A front leaves out what another point beats, and a board that drops groups needs them all.
"""

from __future__ import annotations

import math

import numpy as np

from nas.pareto import Point
from nas.search.front.points import PointMaker
from nas.search.problem import Problem
from search_spaces import Space

N_SUBNETS = 16


def every_subnet(space: Space, problem: Problem, maker: PointMaker) -> list[Point]:
    """One point for each that meets the bounds, at its fastest level, without early exits.

    The largest comes first. None for spaces of more than N_SUBNETS.
    """
    if math.prod(len(values) for values in space.choices) > N_SUBNETS:
        return []
    genes = space.enumerate()[::-1]
    scores = problem.scorer(genes)
    meets = problem.bounds.violation(scores)[:, 0] <= 0  # (subnets, levels)
    fastest = meets.shape[1] - 1 - meets[:, ::-1].argmax(axis=1)
    rows = np.flatnonzero(meets.any(axis=1))
    return maker.points(genes, scores, rows, np.zeros_like(rows), fastest[rows])
