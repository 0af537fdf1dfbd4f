"""The result as a file: one non-dominated set of configurations per DVFS level."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nas.files import write_text
from nas.pareto.fronts import knee
from nas.pareto.verified import fault_of
from search_spaces import Floats, InputError

SCHEMA = "nas.pareto/1"
OBJECTIVES = ("top1_error_pct", "latency_ms", "energy_mj")
CSV_COLUMNS = (
    *("id", "level", "gpu_mhz", "cpu_mhz", "emc_mhz", "subnet", "exits"),
    *("top1_error_pct", "error_source"),
    *("latency_ms", "latency_worst_ms", "latency_source"),
    *("energy_mj", "energy_source", "macs", "params"),
)


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

    def costs(self, points: Sequence[dict[str, Any]]) -> Floats:
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
