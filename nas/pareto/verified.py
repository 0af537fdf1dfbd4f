"""The fields of `pareto.json` that hold what points cost by measured programs.

Written by `nas.search.verify_cost`; they are optional.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from nas.pareto.records import ParetoContent, Point, Quantity

FIELD: Final = "verified_cost"  # of a point, and of the file
QUANTITIES: dict[
    Quantity, Literal["latency_source", "energy_source"]
] = {  # by the field of a point; what predicted them
    "latency_ms": "latency_source",
    "latency_worst_ms": "latency_source",
    "energy_mj": "energy_source",
}


def verified_points(content: Mapping[str, Any] | ParetoContent) -> list[Point]:
    """The points of a parsed pareto.json whose cost was verified."""
    return [point for point in content.get("points") or () if point.get(FIELD)]
