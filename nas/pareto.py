"""The result: one non-dominated set of configurations per DVFS level, as a file and as arithmetic.

All objectives are costs. `costs` arrays are `(n_points, n_objectives)`.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.files import write_text
from nas.verified import fault_of
from search_spaces import InputError

SCHEMA = "nas.pareto/1"
OBJECTIVES = ("top1_error_pct", "latency_ms", "energy_mj")
CSV_COLUMNS = (
    *("id", "level", "gpu_mhz", "cpu_mhz", "emc_mhz", "subnet", "exits"),
    *("top1_error_pct", "error_source"),
    *("latency_ms", "latency_worst_ms", "latency_source"),
    *("energy_mj", "energy_source", "macs", "params"),
)

Costs = NDArray[np.floating[Any]]


def non_dominated(costs: Costs) -> NDArray[np.bool_]:
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


def covers(rows: Costs, by: Costs) -> NDArray[np.bool_]:
    """`(rows, by)`: whether `by` is nowhere worse than the row."""
    covered = np.ones((len(rows), len(by)), dtype=bool)
    for j in range(rows.shape[1]):
        covered &= by[None, :, j] <= rows[:, None, j]
    return covered


def _covered(rows: Costs, front: Costs) -> NDArray[np.bool_]:
    return np.any(covers(rows, front), axis=1)


def hypervolume(costs: Costs, reference: Sequence[float]) -> float:
    """Volume between the front of `costs` and `reference`, for two or three objectives.

    Exact, in n log n: points are swept along the last objective, and the staircase of the first two
    is kept up with its area (Fonseca et al., 2006).
    """
    reference_ = np.asarray(reference, dtype=float)
    inside = costs[(costs < reference_).all(axis=1)]
    if not len(inside):
        return 0.0
    if costs.shape[1] == 2:
        return _area(inside, reference_)
    ranked = inside[np.argsort(inside[:, -1], kind="stable")]
    depths = np.diff(np.append(ranked[:, -1], reference_[-1])).tolist()
    stairs = _Staircase(*reference_[:2].tolist())
    volume = 0.0
    for (x, y, _), depth in zip(ranked.tolist(), depths, strict=True):
        stairs.add(x, y)
        volume += stairs.area * depth
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


def _area(costs: Costs, reference: Costs) -> float:
    """Area between a staircase of two costs and `reference`."""
    ranked = costs[np.lexsort(costs.T[::-1])]
    best = np.minimum.accumulate(ranked[:, 1])
    heights = np.append(reference[1], best[:-1]) - best
    return float(((reference[0] - ranked[:, 0]) * np.maximum(heights, 0)).sum())


def normalised(costs: Costs) -> Costs:
    """`costs` with every objective scaled to [0, 1]; a constant objective becomes 0."""
    low, high = costs.min(axis=0), costs.max(axis=0)
    return (costs - low) / np.where(high > low, high - low, 1)


def knee(costs: Costs) -> int:
    """The row closest to the ideal point once every objective is scaled to [0, 1]."""
    return int(np.argmin((normalised(costs) ** 2).sum(axis=1)))


def spread(costs: Costs, n: int) -> NDArray[np.int64]:
    """At most `n` rows that represent a front: its extremes and knee, then the farthest left."""
    if len(costs) <= n:
        return np.arange(len(costs))
    scaled = normalised(costs)
    first = list(dict.fromkeys([knee(costs), *scaled.argmin(axis=0).tolist()]))[:n]
    return np.array(sorted(farthest(scaled, first, n)))


def farthest(places: Costs, first: Sequence[int], n: int) -> list[int]:
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


@dataclass(frozen=True)
class ParetoTable:
    """The content of `pareto.json` (`nas.pareto/1`); `docs/reference.md` lists its fields."""

    content: dict[str, Any]

    @property
    def points(self) -> list[dict[str, Any]]:
        return self.content["points"]

    @property
    def levels(self) -> list[dict[str, Any]]:
        return self.content["levels"]

    @property
    def searched(self) -> list[dict[str, Any]]:
        """The levels that the bounds of the search allowed."""
        return searched_levels(self.content)

    @property
    def objectives(self) -> list[str]:
        return [o["name"] for o in self.content["objectives"]]

    def at(self, level: int) -> list[dict[str, Any]]:
        """The points of one level."""
        return [p for p in self.points if p["level"] == level]

    def costs(self, points: Sequence[dict[str, Any]]) -> Costs:
        """Objectives of `points`, `(n, n_objectives)`."""
        return np.array([[p[name] for name in self.objectives] for p in points], dtype=float)

    def knees(self) -> dict[int, str]:
        """The id of the knee point of every level that has points."""
        found = {level["level"]: self.at(level["level"]) for level in self.levels}
        return {k: points[knee(self.costs(points))]["id"] for k, points in found.items() if points}

    def baseline(self, name: str, level: int) -> dict[str, Any]:
        """The `largest` or `smallest` subnet without exits at one level."""
        return next(
            b for b in self.content["baselines"] if b["name"] == name and b["level"] == level
        )

    def write_json(self, path: Path) -> None:
        write_text(path, json.dumps(self.content, indent=1) + "\n")

    def write_csv(self, path: Path) -> None:
        """One row per point; exits are written `0@0.9+2@0.7`."""
        lines = [",".join(CSV_COLUMNS)]
        clocks = {level["level"]: level for level in self.levels}
        for point in self.points:
            exits = point["exits"]
            pairs = zip(exits["after"], exits["thresholds"], strict=True)
            row = clocks[point["level"]] | point
            row["exits"] = "+".join(f"{k}@{t:g}" for k, t in pairs)
            lines.append(",".join("" if row[c] is None else str(row[c]) for c in CSV_COLUMNS))
        write_text(path, "\n".join(lines) + "\n")


def searched_levels(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The levels of a parsed pareto.json that its search was allowed to use."""
    allowed = ((content.get("search") or {}).get("bounds") or {}).get("levels")
    return [row for row in content["levels"] if allowed is None or row["level"] in allowed]


def read_pareto(path: Path) -> ParetoTable:
    """Read `pareto.json`. InputError: not there, no JSON, or another schema."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; `nas search --out DIR` writes one") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no readable pareto.json: {error}") from None
    found = content.get("schema") if isinstance(content, dict) else None
    if found != SCHEMA:
        raise InputError(f"{path} has schema {found!r}, this version reads {SCHEMA!r}")
    if fault := fault_of(content):
        raise InputError(f"{path}: {fault}; measure again with `nas measure --of`")
    return ParetoTable(content)
