"""Arithmetic of Pareto fronts. All objectives are costs: arrays are `(n_points, n_objectives)`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from math import inf

import numpy as np

from search_spaces import Bools, Floats, Ints


def non_dominated(costs: Floats) -> Bools:
    """Which rows no other row dominates (<= everywhere, < somewhere); of equal rows the first.

    Rows are visited in lexicographic order, in blocks: a row can only be dominated by an earlier
    one, so each block is compared with the front so far and then with itself.
    """
    order = np.lexsort(costs.T[::-1])
    ranked = costs[order]
    front = np.empty((0, costs.shape[1]))
    keep = np.zeros(len(costs), dtype=bool)
    for start in range(0, len(ranked), 512):
        block = ranked[start : start + 512]
        alive = np.flatnonzero(~_covered(block, front))
        earlier = np.tril(covers(block[alive], block[alive]), k=-1).any(axis=1)
        alive = alive[~earlier]
        keep[order[start + alive]] = True
        front = np.concatenate([front, block[alive]])
    return keep


def covers(rows: Floats, by: Floats) -> Bools:
    """`(rows, by)`: whether `by` is nowhere worse than the row."""
    covered = np.ones((len(rows), len(by)), dtype=bool)
    for j in range(rows.shape[1]):
        covered &= by[None, :, j] <= rows[:, None, j]
    return covered


def _covered(rows: Floats, front: Floats) -> Bools:
    covered: Bools = np.any(covers(rows, front), axis=1)
    return covered


def hypervolume(costs: Floats, reference: Sequence[float]) -> float:
    """Volume between the front of `costs` and `reference`, for two or more objectives.

    Exact: points are swept along the last objective (Fonseca et al., 2006). With three, in n log n:
    the staircase of the first two is kept up with its area. With more, every step is a volume of
    one objective less.
    """
    reference_ = np.asarray(reference, dtype=float)
    inside = costs[(costs < reference_).all(axis=1)]
    if not len(inside):
        return 0.0
    if costs.shape[1] == 2:
        return _area(inside, reference_)
    ranked = inside[np.argsort(inside[:, -1], kind="stable")]
    depths = np.diff(np.append(ranked[:, -1], reference_[-1])).tolist()
    if costs.shape[1] > 3:
        return _swept(ranked[:, :-1], depths, reference_[:-1])
    stairs = _Staircase(*reference_[:2].tolist())
    volume = 0.0
    for (x, y, _), depth in zip(ranked.tolist(), depths, strict=True):
        stairs.add(x, y)
        volume += stairs.area * depth
    return volume


def _swept(costs: Floats, depths: Sequence[float], reference: Floats) -> float:
    """Sum of the volumes of the first rows of `costs`, one row more at every depth."""
    front, volume, area = costs[:0], 0.0, 0.0
    for row, depth in zip(costs, depths, strict=True):
        if not covers(row[None], front).any():
            front = np.concatenate([front[~covers(front, row[None])[:, 0]], row[None]])
            area = hypervolume(front, reference.tolist())
        volume += area * depth
    return volume


class _Staircase:
    """Non-dominated points of two costs by rising x and falling y, and the area they dominate."""

    def __init__(self, x_reference: float, y_reference: float) -> None:
        self.xs, self.ys = [-inf, x_reference], [y_reference, -inf]
        self.area = 0.0

    def add(self, x: float, y: float) -> None:
        """Take in a point below the reference; the steps it dominates go."""
        first = last = bisect_left(self.xs, x)
        height = self.ys[first - 1]
        if height <= y:
            return
        while self.ys[last] >= y:
            self.area += (self.xs[last] - x) * (height - self.ys[last])
            height = self.ys[last]
            last += 1
        self.area += (self.xs[last] - x) * (height - y)
        self.xs[first:last], self.ys[first:last] = [x], [y]


def _area(costs: Floats, reference: Floats) -> float:
    """Area between a staircase of two costs and `reference`."""
    ranked = costs[np.lexsort(costs.T[::-1])]
    best = np.minimum.accumulate(ranked[:, 1])
    heights = np.append(reference[1], best[:-1]) - best
    return float(((reference[0] - ranked[:, 0]) * np.maximum(heights, 0)).sum())


def normalised(costs: Floats) -> Floats:
    """`costs` with every objective scaled to [0, 1]; a constant objective becomes 0."""
    low, high = costs.min(axis=0), costs.max(axis=0)
    scaled: Floats = (costs - low) / np.where(high > low, high - low, 1)
    return scaled


def knee(costs: Floats) -> int:
    """The row closest to the ideal point once every objective is scaled to [0, 1]."""
    return int(np.argmin((normalised(costs) ** 2).sum(axis=1)))


def spread(costs: Floats, n: int) -> Ints:
    """At most `n` rows that represent a front: its extremes and knee, then the farthest left."""
    if len(costs) <= n:
        return np.arange(len(costs))
    scaled = normalised(costs)
    first = list(dict.fromkeys([knee(costs), *scaled.argmin(axis=0).tolist()]))[:n]
    return np.array(sorted(farthest(scaled, first, n)))


def farthest(places: Floats, first: Sequence[int], n: int) -> list[int]:
    """Rows `first` of `places` and, until there are `n`, each time the one farthest from them all.

    Greedy k-centre (Gonzalez, 1985): every dropped row is near a kept one.
    """
    chosen = list(first)
    gap = np.min([((places - places[i]) ** 2).sum(axis=1) for i in chosen], axis=0)
    while len(chosen) < min(n, len(places)):
        gap[chosen] = -1  # equal rows are as near
        chosen.append(int(gap.argmax()))
        gap = np.minimum(gap, ((places - places[chosen[-1]]) ** 2).sum(axis=1))
    return chosen
