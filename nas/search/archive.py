"""The non-dominated configurations of every DVFS level, kept up generation by generation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.pareto import Costs, non_dominated, normalised
from nas.search.inner import Scores
from nas.search.objectives import Bounds
from search_spaces import Genes

N_PIVOTS = 64


@dataclass
class LevelFront:
    """One level's front: a cost row, the subnet's number and the policy of each point."""

    costs: Costs = field(default_factory=lambda: np.empty((0, 3)))
    subnet: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    policy: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def add(self, costs: Costs, subnet: NDArray[np.int64], policy: NDArray[np.int64]) -> None:
        """Merge candidates; the result is exactly the front of old and new points."""
        merged = np.concatenate([self.costs, costs])
        survivors = _prefilter(merged)
        keep = survivors[non_dominated(merged[survivors])]
        self.costs = merged[keep]
        self.subnet = np.concatenate([self.subnet, subnet])[keep]
        self.policy = np.concatenate([self.policy, policy])[keep]


def _prefilter(costs: Costs) -> NDArray[np.int64]:
    """Rows left once those strictly worse than some strong point in everything are dropped.

    The strong points are the best of N_PIVOTS bins along the error, so most dominated rows go at
    linear cost; only dominated rows go, and never a duplicate of a front point.
    """
    if len(costs) <= 4 * N_PIVOTS:
        return np.arange(len(costs))
    total = normalised(costs).sum(axis=1)
    bins = np.array_split(np.argsort(costs[:, 0], kind="stable"), N_PIVOTS)
    pivots = costs[[b[total[b].argmin()] for b in bins]]
    alive = np.arange(len(costs))
    for pivot in pivots:
        alive = alive[~(costs[alive] > pivot).all(axis=1)]
    return alive


class Archive:
    """Every subnet scored so far and one front per level."""

    def __init__(self, n_levels: int, bounds: Bounds) -> None:
        self.bounds = bounds
        self.fronts = [LevelFront() for _ in range(n_levels)]
        self.genes: list[Genes] = []
        self.n_subnets = 0
        self.n_configurations = 0

    def add(self, genes: Genes, scores: Scores) -> None:
        """Add all configurations of `genes` that meet the bounds."""
        n, n_policies, _ = scores.latency_ms.shape
        subnet = np.repeat(np.arange(n), n_policies) + self.n_subnets
        policy = np.tile(np.arange(n_policies), n)
        feasible = self.bounds.violation(scores) <= 0
        for level, front in enumerate(self.fronts):
            error = scores.error_pct
            rows = (error, scores.latency_ms[:, :, level], scores.energy_mj[:, :, level])
            costs = np.stack([r.ravel() for r in rows], axis=1)
            kept = feasible[:, :, level].ravel()
            front.add(costs[kept], subnet[kept], policy[kept])
        self.genes.append(genes)
        self.n_subnets += n
        self.n_configurations += scores.latency_ms.size

    @property
    def n_points(self) -> int:
        return sum(len(front.costs) for front in self.fronts)

    def population(self) -> Genes:
        """All subnets, in the order in which they were added."""
        return np.concatenate(self.genes)
