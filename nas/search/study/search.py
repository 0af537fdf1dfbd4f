"""How a study is searched: by generations, subnet by subnet, or on a cluster without order."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna

from nas.search.front.archive import Archive
from nas.search.listener import Listener
from nas.search.problem import Problem
from nas.search.settings import SearchSettings
from nas.search.study import generations
from nas.search.study.ask_tell import AskTell
from nas.search.study.samplers import in_batches
from search_spaces import Genes


def search_study(
    settings: SearchSettings,
    study: optuna.Study,
    problem: Problem,
    first: list[Genes],
    listener: Listener,
) -> Archive:
    """Search until the study holds `n_trials` subnets; `first` are those to begin with."""
    listener.stage("search")
    begin, batches, shared = np.concatenate(first), in_batches(study.sampler), settings.storage
    how: dict[str, Any] = {
        "patience": settings.patience,
        "on_generation": listener.generation,
    }
    if batches is not None:
        batches.start_from(begin)
        if not settings.ray_async:
            return generations.run(study, problem, settings.n_trials, shared=shared, **how)
    population = settings.population if batches is None else batches.population
    by_one: type[AskTell] = AskTell
    if settings.ray_async:
        from nas.search.study.asynchronous import AsyncSearch

        listener.stage("asynchronous: what is bred depends on which node answers first")
        by_one = AsyncSearch
        if batches is not None:
            batches.restart()  # it may have served another search
    search = by_one(study, problem, population=population, shared=shared)
    if batches is None:
        search.start_from(begin)
    return search.run(settings.n_trials, **how)
