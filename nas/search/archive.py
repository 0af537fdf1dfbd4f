"""The non-dominated configurations of every DVFS level, kept up generation by generation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nas.pareto import Costs, covers, non_dominated
from nas.search.inner import Scores
from nas.search.objectives import Bounds
from nas.search.progress import Progress
from search_spaces import Genes

FIRST_PART, GROWTH = 1024, 8  # candidates come in parts, so that most meet a front already
N_BINS = 256


@dataclass
class LevelFront:
    """One level's front: a cost row, the subnet's number and the policy of each point."""

    costs: Costs = field(default_factory=lambda: np.empty((0, 3)))
    subnet: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    policy: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def add(self, costs: Costs, subnet: NDArray[np.int64], policy: NDArray[np.int64]) -> None:
        """Merge candidates; the result is exactly the front of old and new points."""
        start, size = 0, FIRST_PART
        while start < len(costs):
            part = slice(start, start + size)
            self._merge(costs[part], subnet[part], policy[part])
            start, size = start + size, GROWTH * size

    def _merge(self, costs: Costs, subnet: NDArray[np.int64], policy: NDArray[np.int64]) -> None:
        alive = np.flatnonzero(~surely_covered(costs, self.costs))
        alive = alive[non_dominated(costs[alive])]
        alive = alive[~covers(costs[alive], self.costs).any(axis=1)]
        keep = ~covers(self.costs, costs[alive]).any(axis=1)
        self.costs = np.concatenate([self.costs[keep], costs[alive]])
        self.subnet = np.concatenate([self.subnet[keep], subnet[alive]])
        self.policy = np.concatenate([self.policy[keep], policy[alive]])


def surely_covered(costs: Costs, front: Costs) -> NDArray[np.bool_]:
    """Rows that some point of `front` is nowhere worse than; a few such rows are missed.

    A table holds, for bins of the first two costs, the least third cost of the front's points that
    are no worse in both, so a row costs two searches and one look, however large the front is.
    """
    if not len(front):
        return np.zeros(len(costs), dtype=bool)
    edges = [_edges(front[:, d]) for d in range(2)]
    least = np.full([len(e) + 1 for e in edges], np.inf)
    bins = tuple(np.searchsorted(e, front[:, d], side="left") for d, e in enumerate(edges))
    np.minimum.at(least, (bins[0] + 1, bins[1] + 1), front[:, 2])
    least = np.minimum.accumulate(np.minimum.accumulate(least, axis=0), axis=1)
    found = tuple(np.searchsorted(e, costs[:, d], side="right") for d, e in enumerate(edges))
    return least[found] <= costs[:, 2]


def _edges(values: Costs) -> Costs:
    """At most N_BINS of the sorted values, the largest among them."""
    ranked = np.unique(values)
    return ranked[np.unique(np.linspace(0, len(ranked) - 1, N_BINS).round().astype(np.int64))]


class Archive:
    """Every subnet scored so far and one front per level."""

    def __init__(self, n_levels: int, bounds: Bounds) -> None:
        self.bounds = bounds
        self.fronts = [LevelFront() for _ in range(n_levels)]
        self.genes: list[Genes] = []
        self.trial_values: list[Costs] = []  # of trials, on every device (devices, n, 3)
        self.progress: list[Progress] = []
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

    def part(self, device: int, columns: slice) -> Archive:
        """What concerns one of several devices, whose levels are `columns`."""
        part = Archive(0, self.bounds)
        part.fronts, part.genes = self.fronts[columns], self.genes
        part.trial_values = [values[device : device + 1] for values in self.trial_values]
        part.progress = [progress.part(columns) for progress in self.progress]
        part.n_subnets = self.n_subnets
        part.n_configurations = self.n_configurations * len(part.fronts) // len(self.fronts)
        return part

    @property
    def n_points(self) -> int:
        return sum(len(front.costs) for front in self.fronts)

    def population(self) -> Genes:
        """All subnets, in the order in which they were added."""
        return np.concatenate(self.genes)
