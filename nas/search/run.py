"""`nas search` as a function: one call from a device's name to the files of a result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
import pandas as pd

from nas.devices import get_device
from nas.files import sha256_of, write_bytes
from nas.pareto import ParetoTable
from nas.search import study as study_
from nas.search.archive import Archive
from nas.search.batches import BatchSampler
from nas.search.clocks import ClockGrid
from nas.search.costs import TargetCosts, target_costs
from nas.search.folder import RunFolder, claim
from nas.search.inner import Accuracy, Scorer, Scores
from nas.search.instant import instant_archive
from nas.search.model import Model, load_model
from nas.search.proxy import Proxy, load_proxy
from nas.search.result import PointMaker, Provenance, assemble
from nas.search.sampler import GenerationSampler
from nas.search.settings import SearchSettings
from nas.search.surrogate import SurrogateSampler
from nas.search.target import measure_plan, plan_rows, write_plan
from nas.search.verify import check_data, verify
from predictors import check_target_rows, read_rows
from search_spaces import InputError, Space

N_PROBES = 256  # subnets that are scored before the search to see whether the bounds can be met


class Listener(Protocol):
    """Where a search reports what it does; the command line draws it."""

    def stage(self, text: str) -> None: ...

    def generation(self, generation: study_.Generation) -> None: ...

    def evaluation(self, n_evaluated: int) -> None:
        """One more subnet was run on images."""
        ...


class Silent:
    """A listener that shows nothing."""

    def stage(self, text: str) -> None:
        pass

    def generation(self, generation: study_.Generation) -> None:
        pass

    def evaluation(self, n_evaluated: int) -> None:
        pass


def run_search(
    settings: SearchSettings,
    *,
    resume: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> ParetoTable:
    """Search and write `pareto.json`, `pareto.csv`, `report.html` and the study into `out`.

    Raises InputError for whatever the user can mend; `out` then holds no half-written result.
    """
    listener = listener or Silent()
    device = _device(settings)
    model = load_model(settings)
    check_data(model, settings.data)
    proxy = load_proxy(model.space, settings.proxy)
    listener.stage(f"proxy {proxy.name}: {proxy.described}")
    fingerprint = settings.fingerprint() | {"weights": (model.supernet or {}).get("sha256")}
    with claim(settings.out, fingerprint, resume=resume, overwrite=overwrite) as folder:
        rows = _target_rows(settings, model.space, device, proxy, folder.rows)
        costs = target_costs(model.space, device, proxy, rows)
        grid = ClockGrid.of(model.space, device) if settings.clocks == "all" else None
        scorer = Scorer(model.accuracy, costs, device.decision_ms, grid)
        settings.bounds.check_reachable(*_probed(settings, model.space, scorer))
        search = fingerprint | {"target_rows": sha256_of(folder.rows)}
        open_ = partial(_open_study, settings, model.space, folder, search, overwrite=overwrite)
        # a study of another search is refused before the folder changes; its own starts with it
        study = open_() if settings.storage and not settings.instant else None
        with _accuracy(settings, model, folder, listener) as accuracy:
            scorer = replace(scorer, accuracy=accuracy)
            if settings.instant:
                archive = instant_archive(settings, model, device, costs, scorer, listener)
            else:
                archive = _search(settings, study or open_(), scorer, len(device.levels), listener)
            if not archive.n_points:
                raise InputError(
                    f"no configuration of {archive.n_subnets} subnets meets all bounds together: "
                    f"{_closest(archive, scorer, settings)}; relax one of them"
                )
            listener.stage("result")
            table = assemble(
                PointMaker(model.space, scorer, device.levels, _provenance(costs)),
                archive,
                n_points=settings.n_points,
                device=_describe(device, costs),
                supernet=model.supernet,
                space=model.space.name,
                predictors=costs.entries(),
                target_rows=costs.compare(rows, device.levels),
                launch_share=getattr(device, "launch_share", None),
                command=settings.command,
                seed=settings.seed,
            )
        if settings.data is not None:
            listener.stage("verify on test images")
            verify(table, model, settings.data)
        _write(table, settings.out)
    return table


@contextmanager
def _accuracy(
    settings: SearchSettings, model: Model, folder: RunFolder, listener: Listener
) -> Iterator[Accuracy]:
    """The table and its predictor, or the images; the run starts once nothing is refused."""
    if not settings.evaluate:
        folder.start()
        yield model.accuracy
        return
    from nas.search.evaluated import image_accuracy

    with image_accuracy(settings, model, folder, listener) as accuracy:
        yield accuracy


def _search(
    settings: SearchSettings,
    study: optuna.Study,
    scorer: Scorer,
    n_levels: int,
    listener: Listener,
) -> Archive:
    """The outer search: generation by generation, or without order on a cluster."""
    listener.stage("search")
    sampler = study.sampler
    assert isinstance(sampler, BatchSampler)
    if settings.ray_async:
        from nas.search.asynchronous import AsyncSearch

        listener.stage("--ray-async: what is bred depends on which node answers first")
        search = AsyncSearch(
            study, sampler, scorer, settings.bounds, n_levels, shared=settings.storage
        )
        return search.run(
            settings.n_trials, patience=settings.patience, on_generation=listener.generation
        )
    return study_.run(
        study,
        sampler,
        scorer,
        settings.bounds,
        n_levels,
        settings.n_trials,
        patience=settings.patience,
        inner=scorer.inner,
        shared=settings.storage,
        on_generation=listener.generation,
    )


def _open_study(
    settings: SearchSettings,
    space: Space,
    folder: RunFolder,
    search: dict[str, Any],
    *,
    overwrite: bool,
) -> optuna.Study:
    """The run's own study, or `--study` in `--storage`."""
    return study_.open_study(
        settings.storage,
        folder.journal,
        _sampler(settings, space),
        name=settings.study,
        search=search,
        overwrite=overwrite,
    )


