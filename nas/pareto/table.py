"""The result as a value: one non-dominated set of configurations per DVFS level."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from nas.pareto.fronts import knee
from nas.pareto.records import Baseline, Level, Objective, ParetoContent, Point
from search_spaces import Floats, InputError, write_text

SCHEMA: Final = "nas.pareto/1"
OBJECTIVES: tuple[Objective, ...] = ("top1_error_pct", "latency_ms", "energy_mj")
CSV_COLUMNS = (
    *("id", "level", "gpu_mhz", "cpu_mhz", "emc_mhz", "subnet", "exits"),
    *("top1_error_pct", "error_source"),
    *("latency_ms", "latency_worst_ms", "latency_source"),
    *("energy_mj", "energy_source", "macs", "params"),
)


@dataclass(frozen=True)
class ParetoTable:
    """The content of `pareto.json` (`nas.pareto/1`); `docs/reference.md` lists its fields."""

    content: ParetoContent

    @property
    def points(self) -> list[Point]:
        return self.content["points"]

    @property
    def levels(self) -> list[Level]:
        return self.content["levels"]

    @property
    def searched(self) -> list[Level]:
        """The levels that the bounds of the search allowed."""
        return searched_levels(self.content)

    @property
    def objectives(self) -> list[Objective]:
        return [o["name"] for o in self.content["objectives"]]

    def at(self, level: int) -> list[Point]:
        """The points of one level."""
        return [p for p in self.points if p["level"] == level]

    def costs(self, points: Sequence[Point]) -> Floats:
        """Objectives of `points`, `(n, n_objectives)`."""
        return np.array([[p[name] for name in self.objectives] for p in points], dtype=float)

    def knees(self) -> dict[int, str]:
        """The id of the knee point of every level that has points."""
        found = {level["level"]: self.at(level["level"]) for level in self.levels}
        return {k: points[knee(self.costs(points))]["id"] for k, points in found.items() if points}

    def baseline(self, name: str, level: int) -> Baseline:
        """The `largest` or `smallest` subnet without exits at one level; InputError: not there."""
        for baseline in self.content["baselines"]:
            if baseline["name"] == name and baseline["level"] == level:
                return baseline
        raise InputError(f"the table has no baseline {name!r} at level {level}; search again")

    def write_json(self, path: Path) -> None:
        write_text(path, json.dumps(self.content, indent=1) + "\n")

    def write_csv(self, path: Path) -> None:
        """One row per point; exits are written `0@0.9+2@0.7`."""
        lines = [",".join(CSV_COLUMNS)]
        clocks = {level["level"]: level for level in self.levels}
        for point in self.points:
            exits = point["exits"]
            pairs = zip(exits["after"], exits["thresholds"], strict=True)
            row: dict[str, Any] = {**clocks[point["level"]], **point}
            row["exits"] = "+".join(f"{k}@{t:g}" for k, t in pairs)
            lines.append(",".join("" if row[c] is None else str(row[c]) for c in CSV_COLUMNS))
        write_text(path, "\n".join(lines) + "\n")


def searched_levels(content: Mapping[str, Any] | ParetoContent) -> list[Level]:
    """The levels of a parsed pareto.json that its search was allowed to use."""
    allowed = ((content.get("search") or {}).get("bounds") or {}).get("levels")
    return [row for row in content["levels"] if allowed is None or row["level"] in allowed]
