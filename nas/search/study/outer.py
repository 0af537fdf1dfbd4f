"""The outer search as the settings ask for it: its study, where it begins, how it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna

from nas.samplers.batches import BatchSampler
from nas.samplers.nsga2 import GenerationSampler
from nas.samplers.surrogate import SurrogateSampler
from nas.search.front.archive import Archive
from nas.search.settings import SearchSettings
from nas.search.study import generations as study_
from nas.search.study.storage import faults_named
from nas.search.study.warm_start import WarmStart, recorded
from nas.search.targets import Fleet
from search_spaces import Genes, Space


def open_study(
    settings: SearchSettings,
    space: Space,
    journal: Path,
    search: dict[str, Any],
    *,
    overwrite: bool,
) -> optuna.Study:
    """The run's own study, or `--study` in `--storage`."""
    return study_.open_study(
        settings.storage,
        journal,
        _sampler(settings, space),
        name=settings.study,
        search=search,
        overwrite=overwrite,
    )


def _sampler(settings: SearchSettings, space: Space) -> BatchSampler:
    if settings.sampler == "surrogate":
        return SurrogateSampler(space, seed=settings.seed)
    return GenerationSampler(space, seed=settings.seed, population=settings.population)


def warm_start(
    settings: SearchSettings, study: optuna.Study, space: Space, listener: Any
) -> WarmStart | None:
    """What the study starts from, if the settings ask for it."""
    if settings.warm_start is None:
        return None
    with faults_named(settings.storage or "--out"):
        warm = recorded(study, settings.warm_start, space)
    listener.stage(f"warm start: {len(warm.subnets)} subnets of {warm.device}")
    return warm


def outer_search(
    settings: SearchSettings,
    study: optuna.Study,
    fleet: Fleet,
    first: list[Genes],
    listener: Any,
) -> Archive:
    """Search for all devices, generation by generation, or without order on a cluster.

    `first` are the subnets to begin with.
    """
    listener.stage("search")
    sampler, scorer, bounds = study.sampler, fleet.scorer(), fleet.bounds(settings.bounds)
    assert isinstance(sampler, BatchSampler)
    sampler.start_from(np.concatenate(first))
    if settings.ray_async:
        from nas.search.study.asynchronous import AsyncSearch

        listener.stage("--ray-async: what is bred depends on which node answers first")
        search = AsyncSearch(
            study, sampler, scorer, bounds, fleet.n_levels, shared=settings.storage
        )
        return search.run(
            settings.n_trials, patience=settings.patience, on_generation=listener.generation
        )
    return study_.run(
        study,
        sampler,
        scorer,
        bounds,
        fleet.n_levels,
        settings.n_trials,
        patience=settings.patience,
        inner=scorer.inner,
        shared=settings.storage,
        on_generation=listener.generation,
    )
