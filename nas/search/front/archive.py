"""The non-dominated configurations of every DVFS level, kept up generation by generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from nas.pareto import covers, non_dominated
from nas.search.front.progress import Progress
from nas.search.score.bounds import Bounds, least_violation
from nas.search.score.quantities import DEFAULT_OBJECTIVES, Quantity
from nas.search.score.scorer import Scores
from search_spaces import Bools, Floats, Genes, Ints

FIRST_PART, GROWTH = 1024, 8  # the first candidates come in parts: most then meet a front
N_CELLS = 2**14  # of the table that looks up whether a candidate is covered


@dataclass
class LevelFront:
    """One level's front: cost row, subnet's number, policy and setting of the clocks per point."""

    costs: Floats  # (points, objectives)
    subnet: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    policy: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    setting: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def add(
        self,
        costs: Sequence[Floats],
        allowed: Bools,
        first_subnet: int,
        settings: Ints,
    ) -> None:
        """Merge the `allowed` candidates; the result is exactly the front of old and new points.

        The `costs`, one for every objective, and `allowed` are `(settings, n, P)`, of the subnets
        from `first_subnet` on.
        """
        flat, met = [c.reshape(-1) for c in costs], allowed.reshape(-1)
        start, size = 0, met.size if len(self.costs) else FIRST_PART
        while start < met.size:
            part = slice(start, start + size)
            covered = surely_covered([c[part] for c in flat], self.costs)
            left = start + np.flatnonzero(met[part] & ~covered)
            column, row, policy = np.unravel_index(left, allowed.shape)
            candidates = np.stack([c[left] for c in flat], axis=1)
            self._merge(candidates, first_subnet + row, policy, settings[column])
            start, size = start + size, GROWTH * size

    def _merge(self, costs: Floats, *numbers: Ints) -> None:
        alive = np.flatnonzero(~covers(costs, self.costs).any(axis=1))
        alive = alive[non_dominated(costs[alive])]
        keep = ~covers(self.costs, costs[alive]).any(axis=1)
        self.costs = np.concatenate([self.costs[keep], costs[alive]])
        for name, new in zip(("subnet", "policy", "setting"), numbers, strict=True):
            old = getattr(self, name)[keep]
            setattr(self, name, np.concatenate([old, new[alive]]))


def surely_covered(costs: Sequence[Floats], front: Floats) -> Bools:
    """Which candidates, each cost `(m,)`, a point of `front` is nowhere worse than; some missed.

    A table holds, for even bins of all costs but the last, the least last cost of the front's
    points that are lower in all of them: a candidate costs one look, however large the front is.
    """
    if not len(front):
        return np.zeros(len(costs[0]), dtype=bool)
    n_binned = front.shape[1] - 1
    n_bins = round(N_CELLS ** (1 / n_binned))  # 128 for each of two
    low = front[:, :-1].min(axis=0)
    width = front[:, :-1].max(axis=0) - low
    scale = np.divide(n_bins, width, out=np.ones(n_binned), where=width > 0)

    def bins(values: Floats, d: int) -> NDArray[np.intp]:
        place = (values - low[d]) * scale[d]
        inside: NDArray[np.intp] = np.clip(place, 0, n_bins + 1).astype(np.intp)
        return inside

    # a point counts from the bin after its own on: whatever lies there is surely higher
    own = tuple(bins(front[:, d], d) + 1 for d in range(n_binned))
    least = np.full((n_bins + 2,) * n_binned, np.inf)
    np.minimum.at(least, own, front[:, -1])
    for axis in range(n_binned):
        least = np.minimum.accumulate(least, axis=axis)
    return least[tuple(bins(costs[d], d) for d in range(n_binned))] <= costs[-1]


class Archive:
    """Every subnet scored so far and one front per level.

    `n_levels` are those of the device, or of every device: their levels are then in a row.
    """

    def __init__(
        self,
        n_levels: int | Sequence[int],
        bounds: Bounds,
        objectives: Sequence[Quantity] = DEFAULT_OBJECTIVES,
    ) -> None:
        self.bounds, self.objectives = bounds, objectives
        self.n_levels = [n_levels] if isinstance(n_levels, int) else list(n_levels)
        empty = np.empty((0, len(objectives)))
        self.fronts = [LevelFront(empty) for _ in range(sum(self.n_levels))]
        self.least = np.full(len(self.n_levels), np.inf)  # violation of any subnet on every device
        self.genes: list[Genes] = []
        self.trial_values: list[Floats] = []  # of trials, (devices, n, objectives)
        self.progress: list[Progress] = []
        self.n_subnets = 0
        self.n_configurations = 0

    def add(self, genes: Genes, scores: Scores) -> Floats:
        """Add all configurations of `genes` that meet the bounds.

        Returns the violation of each subnet `(n,)`: the smallest over its policies and settings,
        the largest over devices.
        """
        violation = self.bounds.violation(scores)
        excess, *costs = (
            np.moveaxis(c, 2, 0) for c in (violation, *map(scores.value, self.objectives))
        )
        for level, front in enumerate(self.fronts):
            own = np.flatnonzero(scores.level == level)
            chosen = [cost[own] for cost in costs]
            front.add(chosen, excess[own] <= 0, self.n_subnets, scores.setting[own])
        self.genes.append(genes)
        self.n_subnets += len(genes)
        self.n_configurations += scores.latency_ms.size
        on_devices = least_violation(violation, scores.level, self.n_levels)
        self.least = np.minimum(self.least, on_devices.min(axis=1))
        worst: Floats = on_devices.max(axis=0)
        return worst

    def part(self, device: int, columns: slice) -> Archive:
        """What concerns one of several devices, whose levels are `columns`."""
        part = Archive(self.n_levels[device], self.bounds, self.objectives)
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
