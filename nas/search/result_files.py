"""What a search leaves of one device: its table, and the files made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nas.devices import Device, StartsKnown
from nas.pareto import ParetoTable
from nas.pareto.records import DeviceEntry
from nas.search.front.archive import Archive
from nas.search.front.importance import importance
from nas.search.front.progress import described
from nas.search.front.result import PointMaker, Provenance, assemble
from nas.search.model import Model
from nas.search.settings import SearchSettings
from nas.search.study.warm_start import WarmStart
from nas.search.targets import Target
from nas.transfer.costs import TargetCosts


def result_table(
    settings: SearchSettings,
    model: Model,
    target: Target,
    archive: Archive,
    warm: WarmStart | None,
) -> ParetoTable:
    """The result of one device, from its own archive."""
    costs, device = target.costs, target.device
    maker = PointMaker(model.space, target.scorer, device.levels, _provenance(costs))
    table = assemble(
        maker,
        archive,
        n_points=settings.n_points,
        device=_describe(device, costs),
        supernet=model.supernet,
        space=model.space.name,
        predictors=costs.entries(),
        target_rows=costs.compare(target.rows, device.levels),
        launch_share=device.launch_share if isinstance(device, StartsKnown) else None,
        command=settings.command,
        seed=settings.seed,
    )
    bounds: dict[str, Any] = dict(settings.bounds.given)
    if settings.bounds.levels is not None:
        bounds |= {"levels": list(settings.bounds.levels)}
    table.content["search"] |= {
        "bounds": bounds,
        "warm_start": None if warm is None else warm.described,
        "devices": list(settings.devices),
        "progress": described(archive.progress),
        "importance": _importance(model, archive),
    }
    return table


def _importance(model: Model, archive: Archive) -> dict[str, dict[str, float]]:
    """Of every gene for the values of the trials; none without trials."""
    if not archive.trial_values:
        return {}
    values = np.concatenate(archive.trial_values, axis=1)[0]
    return importance(model.space, archive.population(), values)


def _provenance(costs: TargetCosts) -> Provenance:
    return Provenance(costs.latency_source, costs.energy_source, costs.latency_interval_log)


def _describe(device: Device, costs: TargetCosts) -> DeviceEntry:
    return {
        "name": device.name,
        "processor": device.processor,
        "backend": device.backend,
        "precision": device.precision,
        "batch": device.batch,
        "power_mode": device.power_mode,
        "latency_source": costs.latency_source,
        "energy_source": costs.energy_source,
    }


def write_result(table: ParetoTable, out: Path) -> None:
    """`pareto.json`, `pareto.csv` and `report.html` in `out`."""
    from nas.report import write_report

    table.write_json(out / "pareto.json")
    table.write_csv(out / "pareto.csv")
    write_report(table.content, out / "report.html", knees=table.knees())
