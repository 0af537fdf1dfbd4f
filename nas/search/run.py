"""`nas search` as a function: one call from a device's name to the files of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from nas.devices import get_device
from nas.pareto import ParetoTable
from nas.search import study as study_
from nas.search.archive import Archive
from nas.search.batches import BatchSampler
from nas.search.costs import TargetCosts, target_costs
from nas.search.fleet import Fleet, Target, params_of
from nas.search.folder import claim
from nas.search.importance import importance
from nas.search.inner import Scorer
from nas.search.model import Model, load_model
from nas.search.progress import described
from nas.search.proxy import Proxy, load_proxy
from nas.search.reach import check_reachable
from nas.search.result import PointMaker, Provenance, assemble
from nas.search.sampler import GenerationSampler
from nas.search.settings import SearchSettings
from nas.search.shared import shared, write_shared
from nas.search.surrogate import SurrogateSampler
from nas.search.target import planned_rows, target_rows
from nas.search.verify import check_data, verify
from nas.search.warm import WarmStart, read_warm_start, recorded
from search_spaces import Genes, InputError, Space


class Listener(Protocol):
    """Where a search reports what it does; the command line draws it."""

    def stage(self, text: str) -> None: ...

    def generation(self, generation: study_.Generation) -> None: ...


class Silent:
    """A listener that shows nothing."""

    def stage(self, text: str) -> None:
        pass

    def generation(self, generation: study_.Generation) -> None:
        pass


def run_search(
    settings: SearchSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> ParetoTable:
    """Search for one device and write `pareto.json`, `pareto.csv`, `report.html` and the study.

    Raises InputError for whatever the user can mend; `out` then holds no half-written result.
    """
    tables, _ = search_devices(settings, resume=resume, overwrite=overwrite, listener=listener)
    return tables[0]


def search_devices(
    settings: SearchSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> tuple[list[ParetoTable], dict[str, Any] | None]:
    """One search for all devices: the result of each, and what they share (None for one device).

    The files of one device are in `out`; those of several are in a folder each, beside
    `shared.json`. Raises InputError for whatever the user can mend.
    """
    listener = listener or Silent()
    devices = _devices(settings)
    model = load_model(settings)
    check_data(model, settings.data)
    proxy = load_proxy(model.space, settings.proxy)
    listener.stage(f"proxy {proxy.name}: {proxy.described}")
    fingerprint = settings.fingerprint() | {"weights": (model.supernet or {}).get("sha256")}
    names = [device.name for device in devices]
    with claim(
        settings.out, fingerprint, resume=resume, overwrite=overwrite, devices=names
    ) as folder:
        rows = target_rows(settings, model.space, devices, proxy, folder.rows)
        fleet = Fleet(
            [_target(settings, model, *pair, proxy) for pair in zip(devices, rows, strict=True)]
        )
        feasible = [_feasible(settings, model.space, target) for target in fleet.targets]
        if settings.warm_start is not None and not folder.started:
            read_warm_start(settings.warm_start, model.space)  # refused before the folder changes
        folder.start()
        archive, warm = _search(settings, model.space, fleet, feasible, folder.journal, listener)
        listener.stage("result")
        parts = fleet.archives(archive)
        tables = []
        for target, part in zip(fleet.targets, parts, strict=True):
            tables.append(_table(settings, model, target, part, warm))
            if settings.data is not None:
                listener.stage("verify on test images")
                verify(tables[-1], model, settings.data)
            _write(tables[-1], folder.homes[target.name])
        if len(tables) == 1:
            return tables, None
        listener.stage("shared subnets")
        content = shared(model.space, fleet.scorer(), parts, names)
        write_shared(content, settings.out)
    return tables, content


def _search(
    settings: SearchSettings,
    space: Space,
    fleet: Fleet,
    feasible: list[Genes],
    journal: Path,
    listener: Listener,
) -> tuple[Archive, WarmStart | None]:
    """The outer search for all devices, and what it started from."""
    listener.stage("search")
    sampler = _sampler(settings, space)
    study = study_.open_study(settings.storage, journal, sampler)
    warm = None
    if settings.warm_start is not None:
        warm = recorded(study, settings.warm_start, space)
        listener.stage(f"warm start: {len(warm.subnets)} subnets of {warm.device}")
    first = [*feasible, *([warm.genes(space)] if warm else [])]
    sampler.start_from(np.concatenate(first))
    archive = study_.run(
        study,
        sampler,
        fleet.scorer(),
        fleet.bounds(settings.bounds),
        fleet.n_levels,
        settings.n_trials,
        patience=settings.patience,
        on_generation=listener.generation,
    )
    for target, part in zip(fleet.targets, fleet.archives(archive), strict=True):
        if not part.n_points:
            raise InputError(
                f"none of {archive.n_subnets} subnets meets all bounds on {target.name}, though "
                "some of the space do; give more --trials"
            )
    return archive, warm


def plan_search(settings: SearchSettings) -> list[dict[str, Any]]:
    """The rows that `--plan` writes: what to measure on the target, or on each of several."""
    model = load_model(settings)
    proxy = load_proxy(model.space, settings.proxy)
    return [
        row
        for device in _devices(settings)
        for row in planned_rows(settings, model.space, device, proxy)
    ]


def _devices(settings: SearchSettings) -> list[Any]:
    devices = [
        get_device(
            name,
            backend=settings.backend,
            precision=settings.precision,
            batch=settings.batch,
            power_mode=settings.power_mode,
        )
        for name in settings.devices
    ]
    names = [device.name for device in devices]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"--device {twice[0]} is given twice; name every device once")
    return devices


def _target(
    settings: SearchSettings, model: Model, device: Any, rows: pd.DataFrame, proxy: Proxy
) -> Target:
    costs = target_costs(model.space, device, proxy, rows)
    counts = settings.bounds.max_params is not None
    params = params_of(model.space, model.accuracy.grid) if counts else None
    target = Target(device, rows, costs, Scorer(model.accuracy, costs, device.decision_ms, params))
    target.check_levels(settings.bounds.levels)
    return target


def _feasible(settings: SearchSettings, space: Space, target: Target) -> Genes:
    """Subnets that meet the bounds on one device; InputError where none was found."""
    name = target.name if settings.others else ""
    return check_reachable(settings.bounds, target.scorer, space, settings.seed, name)


def _table(
    settings: SearchSettings,
    model: Model,
    target: Target,
    archive: Archive,
    warm: WarmStart | None,
) -> ParetoTable:
    """The result of one device."""
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
        launch_share=getattr(device, "launch_share", None),
        command=settings.command,
        seed=settings.seed,
    )
    bounds: dict[str, Any] = dict(settings.bounds.given)
    if settings.bounds.levels is not None:
        bounds |= {"levels": list(settings.bounds.levels)}
    values = np.concatenate(archive.trial_values, axis=1)[0]
    table.content["search"] |= {
        "bounds": bounds,
        "warm_start": warm and warm.described,
        "devices": list(settings.devices),
        "progress": described(archive.progress),
        "importance": importance(model.space, archive.population(), values),
    }
    return table


def _sampler(settings: SearchSettings, space: Space) -> BatchSampler:
    if settings.sampler == "surrogate":
        return SurrogateSampler(space, seed=settings.seed)
    return GenerationSampler(space, seed=settings.seed, population=settings.population)


def _provenance(costs: TargetCosts) -> Provenance:
    return Provenance(costs.latency_source, costs.energy_source, costs.latency_interval_log)


def _describe(device: Any, costs: TargetCosts) -> dict[str, Any]:
    names = ("name", "processor", "backend", "precision", "batch", "power_mode")
    sources = {"latency_source": costs.latency_source, "energy_source": costs.energy_source}
    return {name: getattr(device, name) for name in names} | sources


def _write(table: ParetoTable, out: Path) -> None:
    from nas.report import write_report

    table.write_json(out / "pareto.json")
    table.write_csv(out / "pareto.csv")
    write_report(table.content, out / "report.html", knees=table.knees())
