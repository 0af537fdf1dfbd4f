"""The fields of `pareto.json` that hold what points cost by measured programs.

Written by `nas.search.verify_cost`; they are optional, and checked where a file is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FIELD = "verified_cost"  # of a point, and of the file
QUANTITIES = {  # by the field of a point; what predicted them
    "latency_ms": "latency_source",
    "latency_worst_ms": "latency_source",
    "energy_mj": "energy_source",
}
TOLD = (
    *("source", "backend", "precision", "n_programs", "n_left_out"),
    *("decision_ms", "decision_source"),
)


def verified_points(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a parsed pareto.json whose cost was verified."""
    return [point for point in content.get("points") or () if point.get(FIELD)]


def fault_of(content: Mapping[str, Any]) -> str | None:
    """What is wrong with the verified costs of a parsed pareto.json, if something is."""
    points = verified_points(content)
    told = content.get(FIELD)
    if not points:
        return None
    if not isinstance(told, dict) or not {*TOLD, *QUANTITIES} <= set(told):
        return f"{FIELD} must say {', '.join((*TOLD, *QUANTITIES))}"
    for point in points:
        found = point[FIELD]
        optional = [found.get("energy_mj")] if found.get("energy_mj") is not None else []
        figures = [found.get("latency_ms"), found.get("latency_worst_ms"), *optional]
        if not all(isinstance(x, int | float) and 0 < x < math.inf for x in figures):
            return f"{FIELD} of {point['id']} must be positive numbers, got {figures}"
        if not isinstance(found.get("source"), str):
            return f"{FIELD} of {point['id']} names no source"
    return None
