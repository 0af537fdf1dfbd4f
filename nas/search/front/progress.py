"""How far a search has come: the hypervolume of every level's front, generation by generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from nas.pareto import hypervolume
from nas.pareto.records import ProgressEntry
from nas.search.problem import Problem
from search_spaces import Floats

STALL = 0.001  # hypervolume that grew by less than this share counts as stalled
MARGIN = 1.1


@dataclass(frozen=True)
class Progress:
    """The state after a generation: columns of the level axis, those of all devices in a row."""

    n_subnets: int
    n_points: tuple[int, ...]  # on every level's front
    hypervolume: tuple[float, ...]  # of every level, as a share of its box

    def part(self, columns: slice) -> Progress:
        """Some of the levels."""
        return Progress(self.n_subnets, self.n_points[columns], self.hypervolume[columns])


def reference_costs(problem: Problem) -> Floats:
    """The far corner of every level's box `(L, objectives)`; known before the search starts.

    1.1 times the costlier of the largest and the smallest subnet without exits, in every cost.
    """
    ends = np.concatenate([problem.space.largest, problem.space.smallest])
    worse: Floats = problem.costs(problem.scorer(ends))[:, 0].max(axis=0)
    return MARGIN * worse


def measured(n_subnets: int, fronts: Sequence[Floats], reference: Floats) -> Progress:
    """Fronts (n_points, objectives) as shares of the boxes from zero cost to `reference`.

    NaN for a level whose reference is NaN: it is not searched.
    """
    return Progress(
        n_subnets,
        tuple(len(front) for front in fronts),
        tuple(_share(front, corner) for front, corner in zip(fronts, reference, strict=True)),
    )


def _share(front: Floats, corner: Floats) -> float:
    known = corner > 0  # a device without a source of energy has no costs there
    if not known.any():
        return nan
    return hypervolume(front[:, known], corner[known].tolist()) / float(corner[known].prod())


def mean(volumes: Sequence[float]) -> float:
    """Mean hypervolume of the levels that are searched."""
    return float(np.nanmean(volumes))


def stalled(history: Sequence[Progress], patience: int) -> bool:
    """Whether the last `patience` generations together added less than STALL to the hypervolume."""
    if len(history) <= patience:
        return False
    before, now = (float(np.nansum(p.hypervolume)) for p in (history[-1 - patience], history[-1]))
    return before > 0 and now <= before * (1 + STALL)


def described(history: Sequence[Progress]) -> list[ProgressEntry]:
    """`search.progress` of `pareto.json`."""
    return [
        {
            "n_subnets": p.n_subnets,
            "n_points": sum(p.n_points),
            "hypervolume": round(mean(p.hypervolume), 6),
        }
        for p in history
    ]
