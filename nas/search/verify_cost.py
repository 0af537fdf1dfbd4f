"""What points of a result cost by programs that were measured, beside what was predicted."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from nas.devices import Device, Machine
from nas.measure import Job, row_key
from nas.measure.table import TextRow
from nas.measure.wanted import Asked, Wanted, off_clock, point_programs
from nas.pareto import Point
from nas.pareto.provenance import MEASURED
from nas.pareto.records import CostComparison, Quantity, VerifiedCosts
from nas.pareto.verified import FIELD, QUANTITIES
from nas.search.front.points import digits
from nas.search.score.scorer import expected_costs, with_decisions
from predictors import srcc_within
from search_spaces import ExitPolicy, Floats, InputError, PolicyGrid, Space

ANY = 0.5  # a threshold: what a policy costs depends on its exits and their rates alone


def verify_cost(
    wanted: Wanted,
    device: Device,
    jobs: Mapping[Asked, Sequence[Job]],
    rows: Sequence[TextRow],
    *,
    file: Path,
    command: str,
) -> VerifiedCosts:
    """Add `verified_cost` to the points of a result and to the result; returns the latter.

    `rows` are those of `file`; a program that has several costs their median. Points whose programs
    did not all run, at the point's own clocks, are left out. InputError: that are all of them.
    """
    assert wanted.table is not None
    content = wanted.table.content
    for point in content["points"]:
        point.pop(FIELD, None)  # of an earlier verification, perhaps on another backend
    found = _medians(jobs, rows, device)
    known = []
    for point in wanted.points:
        programs = point_programs(point, wanted.table, wanted.space)
        if all(asked in found for asked in programs):
            known.append((point, [found[asked] for asked in programs]))
    if not known:
        raise InputError(
            f"no point of {wanted.path} is verified: {device.name} ran no program at the clocks "
            "of its level (column `notes` of the rows says why; `sudo` sets clocks as root)"
        )
    costs = composed(wanted.space, known, device.decision_ms)
    for (one, runs), (latency, worst, energy) in zip(known, costs.tolist(), strict=True):
        one[FIELD] = {
            "latency_ms": digits(latency),
            "latency_worst_ms": digits(worst),
            "energy_mj": digits(energy) if np.isfinite(energy) else None,
            "source": _joined(run[2] for run in runs),
        }
    points = [point for point, _ in known]
    told: VerifiedCosts = {
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": command,
        "rows": str(file),
        "source": _joined(point[FIELD]["source"] for point in points),
        "backend": device.backend,
        "precision": device.precision,
        "n_programs": len(wanted.asked),
        "n_left_out": len(wanted.points) - len(points),
        "decision_ms": device.decision_ms,
        "decision_source": MEASURED if isinstance(device, Machine) else "profile",
        "latency_ms": compared(points, "latency_ms"),
        "latency_worst_ms": compared(points, "latency_worst_ms"),
        "energy_mj": compared(points, "energy_mj"),
    }
    content[FIELD] = told
    return told


def composed(
    space: Space,
    points: Sequence[tuple[Point, Sequence[tuple[float, float, str]]]],
    decision_ms: float,
) -> Floats:
    """Expected latency, worst-case latency and expected energy `(n, 3)` of points.

    Each comes with the costs of its programs, from short to long, as the inner search has them:
    latency_ms and energy_mj (NaN where unknown).
    """
    grid = PolicyGrid(space.n_exits, (ANY,))
    n = len(points)
    run_ms, run_mj = np.full((2, n, len(grid.programs), 1), np.nan)
    policies = np.empty(n, dtype=int)
    for i, (point, runs) in enumerate(points):
        after = tuple(point["exits"]["after"])
        policies[i] = grid.index(ExitPolicy(after, (ANY,) * len(after)))
        route = grid.route[policies[i]]
        for program, (latency, energy, _) in zip(route[route >= 0], runs, strict=True):
            run_ms[i, program], run_mj[i, program] = latency, energy
    rates = np.array([point["exit_rates"] for point, _ in points])
    rates = np.repeat(rates[:, None], len(grid), axis=1)
    costs = expected_costs(grid, rates, *with_decisions(grid, run_ms, run_mj, decision_ms))
    latency_ms, energy_mj, worst_ms = (cost[np.arange(n), policies, 0] for cost in costs)
    return np.stack([latency_ms, worst_ms, energy_mj], axis=1)


def compared(points: Sequence[Point], name: Quantity) -> CostComparison | None:
    """How far one predicted quantity of verified points is from what was found; None: unknown.

    Errors are 100 x (predicted / found - 1). Ranks are compared within levels.
    """
    known = [p for p in points if p[name] is not None and p[FIELD][name] is not None]
    if not known:
        return None
    predicted, found = np.array([[p[name], p[FIELD][name]] for p in known]).T
    error = 100 * (predicted / found - 1)
    worst = int(np.abs(error).argmax())
    rank = srcc_within(found, predicted, [p["level"] for p in known])
    told: CostComparison = {
        "predicted_source": _joined(p[QUANTITIES[name]] for p in known),
        "n_points": len(known),
        "median_error_pct": round(float(np.median(np.abs(error))), 3),
        "bias_pct": round(float(np.median(error)), 3),
        "worst_error_pct": round(float(error[worst]), 3),
        "worst_point": known[worst]["id"],
        "srcc": round(rank, 4) if np.isfinite(rank) else None,
    }
    if name == "latency_ms" and all(p["latency_interval_ms"] for p in known):
        intervals = [p["latency_interval_ms"] or [] for p in known]
        inside = [low <= x <= high for (low, high), x in zip(intervals, found, strict=True)]
        told["n_in_interval"] = int(np.sum(inside))
    return told


def _medians(
    jobs: Mapping[Asked, Sequence[Job]], rows: Sequence[TextRow], device: Device
) -> dict[Asked, tuple[float, float, str]]:
    """latency_ms, energy_mj (NaN where unknown) and source of the programs that ran as asked."""
    by_key = {row_key(row): row for row in rows}
    found = {}
    for asked, own in jobs.items():
        rows_of = [by_key.get(row_key(job.about)) for job in own]
        mine = [row for row in rows_of if row and not off_clock(row, asked, device)]
        if mine:
            latency = np.median([float(row["latency_ms"]) for row in mine])
            energy = np.median([float(row.get("energy_mj") or "nan") for row in mine])
            source = _joined(row.get("source") or "unstated" for row in mine)
            found[asked] = float(latency), float(energy), source
    return found


def _joined(words: Iterable[str | None]) -> str:
    return " and ".join(sorted({word for word in words if word}))
