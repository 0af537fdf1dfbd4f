"""What a level shows: the point of equal accuracy, the knee, what exits give."""

from __future__ import annotations

from typing import Any, cast

import pytest

from nas.pareto import ParetoTable
from nas.report.levels import level_groups, saving_pct, shows_exits, top_baseline
from tests.nas.report.test_html import synthetic_pareto


def test_changes_are_against_the_largest_subnet_at_the_top_clock() -> None:
    table = ParetoTable(cast(Any, synthetic_pareto()))
    rival = top_baseline(table)
    assert rival is not None
    assert rival["id"] == "largest-3"
    for group in level_groups(table):
        for row in group["rows"]:
            point = row["point"]
            assert point["level"] == group["level"]["level"]
            assert row["change_pct"] == pytest.approx(
                100 * (point["energy_mj"] / rival["energy_mj"] - 1)
            )
            assert row["accuracy_points"] == rival["top1_error_pct"] - point["top1_error_pct"]


def test_a_level_shows_its_knee_and_equal_accuracy_at_least_cost() -> None:
    pareto = synthetic_pareto()
    pareto["points"][5]["top1_error_pct"] = 0.5
    table = ParetoTable(cast(Any, pareto))
    rows = {row["role"]: row["point"] for row in level_groups(table)[0]["rows"]}
    assert rows["same accuracy"] == pareto["points"][5]
    assert rows["knee"]["id"] == table.knees()[0]


def test_beside_a_knee_without_exits_stands_what_exits_give() -> None:
    points = synthetic_pareto()["points"][:10]
    for i, point in enumerate(points):
        point |= {"latency_ms": point["latency_worst_ms"] * (1 - 0.05 * i)}
    knee = next(p for p in points if not p["exits"]["after"])
    found = shows_exits(points, knee)
    assert found is not None
    early = [p for p in points if p["exits"]["after"]]
    near = [p for p in early if p["top1_error_pct"] <= knee["top1_error_pct"]]
    assert found == (near or early)[-1]
    assert shows_exits([knee], knee) is None


def test_a_saving_needs_both_figures() -> None:
    def point(energy_mj: float | None) -> Any:
        return {"energy_mj": energy_mj}

    assert saving_pct(point(30.0), point(40.0), "energy_mj") == pytest.approx(25)
    assert saving_pct(point(None), point(40.0), "energy_mj") is None
    assert saving_pct(point(30.0), None, "energy_mj") is None
