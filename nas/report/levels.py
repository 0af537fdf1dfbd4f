"""The few points of every level that a reader should see, with what they save and lose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nas.pareto import Baseline, Level, ParetoTable, Point
from nas.pareto.records import Quantity
from search_spaces import InputError


def level_groups(table: ParetoTable) -> list[dict[str, Any]]:
    """A level with its rows: what the point is there for, the point, and its change in percent
    of energy (of latency where energy is unknown) and in points of accuracy.

    Changes are against the largest subnet without exits at the top clock.
    """
    rival, knees = top_baseline(table), table.knees()
    groups = []
    for level in table.searched:
        rows = [_row(role, point, rival) for role, point in _shown(table, level, rival, knees)]
        groups.append({"level": level, "n_points": len(table.at(level["level"])), "rows": rows})
    return groups


def top_baseline(table: ParetoTable) -> Baseline | None:
    """The largest subnet without exits at the top clock; None where the table has none."""
    try:
        return table.baseline("largest", max(level["level"] for level in table.levels))
    except InputError:
        return None


def _shown(
    table: ParetoTable, level: Level, rival: Baseline | None, knees: dict[int, str]
) -> Iterator[tuple[str, Point]]:
    """The cheapest point that loses no accuracy, the knee, what exits give where it has none."""
    points = table.at(level["level"])
    if not points:
        return
    limit = rival["top1_error_pct"] if rival else -1.0
    if any(p["top1_error_pct"] <= limit for p in points):
        yield "same accuracy", table.cheapest(max_error_pct=limit, levels=[level["level"]])
    knee = next(p for p in points if p["id"] == knees[level["level"]])
    yield "knee", knee
    if not knee["exits"]["after"] and (early := shows_exits(points, knee)):
        yield "with exits", early


def shows_exits(points: list[Point], knee: Point) -> Point | None:
    """Of the points with exits the one that saves most time by them, at no less accuracy than the
    knee where there is one."""
    early = [p for p in points if p["exits"]["after"]]
    near = [p for p in early if p["top1_error_pct"] <= knee["top1_error_pct"]]
    return min(near or early, key=lambda p: p["latency_ms"] / p["latency_worst_ms"], default=None)


def _row(role: str, point: Point, rival: Baseline | None) -> dict[str, Any]:
    quantity: Quantity = "latency_ms" if point["energy_mj"] is None else "energy_mj"
    accuracy = rival and rival["top1_error_pct"] - point["top1_error_pct"]
    change = saving_pct(point, rival, quantity)
    return {
        "role": role,
        "point": point,
        "change_pct": None if change is None else -change,
        "accuracy_points": accuracy,
    }


def saving_pct(point: Point | None, baseline: Point | None, key: Quantity) -> float | None:
    """How much less of `key` the point costs than the baseline, in percent; negative is more."""
    cost, rival = point and point.get(key), baseline and baseline.get(key)
    if cost is None or not rival:
        return None
    return 100 * (1 - cost / rival)
