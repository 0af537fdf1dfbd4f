"""How the settings ask for a study to be searched: which sampler, from where, in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna

from nas.samplers.batches import BatchSampler
from nas.samplers.nsga2 import GenerationSampler
from nas.samplers.surrogate import SurrogateSampler
from nas.search.front.archive import Archive
from nas.search.problem import Problem
from nas.search.settings import SearchSettings
from nas.search.study import generations
from nas.search.study.storage import faults_named
from nas.search.study.warm_start import WarmStart, recorded
from search_spaces import Genes, Space


def sampler_of(settings: SearchSettings, space: Space) -> BatchSampler:
    """The sampler that the settings name."""
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


def search_study(
    settings: SearchSettings,
    study: optuna.Study,
    problem: Problem,
    first: list[Genes],
    listener: Any,
) -> Archive:
    """Search generation by generation, or without order on a cluster.

    `first` are the subnets to begin with.
    """
    listener.stage("search")
    assert isinstance(study.sampler, BatchSampler)
    study.sampler.start_from(np.concatenate(first))
    how = {"patience": settings.patience, "on_generation": listener.generation}
    if settings.ray_async:
        from nas.search.study.asynchronous import AsyncSearch

        listener.stage("--ray-async: what is bred depends on which node answers first")
        return AsyncSearch(study, problem, shared=settings.storage).run(settings.n_trials, **how)
    return generations.run(study, problem, settings.n_trials, shared=settings.storage, **how)
