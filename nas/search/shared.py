"""Which subnets serve several devices: those on all fronts, and the fewest that lose little.

A set of subnets is judged by the hypervolume that its configurations keep of every device's fronts.
Hypervolume is submodular, so adding the subnet that keeps most is at most ln(n) from the fewest
(Wolsey, 1982). While choosing, volumes are counted in cells of a grid laid through the fronts; what
the chosen set keeps is then computed exactly.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.files import write_text
from nas.pareto import Costs, hypervolume, non_dominated
from nas.search.archive import Archive
from nas.search.folder import SHARED
from nas.search.inner import Floats, Scorer
from search_spaces import Genes, Space

SCHEMA = "nas.shared/1"
LOSS_PCT = 1.0  # hypervolume that the set may lose on every device
CHUNK = 100  # subnets that are scored at once
N_CELLS = 24  # per cost, of the grid that volumes are counted on


@dataclass(frozen=True)
class Candidates:
    """Subnets on some front, and their configurations at every level of all devices."""

    genes: Genes
    configurations: list[list[Costs]]  # of every level and candidate: its own front (k, 3)


def shared(
    space: Space, scorer: Scorer, archives: Sequence[Archive], devices: Sequence[str]
) -> dict[str, Any]:
    """The content of `shared.json`. `scorer` has the levels of all devices side by side."""
    on_front = [{int(s) for front in a.fronts for s in front.subnet} for a in archives]
    population = archives[0].population()
    candidates = _candidates(population[sorted(set.union(*on_front))], scorer, archives)
    owner = np.repeat(np.arange(len(archives)), [len(a.fronts) for a in archives])
    fronts = [front.costs for a in archives for front in a.fronts]
    chosen, kept = _cover(candidates, fronts, owner)
    names = [str(s) for s in space.subnets(candidates.genes)]
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


def write_shared(content: dict[str, Any], out: Path) -> None:
    write_text(out / SHARED, json.dumps(content, indent=1) + "\n")


def _candidates(genes: Genes, scorer: Scorer, archives: Sequence[Archive]) -> Candidates:
    """Score the candidates; at every level keep what no other configuration of theirs dominates."""
    bounds = archives[0].bounds
    found: list[list[Costs]] = [[] for a in archives for _ in a.fronts]
    for start in range(0, len(genes), CHUNK):
        scores = scorer(genes[start : start + CHUNK])
        meets, costs = bounds.violation(scores) <= 0, scores.costs
        for level, own in enumerate(found):
            for row in range(len(costs)):
                kept = costs[row, meets[row, :, level], level]
                own.append(kept[non_dominated(kept)])
    return Candidates(genes, found)


def _cover(
    candidates: Candidates, fronts: Sequence[Costs], owner: NDArray[np.int64]
) -> tuple[list[int], list[Floats]]:
    """Candidates, the most useful first, and what they and those before keep of every device.

    `owner` is the device of every level. A device that has enough asks for no more.
    """
    used = [level for level, front in enumerate(fronts) if len(front)]
    owner = owner[used]
    n_levels = np.bincount(owner)
    gaps = []  # of every level: depth of every candidate's cells, what a cell counts, depth so far
    for level, device in zip(used, owner, strict=True):
        grid = _Grid(fronts[level])
        depths = np.stack([grid.depth(own) for own in candidates.configurations[level]])
        weights = grid.weights / (grid.volume(fronts[level]) * n_levels[device])
        gaps.append((depths, weights, np.ones_like(depths[0])))
    chosen: list[int] = []
    kept: list[Floats] = [np.zeros(len(n_levels))]
    while kept[-1].min() < 100 - LOSS_PCT and len(chosen) < len(candidates.genes):
        gain = np.zeros(len(candidates.genes))
        for (depths, weights, best), device in zip(gaps, owner, strict=True):
            if kept[-1][device] < 100 - LOSS_PCT:
                gain += (np.maximum(best - depths, 0) * weights).sum(axis=(1, 2))
        gain[chosen] = -1
        chosen.append(int(gain.argmax()))
        for depths, _, best in gaps:
            np.minimum(best, depths[chosen[-1]], out=best)
        kept.append(_kept_pct(candidates, chosen, fronts, used, owner))
    return chosen, kept[1:]


def _kept_pct(
    candidates: Candidates,
    chosen: Sequence[int],
    fronts: Sequence[Costs],
    used: Sequence[int],
    owner: NDArray[np.int64],
) -> Floats:
    """Percent of the hypervolume that `chosen` keep, mean over the levels of every device."""
    shares = []
    for level in used:
        corner = _corner(fronts[level])
        own = np.concatenate([candidates.configurations[level][i] for i in chosen])
        shares.append(hypervolume(own, corner) / hypervolume(fronts[level], corner))
    counts = np.bincount(owner)
    return 100 * np.bincount(owner, shares) / counts


def _corner(front: Costs) -> list[float]:
    """1.1 times the largest of every cost; 1 where a device has no such cost."""
    largest = front.max(axis=0)
    return np.where(largest > 0, 1.1 * largest, 1.0).tolist()


class _Grid:
    """Cells of the first two costs between the points of a front; depths are of the third."""

    def __init__(self, front: Costs) -> None:
        corner = np.array(_corner(front))
        self.corner = corner
        self.edges = [
            np.unique(np.quantile(front[:, d], np.linspace(0, 1, N_CELLS), method="lower"))
            for d in range(2)
        ]
        widths = [np.diff(np.append(e, corner[d])) for d, e in enumerate(self.edges)]
        self.weights = np.outer(*widths)

    def depth(self, costs: Costs) -> Floats:
        """The least third cost of points no worse than every cell's near edge, 1 at the corner."""
        depth = np.ones([len(e) + 1 for e in self.edges])
        bins = tuple(np.searchsorted(e, costs[:, d], side="left") for d, e in enumerate(self.edges))
        np.minimum.at(depth, bins, np.minimum(costs[:, 2] / self.corner[2], 1))
        depth = np.minimum.accumulate(np.minimum.accumulate(depth, axis=0), axis=1)
        return depth[:-1, :-1]

    def volume(self, costs: Costs) -> float:
        return float(((1 - self.depth(costs)) * self.weights).sum())
