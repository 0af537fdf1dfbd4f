"""Subnets whose accuracy was measured before the search: the best of them are where it begins."""

from __future__ import annotations

import numpy as np

from nas.search.front.archive import Archive
from nas.search.problem import Problem
from search_spaces import Genes

N_LOOKED_AT = 1024  # of a larger table an even part: scoring them must cost little
N_PART = 128  # subnets scored at once: bounds the memory


def best_measured(measured: Genes, problem: Problem, n: int) -> Genes:
    """At most `n` of the `measured` subnets: those with most points on the fronts of all levels.

    Levels have their own clocks here, also where the search has all of them.
    """
    measured = measured[:: -(-len(measured) // N_LOOKED_AT)]
    archive = Archive(problem.n_levels, problem.bounds, problem.objectives)
    for part in np.array_split(measured, -(-len(measured) // N_PART)):
        archive.add(part, problem.scorer(part))
    points = np.concatenate([front.subnet for front in archive.fronts])
    count = np.bincount(points, minlength=len(measured))
    order = np.argsort(-count, kind="stable")[:n]
    return measured[order[count[order] > 0]]
