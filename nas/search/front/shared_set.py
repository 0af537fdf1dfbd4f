"""Which subnets serve several devices: those on all fronts, and the fewest that lose little.

A set of subnets is judged by the hypervolume that its configurations keep of every device's fronts.
Hypervolume is submodular, so adding the subnet that keeps most is at most ln(n) from the fewest
(Wolsey, 1982). While choosing, volumes are counted in cells of a grid laid through the fronts; what
the chosen set keeps is then computed exactly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import TypedDict

import numpy as np

from nas.pareto import hypervolume, non_dominated
from nas.search.folder import SHARED
from nas.search.front.archive import Archive
from nas.search.problem import Problem
from search_spaces import Bools, Floats, Genes, write_text

SCHEMA = "nas.shared/1"
LOSS_PCT = 1.0  # hypervolume that the set may lose on every device
CHUNK = 100  # subnets that are scored at once
N_CELLS = 24**2  # of the grid that volumes are counted on


class SharedSubnet(TypedDict):
    """A subnet of the set, and what it keeps together with those before it."""

    subnet: str
    kept_pct: dict[str, float]  # of every device's hypervolume


class SharedContent(TypedDict):
    """All of `shared.json`."""

    schema: str
    devices: list[str]
    loss_pct: float
    n_on_some_front: int
    on_every_front: list[str]
    set: list[SharedSubnet]


def shared(problem: Problem, archives: Sequence[Archive], devices: Sequence[str]) -> SharedContent:
    """The content of `shared.json`; every device has an archive of its own levels."""
    space = problem.space
    on_front = [{int(s) for front in a.fronts for s in front.subnet} for a in archives]
    population = archives[0].population()
    candidates = population[sorted(set.union(*on_front))]
    chosen, kept = _Cover(candidates, problem, archives).fewest()
    names = [str(s) for s in space.subnets(candidates)]
    every = population[sorted(set.intersection(*on_front))]
    return {
        "schema": SCHEMA,
        "devices": list(devices),
        "loss_pct": LOSS_PCT,
        "n_on_some_front": len(names),
        "on_every_front": sorted(map(str, space.subnets(every))),
        "set": [
            {
                "subnet": names[i],
                "kept_pct": {d: round(float(k), 2) for d, k in zip(devices, share, strict=True)},
            }
            for i, share in zip(chosen, kept, strict=True)
        ],
    }


def write_shared(content: SharedContent, out: Path) -> None:
    """`shared.json` in the folder `out`."""
    write_text(out / SHARED, json.dumps(content, indent=1) + "\n")


class _Cover:
    """Greedy choice among `genes`; levels without a point are left out."""

    def __init__(self, genes: Genes, problem: Problem, archives: Sequence[Archive]) -> None:
        self.genes, self.problem = genes, problem
        fronts = [(i, front.costs) for i, a in enumerate(archives) for front in a.fronts]
        self.used = [level for level, (_, front) in enumerate(fronts) if len(front)]
        self.fronts = [fronts[level][1] for level in self.used]
        self.device = np.array([fronts[level][0] for level in self.used])
        self.n_levels = np.bincount(self.device)
        self.corners = [_corner(front) for front in self.fronts]
        self.volumes = [hypervolume(f, c) for f, c in zip(self.fronts, self.corners, strict=True)]
        self.own = [front[:0] for front in self.fronts]  # of the chosen subnets

    def fewest(self) -> tuple[list[int], list[Floats]]:
        """Rows of `genes`, the most useful first, and what they and those before keep.

        A device that has enough asks for no more.
        """
        grids = [_Grid(f, c) for f, c in zip(self.fronts, self.corners, strict=True)]
        depths = self._depths(grids)
        best = [np.ones_like(depth[0]) for depth in depths]
        chosen: list[int] = []
        kept: list[Floats] = [np.zeros(len(self.n_levels))]
        while kept[-1].min() < 100 - LOSS_PCT and len(chosen) < len(self.genes):
            gain = np.zeros(len(self.genes))
            for level, device in enumerate(self.device):
                if kept[-1][device] < 100 - LOSS_PCT:
                    more = np.maximum(best[level] - depths[level], 0) * grids[level].weights
                    whole = grids[level].whole * self.n_levels[device]
                    gain += more.reshape(len(more), -1).sum(axis=1) / whole
            gain[chosen] = -1
            chosen.append(int(gain.argmax()))
            best = [np.minimum(b, d[chosen[-1]]) for b, d in zip(best, depths, strict=True)]
            kept.append(self._keep(chosen[-1]))
        return chosen, kept[1:]

    def _depths(self, grids: Sequence[_Grid]) -> list[Floats]:
        """Of every level, the depth `(n, cells, ...)` of every candidate alone."""
        parts: list[list[Floats]] = [[] for _ in grids]
        for start in range(0, len(self.genes), CHUNK):
            meets, costs = self._scored(self.genes[start : start + CHUNK])
            for part, grid, level in zip(parts, grids, self.used, strict=True):
                part.append(grid.depths(costs[:, :, level], meets[:, :, level]))
        return [np.concatenate(part) for part in parts]

    def _scored(self, genes: Genes) -> tuple[Bools, Floats]:
        """Which configurations meet the bounds `(n, P, L)`, and the costs of all."""
        scores = self.problem.scorer(genes)
        return self.problem.bounds.violation(scores) <= 0, self.problem.costs(scores)

    def _keep(self, row: int) -> Floats:
        """Add a subnet; percent of the hypervolume that all chosen keep, mean over levels."""
        (meets,), (costs,) = self._scored(self.genes[row : row + 1])
        shares = []
        for i, level in enumerate(self.used):
            own = np.concatenate([self.own[i], costs[meets[:, level], level]])
            self.own[i] = own[non_dominated(own)]
            shares.append(hypervolume(self.own[i], self.corners[i]) / self.volumes[i])
        return 100 * np.bincount(self.device, shares) / self.n_levels


def _corner(front: Floats) -> list[float]:
    """1.1 times the largest of every cost; 1 where a device has no such cost."""
    largest = front.max(axis=0)
    corner: list[float] = np.where(largest > 0, 1.1 * largest, 1.0).tolist()
    return corner


class _Grid:
    """Cells of all costs but the last between the points of a front; depths are of the last."""

    def __init__(self, front: Floats, corner: Sequence[float]) -> None:
        self.last = corner[-1]
        n_cut = len(corner) - 1
        quantiles = np.linspace(0, 1, round(N_CELLS ** (1 / n_cut)))
        self.edges = [
            np.unique(np.quantile(front[:, d], quantiles, method="lower")) for d in range(n_cut)
        ]
        widths = [np.diff(np.append(e, corner[d])) for d, e in enumerate(self.edges)]
        self.weights = reduce(np.multiply.outer, widths)
        depth = self.depths(front[None], np.ones((1, len(front)), dtype=bool))[0]
        self.whole = float(((1 - depth) * self.weights).sum())

    def depths(self, costs: Floats, meets: Bools) -> Floats:
        """`(n, cells, ...)` from the configurations `(n, P, objectives)` that meet the bounds.

        The least last cost of those no worse than a cell's near edges; 1 at the corner.
        """
        subnet, policy = np.nonzero(meets)
        rows = costs[subnet, policy]
        depth = np.ones([len(costs), *(len(e) + 1 for e in self.edges)])
        bins = [np.searchsorted(e, rows[:, d], side="left") for d, e in enumerate(self.edges)]
        np.minimum.at(depth, (subnet, *bins), np.minimum(rows[:, -1] / self.last, 1))
        for axis in range(1, depth.ndim):
            depth = np.minimum.accumulate(depth, axis=axis)
        return depth[(slice(None), *(slice(-1) for _ in self.edges))]
