"""The outer search: generations of subnets, scored as one batch and recorded in an Optuna study."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from nas.files import without_password
from nas.pareto import OBJECTIVES
from nas.samplers.batches import BatchSampler
from nas.samplers.domain import Domain, SpaceDomain
from nas.search.front.archive import Archive
from nas.search.front.outcomes import Generation, Inner, Outcomes, as_scored
from nas.search.score.objectives import Bounds
from nas.search.score.scorer import Scorer
from nas.search.study.record import add_finished
from nas.search.study.storage import faults_named, first_records, open_storage, turn
from search_spaces import Genes, InputError

STUDY_NAME = "nas"
WORTH_MEASURING = 50  # one part in so many of the subnets is new
SEARCH = "search"  # user attribute of a study: what decides its trials


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
    search = json.loads(json.dumps(search))  # as it comes back: a tuple is a list
    changed = [k for k, v in search.items() if found is not None and found.get(k) != v]
    if changed:
        raise InputError(
            f"the study {study.study_name} in {without_password(where)} was made with another "
            f"{', '.join(changed)}; give the same settings, another --study, or --overwrite"
        )
    if found is None:
        study.set_user_attr(SEARCH, search)


def run(
    study: optuna.Study,
    sampler: BatchSampler,
    scorer: Scorer,
    bounds: Bounds,
    n_levels: int | Sequence[int],
    n_trials: int,
    *,
    patience: int | None = None,
    inner: Inner = as_scored,
    shared: str | None = None,
    on_generation: Callable[[Generation], None] = lambda generation: None,
) -> Archive:
    """Search until the study holds `n_trials` subnets; returns the archive of all of them.

    Trials that the study already holds are scored again, not searched again: the same archive
    comes out whether or not the run was interrupted. `patience` stops once that many generations
    together added less than 0.1 % to the hypervolume. `n_levels` and `inner` are those of
    `Outcomes`; `shared` names a storage that other searches may write to.
    """
    domain = sampler.domain
    assert isinstance(domain, SpaceDomain)  # a sampler without a space serves Optuna alone
    outcomes = Outcomes(domain.space, scorer, bounds, n_levels, inner)
    archive = outcomes.archive
    trials = _finished(study, domain, shared)
    while archive.n_subnets < n_trials:
        done = archive.n_subnets
        number, bred = sampler.ask()
        genes = bred[: n_trials - done]
        if not len(genes):
            break  # the space is exhausted
        recorded = trials[done : done + len(genes)]
        _check_prefix(genes, domain.genes(recorded))
        values, violation = outcomes.add(genes)
        with faults_named(shared or "--out"), turn(study._storage) if shared else nullcontext():
            if shared:
                trials = _finished(study, domain, shared)
                recorded = trials[done : done + len(genes)]
                _check_prefix(genes, domain.genes(recorded))
            new = slice(len(recorded), None)
            params = domain.params(genes[new])
            add_finished(study, domain.distributions, params, values[new], violation[new])
        # fronts grow: to measure every generation's would in the end cost more than the search
        on_generation(outcomes.measure(1 if patience else archive.n_subnets // WORTH_MEASURING))
        if len(genes) < sampler.size(number) or outcomes.stalled(patience):
            break
        if recorded:
            values[: len(recorded)] = [t.values for t in recorded]
        sampler.tell(genes, values, violation)
    outcomes.measure()
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
