"""The non-dominated configurations of every DVFS level, kept up generation by generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nas.pareto import Costs, covers, non_dominated
from nas.search.inner import Scores
from nas.search.objectives import Bounds, least_violation
from nas.search.progress import Progress
from search_spaces import Genes

FIRST_PART, GROWTH = 1024, 8  # candidates come in parts, so that most meet a front already
N_BINS = 256


@dataclass
class LevelFront:
    """One level's front: cost row, subnet's number, policy and setting of the clocks per point."""

    costs: Costs = field(default_factory=lambda: np.empty((0, 3)))
    subnet: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    policy: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    setting: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def add(self, costs: Costs, *numbers: NDArray[np.int64]) -> None:
        """Merge candidates; the result is exactly the front of old and new points.

        `numbers` are those of their subnets, policies and settings.
        """
        start, size = 0, FIRST_PART
        while start < len(costs):
            part = slice(start, start + size)
            self._merge(costs[part], *(n[part] for n in numbers))
            start, size = start + size, GROWTH * size

    def _merge(self, costs: Costs, *numbers: NDArray[np.int64]) -> None:
        alive = np.flatnonzero(~surely_covered(costs, self.costs))
        alive = alive[non_dominated(costs[alive])]
        alive = alive[~covers(costs[alive], self.costs).any(axis=1)]
        keep = ~covers(self.costs, costs[alive]).any(axis=1)
        self.costs = np.concatenate([self.costs[keep], costs[alive]])
        for name, new in zip(("subnet", "policy", "setting"), numbers, strict=True):
            old = getattr(self, name)[keep]
            setattr(self, name, np.concatenate([old, new[alive]]))


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
    """Every subnet scored so far and one front per level.

    `n_levels` are those of the device, or of every device: their levels are then in a row.
    """

    def __init__(self, n_levels: int | Sequence[int], bounds: Bounds) -> None:
        self.bounds = bounds
        self.n_levels = [n_levels] if isinstance(n_levels, int) else list(n_levels)
        self.fronts = [LevelFront() for _ in range(sum(self.n_levels))]
        self.least = np.full(len(self.n_levels), np.inf)  # violation of any subnet on every device
        self.genes: list[Genes] = []
        self.trial_values: list[Costs] = []  # of trials, on every device (devices, n, 3)
        self.progress: list[Progress] = []
        self.n_subnets = 0
        self.n_configurations = 0

    def add(self, genes: Genes, scores: Scores) -> NDArray[np.float64]:
        """Add all configurations of `genes` that meet the bounds.

        Returns the violation of each subnet `(n,)`: the smallest over its policies and settings,
        the largest over devices.
        """
        violation = self.bounds.violation(scores)
        for level, front in enumerate(self.fronts):
            columns = np.flatnonzero(scores.level == level)
            kept = violation[:, :, columns] <= 0
            row, policy, column = np.nonzero(kept)
            quantities = (scores.latency_ms, scores.energy_mj)
            found = [scores.error_pct[row, policy], *(q[:, :, columns][kept] for q in quantities)]
            setting = scores.setting[columns[column]]
            front.add(np.stack(found, axis=1), row + self.n_subnets, policy, setting)
        self.genes.append(genes)
        self.n_subnets += len(genes)
        self.n_configurations += scores.latency_ms.size
        on_devices = least_violation(violation, scores.level, self.n_levels)
        self.least = np.minimum(self.least, on_devices.min(axis=1))
        return on_devices.max(axis=0)

    def part(self, device: int, columns: slice) -> Archive:
        """What concerns one of several devices, whose levels are `columns`."""
        part = Archive(self.n_levels[device], self.bounds)
        part.fronts = [replace(f, setting=f.setting - columns.start) for f in self.fronts[columns]]
        part.genes, part.least = self.genes, self.least[device : device + 1]
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
