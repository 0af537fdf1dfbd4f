"""The result as a value: one non-dominated set of configurations per DVFS level."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from nas.given import real_number, whole_numbers
from nas.pareto.fronts import knee
from nas.pareto.records import Baseline, Level, Objective, ParetoContent, Point
from search_spaces import Floats, InputError, json_sha256, write_text

if TYPE_CHECKING:
    import pandas as pd

SCHEMA: Final = "nas.pareto/1"
WITHIN: Final = 1.0  # points of accuracy that what is proposed may lie below the best
OBJECTIVES: tuple[Objective, ...] = ("top1_error_pct", "latency_ms", "energy_mj")
CSV_COLUMNS = (
    *("id", "level", "gpu_mhz", "cpu_mhz", "emc_mhz", "subnet", "exits"),
    *("top1_error_pct", "error_source", "expected_error_pct", "error_se_pct"),
    *("latency_ms", "latency_worst_ms", "latency_source"),
    *("energy_mj", "energy_source", "macs", "params"),
)


def content_sha256(content: Mapping[str, Any]) -> str:
    """The checksum of a result: equal for two runs that found the same."""
    left_out = ("content_sha256", "created", "command", "versions")
    told = {key: value for key, value in content.items() if key not in left_out}
    as_read = json.loads(json.dumps(told))  # a number as a key is text in a file
    return json_sha256(as_read)


@dataclass(frozen=True)
class ParetoTable:
    """The content of `pareto.json` (`nas.pareto/1`); `docs/reference.md` lists its fields."""

    content: ParetoContent

    @property
    def points(self) -> list[Point]:
        """Every configuration of every level, each a dictionary."""
        return self.content["points"]

    @property
    def levels(self) -> list[Level]:
        """The clocks of every DVFS level, level 0 the slowest."""
        return self.content["levels"]

    @property
    def searched(self) -> list[Level]:
        """The levels that the bounds of the search allowed."""
        return searched_levels(self.content)

    @property
    def objectives(self) -> list[Objective]:
        """The fields of a point that were minimised."""
        return [o["name"] for o in self.content["objectives"]]

    def at(self, level: int) -> list[Point]:
        """The points of one level, -1 the fastest; InputError: the table has no such level.

        >>> import nas
        >>> table = nas.read_pareto("runs/xavier-nx/pareto.json")
        >>> {point["level"] for point in table.at(3)}
        {3}
        """
        (known,) = self._numbers("level", [level])
        return [p for p in self.points if p["level"] == known]

    def _numbers(self, argument: str, levels: Iterable[int]) -> tuple[int, ...]:
        """`levels` as the table numbers them: -1 is the fastest."""
        n = len(self.levels)
        asked = whole_numbers(argument, levels)
        if wrong := [level for level in asked if not -n <= level < n]:
            raise InputError(f"the table has levels 0 to {n - 1}, got `{argument}` {wrong[0]}")
        return tuple(range(n)[level] for level in asked)

    def __repr__(self) -> str:
        device = self.content["device"]["name"]
        counts = f"{len(self.points)} points at {len(self.levels)} levels"
        return f"ParetoTable({counts} of {device}, {self.content['space']})"

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

    def cheapest(
        self,
        *,
        max_error_pct: float = inf,
        max_latency_ms: float = inf,
        max_worst_latency_ms: float = inf,
        max_energy_mj: float = inf,
        levels: Collection[int] | None = None,
    ) -> Point:
        """The point of least energy within the limits; of least latency where energy is unknown.

        InputError: no point of `levels` (all without it, -1 the fastest) is within them; it says
        what is.

        >>> import nas
        >>> table = nas.read_pareto("runs/xavier-nx/pareto.json")
        >>> point = table.cheapest(max_error_pct=10, max_worst_latency_ms=2)
        >>> point["top1_error_pct"] <= 10 and point["latency_worst_ms"] <= 2
        True
        """
        limits: dict[Objective, tuple[str, float]] = {
            "top1_error_pct": ("max_error_pct", max_error_pct),
            "latency_ms": ("max_latency_ms", max_latency_ms),
            "latency_worst_ms": ("max_worst_latency_ms", max_worst_latency_ms),
            "energy_mj": ("max_energy_mj", max_energy_mj),
        }
        allowed = None if levels is None else self._numbers("levels", levels)
        found = [p for p in self.points if allowed is None or p["level"] in allowed]
        for name, (argument, limit) in limits.items():
            if limit == inf:
                continue
            limit = real_number(argument, limit)
            known = [x for p in found if (x := p[name]) is not None]
            found = [p for p in found if (x := p[name]) is not None and x <= limit]
            if not found:
                least = f"the least is {min(known):.4g}" if known else "it is unknown"
                raise InputError(
                    f"no point has {name} within `{argument}` {limit:g} and the limits before it: "
                    f"{least}; raise a limit"
                )
        if not found:
            raise InputError(f"the table has no point at `levels` {levels}")
        return min(found, key=lambda p: (p["energy_mj"] or 0, p["latency_ms"], p["id"]))

    def to_pandas(self) -> pd.DataFrame:
        """One row per point with the clocks of its level: the columns of `pareto.csv`.

        >>> import nas
        >>> table = nas.read_pareto("runs/xavier-nx/pareto.json")
        >>> list(table.to_pandas()[["top1_error_pct", "latency_ms"]])
        ['top1_error_pct', 'latency_ms']
        """
        import pandas as pd

        return pd.DataFrame(self._rows(), columns=list(CSV_COLUMNS))

    def write_json(self, path: Path | str) -> None:
        """Written aside and renamed, with a checksum that tells of later edits."""
        content = {**self.content, "content_sha256": content_sha256(self.content)}
        write_text(path, json.dumps(content, indent=1) + "\n")

    def write_csv(self, path: Path | str) -> None:
        """One row per point; exits are written `0@0.9+2@0.7`."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        writer.writerows(self._rows())  # None is an empty cell; a source may be a user's own words
        write_text(path, text.getvalue())

    def _rows(self) -> list[list[Any]]:
        """The values of CSV_COLUMNS of every point."""
        rows = []
        clocks = {level["level"]: level for level in self.levels}
        for point in self.points:
            exits = point["exits"]
            pairs = zip(exits["after"], exits["thresholds"], strict=True)
            row: dict[str, Any] = {**clocks[point["level"]], **point}
            row["exits"] = "+".join(f"{k}@{t:g}" for k, t in pairs)
            rows.append([row.get(c) for c in CSV_COLUMNS])
        return rows


def searched_levels(content: Mapping[str, Any] | ParetoContent) -> list[Level]:
    """The levels of a parsed pareto.json that its search was allowed to use."""
    allowed = ((content.get("search") or {}).get("bounds") or {}).get("levels")
    return [row for row in content["levels"] if allowed is None or row["level"] in allowed]