def plan_search(settings: SearchSettings) -> list[dict[str, Any]]:
    """The rows that `--plan` writes: what to measure on the target."""
    model = load_model(settings)
    proxy = load_proxy(model.space, settings.proxy)
    rng = np.random.default_rng(settings.seed)
    return plan_rows(model.space, _device(settings), proxy, settings.n_target_rows, rng)


def _device(settings: SearchSettings) -> Any:
    return get_device(
        settings.device,
        backend=settings.backend,
        precision=settings.precision,
        batch=settings.batch,
        power_mode=settings.power_mode,
    )


def _sampler(settings: SearchSettings, space: Space) -> BatchSampler:
    if settings.sampler == "surrogate":
        return SurrogateSampler(space, seed=settings.seed)
    return GenerationSampler(space, seed=settings.seed, population=settings.population)


def _target_rows(
    settings: SearchSettings, space: Space, device: Any, proxy: Proxy, path: Path
) -> pd.DataFrame:
    """The rows at `path`, which are measured, simulated or the user's the first time."""
    if not path.exists() and settings.measurements is not None:
        rows = read_rows(settings.measurements, space)
        check_target_rows(rows)
        others = sorted(set(rows["device"]) - {device.name})
        if others:
            raise InputError(
                f"{settings.measurements} holds rows of {', '.join(others)}, "
                f"the target is {device.name}; give rows of the target alone"
            )
        write_bytes(path, settings.measurements.read_bytes())
    elif not path.exists():
        rng = np.random.default_rng(settings.seed)
        planned = plan_rows(space, device, proxy, settings.n_target_rows, rng)
        write_plan(measure_plan(space, device, planned), path)
    return read_rows(path, space)


def _probed(settings: SearchSettings, space: Space, scorer: Scorer) -> list[Scores]:
    """What tells whether the bounds can be met: probes, and the smallest at all clocks searched."""
    sample = space.sample_spread(N_PROBES, np.random.default_rng(settings.seed))
    probes = np.unique(np.concatenate([space.largest, space.smallest, sample]), axis=0)
    smallest = scorer.inner(space.smallest, scorer(space.smallest))
    return [scorer(probes), *(scores for _, scores in smallest)]


def _closest(archive: Any, scorer: Scorer, settings: SearchSettings) -> str:
    excess = min(float(settings.bounds.violation(scorer(genes)).min()) for genes in archive.genes)
    return f"the closest one exceeds a bound by {100 * excess:.1f} %"


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
