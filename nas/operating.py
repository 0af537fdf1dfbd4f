"""Operating points: configuration x processor x cores x clock of one device, and their reach.

Two ranges are told and never mixed: over all points, as in Xun et al., 2020 (arXiv:2105.03600), and
over those that no other point beats in time, energy and error. Below the knee of the voltage a
slower clock costs more energy, so most points of the wide range are ones that nobody should use.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TypedDict

import numpy as np

from nas.devices import AnalyticDevice, Profile
from nas.pareto import non_dominated
from nas.pareto.provenance import SIMULATED
from search_spaces import Bools, Floats, InputError, Operators, Space

# What of a device runs small convolutional networks: names of backends by device.
PROCESSORS = {
    "odroid-xu3": {"A15": "ncnn", "A7": "ncnn-a7"},
    "nano": {"GPU": "tensorrt", "CPU": "ncnn"},
}


@dataclass(frozen=True)
class OperatingPoint:
    """One configuration at one clock of one processor; costs are simulated."""

    subnet: str
    processor: str
    cores: int  # of a CPU that compute; 0 for a GPU
    clock_mhz: float
    latency_ms: float
    energy_mj: float
    top1_error_pct: float
    non_dominated: bool = True
    source: str = SIMULATED


class Reach(TypedDict):
    """The largest over the smallest cost of some points."""

    n_points: int
    time: float
    energy: float


class Range(TypedDict):
    """How far the points of one device reach."""

    device: str
    power: str
    source: str
    all_points: Reach
    non_dominated: Reach
    n_unwise: int  # points that another one beats


def operating_points(
    profile: Profile,
    space: Space,
    top1_error_pct: Mapping[str, float],
    *,
    processors: Mapping[str, str] | None = None,
    batch: int = 1,
) -> list[OperatingPoint]:
    """Every configuration in `top1_error_pct`, by its string, at every clock of every processor.

    Of a CPU one core to all of them compute, as Dynamic-OFA has it (arXiv:2105.03596). `processors`
    maps names to backends of `profile` (PROCESSORS knows some boards; else one backend each). The
    final exit answers. Power is that of the rails where the profile knows them.
    """
    subnets = list(top1_error_pct)
    if not subnets:
        raise InputError("`top1_error_pct` names no configuration")
    heads = np.zeros((1, space.n_exits + 1), dtype=bool)
    heads[0, -1] = True
    operators = space.operators(space.parse_all(subnets), heads)
    chosen = processors or PROCESSORS.get(profile.name) or _one_each(profile, operators, batch)
    found = []
    for processor, device in _placed(profile, chosen, batch):
        latency, energy = device.cost(operators)
        cores = device.threads if device.processor == "cpu" else 0
        found += [
            OperatingPoint(
                subnet, processor, cores, level.clock_mhz,
                float(latency[i, j]), float(energy[i, j]), top1_error_pct[subnet],
            )
            for i, subnet in enumerate(subnets)
            for j, level in enumerate(device.levels)
        ]  # fmt: skip
    kept = non_dominated(costs_of(found))
    return [
        OperatingPoint(**{**asdict(point), "non_dominated": bool(k)})
        for point, k in zip(found, kept, strict=True)
    ]


def _one_each(profile: Profile, operators: Operators, batch: int) -> dict[str, str]:
    """A backend for every processor and cluster: the default one, else the fastest."""
    by_place: dict[str, list[str]] = {}
    for name, backend in profile.backends.items():
        by_place.setdefault(backend.cluster or backend.processor.upper(), []).append(name)

    def rank(name: str) -> tuple[bool, float]:
        latency, _ = AnalyticDevice(profile, backend=name, batch=batch).cost(operators)
        return name != profile.default_backend, float(latency.min())

    return {place: min(names, key=rank) for place, names in by_place.items()}


def _placed(
    profile: Profile, processors: Mapping[str, str], batch: int
) -> Iterator[tuple[str, AnalyticDevice]]:
    """The device of every processor, of a CPU for every number of cores."""
    rails = profile.on_rails()
    for name, backend in processors.items():
        device = AnalyticDevice(rails, backend=backend, batch=batch)
        for n in range(1, device.threads + 1) if device.processor == "cpu" else (None,):
            yield name, AnalyticDevice(rails, backend=backend, batch=batch, threads=n)


def costs_of(points: Sequence[OperatingPoint]) -> Floats:
    """Milliseconds, millijoules and error in percent, (n, 3)."""
    return np.array([(p.latency_ms, p.energy_mj, p.top1_error_pct) for p in points])


def dynamic_range(profile: Profile, points: Sequence[OperatingPoint]) -> Range:
    """Both ranges of the points of one device."""
    costs, kept = costs_of(points), np.array([p.non_dominated for p in points])
    return {
        "device": profile.name,
        "power": "rails of the processors" if profile.rail_w else "whole board",
        "source": SIMULATED,
        "all_points": _reach(costs, np.ones(len(points), dtype=bool)),
        "non_dominated": _reach(costs, kept),
        "n_unwise": int((~kept).sum()),
    }


def _reach(costs: Floats, chosen: Bools) -> Reach:
    spent = costs[chosen, :2]
    ratios = spent.max(axis=0) / spent.min(axis=0)
    return {
        "n_points": int(chosen.sum()),
        "time": round(float(ratios[0]), 2),
        "energy": round(float(ratios[1]), 2),
    }


def text_of(reach: Range) -> str:
    """Both ranges in two lines."""
    wide, useful = reach["all_points"], reach["non_dominated"]
    return (
        f"{reach['device']}: {wide['n_points']} operating points, {reach['source']}, power of the "
        f"{reach['power']}\n"
        f"  all points: time x{wide['time']:g}, energy x{wide['energy']:g}\n"
        f"  points that no other beats in time, energy and error ({useful['n_points']}): "
        f"time x{useful['time']:g}, energy x{useful['energy']:g}\n"
        f"  nobody should use the other {reach['n_unwise']}"
    )


def csv_of(by_device: Mapping[str, Sequence[OperatingPoint]]) -> str:
    """One line for every point."""
    names = ["device", *(field.name for field in fields(OperatingPoint))]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for device, points in by_device.items():
        writer.writerows({"device": device, **asdict(point)} for point in points)
    return text.getvalue()
