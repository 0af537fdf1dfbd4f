"""The outer search: generations of subnets, scored as one batch and recorded in an Optuna study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nas.files import without_password
from nas.pareto import OBJECTIVES
from nas.search.archive import Archive
from nas.search.batches import BatchSampler
from nas.search.domain import Domain
from nas.search.inner import Scorer, Scores
from nas.search.objectives import Bounds, trial_values
from nas.search.record import add_finished
from nas.search.storage import faults_named, first_records, open_storage, turn
from search_spaces import Genes, InputError

STUDY_NAME = "nas"
SEARCH = "search"  # user attribute of a study: what decides its trials
Inner = Callable[[Genes, Scores], Iterable[tuple[Genes, Scores]]]


@dataclass(frozen=True)
class Generation:
    """What a progress bar shows after a generation."""

    n_trials: int
    n_points: int
    n_configurations: int


def open_study(
    storage: str | None,
    journal: Path,
    sampler: BatchSampler,
    *,
    name: str = STUDY_NAME,
    search: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> optuna.Study:
    """The study in `journal`, or `name` in `storage`; made where it does not exist yet.

    `search` says what decides its trials. InputError: a study of that name was made with another.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = open_storage(storage, journal)
    with faults_named(storage or str(journal)):
        if overwrite and name in optuna.get_all_study_names(backend):
            optuna.delete_study(study_name=name, storage=backend)
        study = _open(backend, name, sampler)
        _check_search(study, search or {}, storage or str(journal))
    return study


def _open(backend: BaseStorage, name: str, sampler: BatchSampler) -> optuna.Study:
    study = optuna.create_study(
        study_name=name,
        storage=backend,
        sampler=sampler,
        directions=["minimize"] * len(OBJECTIVES),
        load_if_exists=True,
    )
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # names for Optuna's dashboard
            study.set_metric_names(list(OBJECTIVES))
    return study


def _check_search(study: optuna.Study, search: dict[str, Any], where: str) -> None:
    found = study.user_attrs.get(SEARCH)
    changed = [k for k, v in search.items() if found is not None and found.get(k) != v]
    if changed:
        raise InputError(
            f"the study {study.study_name} in {without_password(where)} was made with another "
            f"{', '.join(changed)}; give the same settings, another --study, or --overwrite"
        )
    if found is None:
        study.set_user_attr(SEARCH, search)


def as_scored(genes: Genes, scores: Scores) -> list[tuple[Genes, Scores]]:
    """The inner search where the levels' own clocks are all there is."""
    return [(genes, scores)]


def run(
    study: optuna.Study,
    sampler: BatchSampler,
    scorer: Scorer,
    bounds: Bounds,
    n_levels: int,
    n_trials: int,
    *,
    patience: int | None = None,
    inner: Inner = as_scored,
    shared: str | None = None,
    on_generation: Callable[[Generation], None] = lambda generation: None,
) -> Archive:
    """Search until the study holds `n_trials` subnets; returns the archive of all of them.

    Trials that the study already holds are scored again, not searched again: the same archive
    comes out whether or not the run was interrupted. `patience` stops after that many generations
    in which no level's front changed. `inner` turns scored subnets into what the archive is given;
    `shared` names a storage that other searches may write to.
    """
    domain = sampler.domain
    assert domain is not None  # a sampler without one serves Optuna alone
    middle = n_levels // 2
    archive = Archive(n_levels, bounds)
    quiet = 0
    trials = _finished(study, domain, shared)
    while archive.n_subnets < n_trials:
        done = archive.n_subnets
        number, bred = sampler.ask()
        genes = bred[: n_trials - done]
        if not len(genes):
            break  # the space is exhausted
        recorded = trials[done : done + len(genes)]
        _check_prefix(genes, domain.genes(recorded))
        scores = scorer(genes)
        values = trial_values(scores, middle)
        before = archive.n_points, sum(front.costs.sum() for front in archive.fronts)
        violation = np.concatenate([archive.add(*part) for part in inner(genes, scores)])
        with faults_named(shared or "--out"), turn(study._storage) if shared else nullcontext():
            if shared:
                trials = _finished(study, domain, shared)
                recorded = trials[done : done + len(genes)]
                _check_prefix(genes, domain.genes(recorded))
            new = slice(len(recorded), None)
            params = domain.params(genes[new])
            add_finished(study, domain.distributions, params, values[new], violation[new])
        after = archive.n_points, sum(front.costs.sum() for front in archive.fronts)
        on_generation(Generation(archive.n_subnets, after[0], archive.n_configurations))
        quiet = quiet + 1 if before == after else 0
        if len(genes) < sampler.size(number) or (patience and quiet >= patience):
            break
        if recorded:
            values[: len(recorded)] = [t.values for t in recorded]
        sampler.tell(genes, values, violation)
    return archive


def _finished(study: optuna.Study, domain: Domain, shared: str | None) -> list[FrozenTrial]:
    """Completed trials in their order."""
    with faults_named(shared or "--out"):
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return first_records(domain.genes(trials), trials) if shared else trials


def _check_prefix(genes: Genes, recorded: Genes) -> None:
    """A killed generation leaves its first trials; anything else is not ours to continue."""
    if not np.array_equal(recorded, genes[: len(recorded)]):
        raise InputError(
            "the study holds trials that this search with this seed did not make; "
            "use another --out, --storage or --study, or --overwrite"
        )
