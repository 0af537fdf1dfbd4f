"""The result of one device, from its own archive: the table and its files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from nas.devices import Device, StartsKnown
from nas.pareto import SCHEMA, Level, ParetoTable, hypervolume, non_dominated
from nas.pareto.provenance import MEASURED
from nas.pareto.records import DeviceEntry, ParetoContent, SearchEntry
from nas.search.front.archive import Archive
from nas.search.front.constant_latency import constant_latency
from nas.search.front.every_subnet import every_subnet
from nas.search.front.importance import importance
from nas.search.front.points import PointMaker, Provenance, digits
from nas.search.front.progress import described
from nas.search.model import Model
from nas.search.score.bounds import Bounds
from nas.search.settings import SearchSettings
from nas.search.study.warm_start import WarmStart
from nas.search.targets import Target
from nas.transfer.costs import TargetCosts
from nas.transfer.known import the_one
from nas.transfer.plausible import SETTING
from nas.version import __version__
from predictors import NewImages

LIBRARIES = ("numpy", "optuna", "scikit-learn", "xgboost", "torch")


def result_table(
    settings: SearchSettings,
    model: Model,
    target: Target,
    archive: Archive,
    warm: WarmStart | None,
) -> ParetoTable:
    """The result of one device; the front's representatives are at most `n_points` a level."""
    costs, device = target.costs, target.device
    words = Provenance(
        costs.latency_source,
        costs.energy_source,
        costs.latency_interval_log,
        MEASURED if settings.evaluate else model.accuracy.table.source,
    )
    known = NewImages.of(model.accuracy.table, model.accuracy.predictor)
    maker = PointMaker(target.problem, device.levels, words, known)
    points = maker.fronts(archive, settings.n_points)
    shares = device.launch_share if isinstance(device, StartsKnown) else None
    baselines = maker.baselines(shares)
    reached, every = maker.costs(points), maker.costs([*points, *baselines])
    reference = [digits(1.1 * x) for x in every.max(axis=0)]
    level_of = np.array([p["level"] for p in points])
    volumes = [
        digits(hypervolume(reached[level_of == level], reference))
        for level in range(len(maker.levels))
    ]
    content: ParetoContent = {
        "schema": SCHEMA,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": settings.command,
        "seed": settings.seed,
        "versions": {"nas": __version__} | {name: version(name) for name in LIBRARIES},
        "device": _device(device, costs, target.rows),
        "space": model.space.name,
        "supernet": model.supernet,
        "objectives": [{"name": q.name, "unit": q.unit} for q in maker.objectives],
        "search": _search(settings, target.problem.bounds, model, archive, warm),
        "predictors": costs.entries(),
        "target_rows": costs.compare(target.rows, device.levels),
        "reference": {"point": reference, "hypervolume": volumes},
        "levels": [cast(Level, level.to_dict()) for level in maker.levels],
        "points": points,
        "baselines": baselines,
        "front": [p["id"] for p, on in zip(points, non_dominated(reached), strict=True) if on],
    }
    if found := constant_latency(model.space, target.problem, device.levels, maker):
        content["constant_latency"] = found
    if of_few := every_subnet(model.space, target.problem, maker):
        content["every_subnet"] = of_few
    return ParetoTable(content)


def write_result(table: ParetoTable, out: Path) -> None:
    """`pareto.json`, `pareto.csv` and `report.html` in `out`."""
    from nas.report import write_report

    table.write_json(out / "pareto.json")
    table.write_csv(out / "pareto.csv")
    write_report([table], [out / "pareto.json"], out / "report.html")


def write_overview(tables: Sequence[ParetoTable], homes: Sequence[Path], out: Path) -> None:
    """`report.html` of several devices in `out`; `homes` are their folders."""
    from nas.report import write_report

    write_report(tables, [home / "pareto.json" for home in homes], out / "report.html")


def _device(device: Device, costs: TargetCosts, rows: pd.DataFrame) -> DeviceEntry:
    entry: DeviceEntry = {
        "name": device.name,
        "processor": device.processor,
        "backend": device.backend,
        "precision": device.precision,
        "batch": device.batch,
        "power_mode": device.power_mode,
        "latency_source": costs.latency_source,
        "energy_source": costs.energy_source,
    }
    found = {column: the_one(rows, column) for column in (*SETTING, "power_mode")}
    if other := {c: own for c, own in found.items() if own not in (None, str(getattr(device, c)))}:
        entry["rows_of"] = {column: own for column, own in other.items() if own is not None}
    return entry


def _search(
    settings: SearchSettings,
    allowed: Bounds,
    model: Model,
    archive: Archive,
    warm: WarmStart | None,
) -> SearchEntry:
    """What was searched, how far it came, and which genes decided."""
    bounds: dict[str, float | list[int]] = dict(allowed.given)
    if allowed.levels is not None:
        bounds |= {"levels": list(allowed.levels)}
    return {
        "n_subnets": archive.n_subnets,
        "n_configurations": archive.n_configurations,
        "front_sizes": [len(front.costs) for front in archive.fronts],
        "bounds": bounds,
        "warm_start": None if warm is None else warm.described,
        "devices": settings.device_names,
        "progress": described(archive.progress),
        "importance": _importance(model, archive),
    }


def _importance(model: Model, archive: Archive) -> dict[str, dict[str, float]]:
    """Of every gene for the values of the trials; none without trials."""
    if not archive.trial_values:
        return {}
    values = np.concatenate(archive.trial_values, axis=1)[0]
    names = [objective.name for objective in archive.objectives]
    return importance(model.space, archive.population(), values, names)
