"""What a governor chooses from: every configuration of a table at every level of its device.

A point has its cost at its own level. The device's model says how time and power of the same
programs go with the clock; scaled to the figures of the table at the levels where it has them, it
gives the cost up to each exit at all levels. Nothing here changes a point.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from nas.devices import get_device, profile_names
from nas.pareto.provenance import MEASURED, SIMULATED
from nas.pareto.table import ParetoTable
from search_spaces import DvfsLevel, Floats, InputError, Operators, Space, get_space

TO_TABLE = f"{SIMULATED} (scaled to the table)"
Row = Mapping[str, Any]


class Modelled(Protocol):
    """A device that a model describes at every clock."""

    decision_ms: float
    levels: list[DvfsLevel]

    def cost(self, operators: Operators) -> tuple[Floats, Floats]: ...
    def idle_w(self) -> Floats: ...


def governing(
    table: ParetoTable, points: Iterable[Row], space: Space | None = None
) -> dict[str, Any]:
    """`points` as one row per configuration: time and power up to each exit at every level.

    Points that differ by level alone are one configuration, called as the first of them. The rows
    of `baselines` fit as well. `space` is the table's, which has no name where it is that of a
    wrapped network. InputError: no model describes the device of the table.
    """
    device = _device(table)
    known: dict[tuple[str, str], list[Row]] = {}
    for point in points:
        known.setdefault((point["subnet"], str(point["exits"])), []).append(point)
    space = space or get_space(table.content["space"])
    rows = [_configuration(device, space, same) for same in known.values()]
    idle_w = device.idle_w()
    # a board that draws less at work than the model says of an idle one draws no more when idle
    least_w = np.min([power_w for row in rows for power_w in row["power_w"]], axis=0)
    return {
        "mhz": [round(level.clock_mhz, 3) for level in device.levels],
        "idle_w": _rounded(np.minimum(idle_w, least_w)),
        "idle_source": SIMULATED if (idle_w <= least_w).all() else f"{SIMULATED} (at most at work)",
        "configurations": rows,
    }


def without_exits(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Subnets to govern without early exits, from `subnet`, `top1_error_pct`, `error_source`."""
    return [
        {"id": f"{row['subnet']} without exits", "exits": {"after": [], "thresholds": []}, **row}
        for row in rows
    ]


def _device(table: ParetoTable) -> Modelled:
    about = table.content["device"]
    if about["name"] not in profile_names():
        raise InputError(
            f"no model describes {about['name']} at every clock, so nothing can govern it; search "
            "for a device with a profile, which `nas devices` lists"
        )
    if about["batch"] != 1:
        raise InputError(
            f"the table has the costs of {about['batch']} images at once, and a governor answers "
            "one after the other; search with `batch` 1"
        )
    device: Any = get_device(
        about["name"],
        backend=about["backend"],
        precision=about["precision"],
        power_mode=about["power_mode"],
        batch=about["batch"],
    )
    found: Modelled = device
    if len(found.levels) != len(table.levels):
        raise InputError(
            f"the table has {len(table.levels)} levels and {about['name']} has "
            f"{len(found.levels)}: its profile changed; search again"
        )
    return found


def _configuration(device: Modelled, space: Space, same: list[Row]) -> dict[str, Any]:
    point, after = same[0], same[0]["exits"]["after"]
    time_ms, power_w = _programs(device, space, point["subnet"], after)
    rates = point.get("exit_rates") or [0.0] * space.n_exits + [1.0]
    asked = np.array([rates[k] for k in (*after, space.n_exits)])
    asked = asked / asked.sum()
    time_ms = _fitted_ms(same, asked, time_ms)
    power_w = power_w * _scale(same, "energy_mj", asked @ (time_ms * power_w))
    return {
        "id": point["id"],
        "subnet": point["subnet"],
        **point["exits"],
        "exits": [*after, space.n_exits],
        "top1_error_pct": point["top1_error_pct"],
        "error_source": point.get("error_source", MEASURED),
        "exit_rates": [round(float(rate), 6) for rate in asked],
        "time_ms": [_rounded(row) for row in time_ms],
        "power_w": [_rounded(row) for row in power_w],
        "known_at": [p["level"] for p in same if "latency_ms" in p],
        "source": TO_TABLE if any("latency_ms" in p for p in same) else SIMULATED,
        "known_source": point.get("latency_source"),
    }


def _programs(
    device: Modelled, space: Space, subnet: str, after: list[int]
) -> tuple[Floats, Floats]:
    """Milliseconds and watts `(exits asked, L)` of an image that leaves at each, decisions in."""
    asked = [*after, space.n_exits]
    heads = np.zeros((len(asked), space.n_exits + 1), dtype=bool)
    for i in range(len(asked)):
        heads[i, asked[: i + 1]] = True
    genes = np.repeat(space.genes([space.parse(subnet)]), len(asked), axis=0)
    latency, energy = device.cost(space.operators(genes, heads))
    decisions = heads[:, : space.n_exits].sum(axis=1)[:, None]
    return latency + decisions * device.decision_ms, energy / latency


def _fitted_ms(same: list[Row], asked: Floats, model: Floats) -> Floats:
    """Milliseconds `(exits asked, L)` with the table's worst and its expected latency.

    The last exit takes the worst; the earlier ones keep what the model says of their ratio, and
    one factor for all of them makes the expected latency the table's.
    """
    last = model[-1] * _scale(same, "latency_worst_ms", model[-1])
    mean = (asked @ model) * _scale(same, "latency_ms", asked @ model)
    early = asked[:-1] @ model[:-1]
    if not early.all():  # no image leaves early
        return model * (mean / (asked @ model))
    before = model[:-1] * ((mean - asked[-1] * last) / early)
    # int8 has rates of its own, with which the expected latency may leave the early exits nothing
    before = np.where(before > 0, np.minimum(before, last), model[:-1] / model[-1] * last)
    return np.concatenate([before, last[None]])


def _scale(same: list[Row], figure: str, model: Floats) -> Floats:
    """Figure of the table / figure of the model `(L,)`: known levels, and between them a line.

    Points with clocks of their own (`--clocks all`) say nothing of their level's.
    """
    seen = {
        p["level"]: p[figure] / model[p["level"]]
        for p in same
        if p.get(figure) and p.get("cpu_mhz") is None
    }
    if not seen:
        return np.ones_like(model)
    at = sorted(seen)
    scale: Floats = np.interp(np.arange(len(model)), at, [seen[level] for level in at])
    return scale


def _rounded(values: Floats) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
