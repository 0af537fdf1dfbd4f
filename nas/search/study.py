"""The outer search: generations of subnets, scored as one batch and recorded in an Optuna study."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nas.pareto import OBJECTIVES
from nas.search.archive import Archive
from nas.search.batches import BatchSampler
from nas.search.domain import SpaceDomain
from nas.search.inner import Scorer
from nas.search.journal import repair
from nas.search.objectives import (
    Bounds,
    combined,
    middle_levels,
    trial_values,
    trial_violation,
)
from nas.search.progress import mean, measured, reference_costs, stalled
from nas.search.record import add_finished
from search_spaces import Genes, InputError

STUDY_NAME = "nas"


@dataclass(frozen=True)
class Generation:
    """What a progress bar shows after a generation."""

    n_trials: int
    n_points: int
    n_configurations: int
    hypervolume: float  # mean share of the levels' boxes, see nas.search.progress


def open_study(storage: str | None, journal: Path, sampler: BatchSampler) -> optuna.Study:
    """The study in `journal`, or in the database `storage`; made where it does not exist yet."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend: BaseStorage
    if storage is None:
        if journal.exists():
            repair(journal)
        backend = JournalStorage(JournalFileBackend(str(journal)))
    else:
        try:
            backend = RDBStorage(storage)
        except Exception as error:  # SQLAlchemy raises many kinds
            reason = str(error).splitlines()[0]
            raise InputError(f"cannot open --storage {storage}: {reason}") from None
    study = optuna.create_study(
        study_name=STUDY_NAME,
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


def run(
    study: optuna.Study,
    sampler: BatchSampler,
    scorer: Scorer,
    bounds: Bounds,
    n_levels: int | Sequence[int],
    n_trials: int,
    *,
    patience: int | None = None,
    on_generation: Callable[[Generation], None] = lambda generation: None,
) -> Archive:
    """Search until the study holds `n_trials` subnets; returns the archive of all of them.

    `n_levels` are those of the device, or of every device: the scorer then has them side by side.
    Trials that the study already holds are scored again, not searched again: the same archive
    comes out whether or not the run was interrupted. `patience` stops once that many generations
    together added less than 0.1 % to the hypervolume.
    """
    domain = sampler.domain
    assert isinstance(domain, SpaceDomain)  # a sampler without a space serves Optuna alone
    counts = [n_levels] if isinstance(n_levels, int) else list(n_levels)
    middles = middle_levels(bounds, counts)
    archive = Archive(sum(counts), bounds)
    reference = reference_costs(domain.space, scorer)
    reference[~bounds.allowed(sum(counts))] = np.nan
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    while archive.n_subnets < n_trials:
        done = archive.n_subnets
        number, bred = sampler.ask()
        genes = bred[: n_trials - done]
        if not len(genes):
            break  # the space is exhausted
        recorded = trials[done : done + len(genes)]
        _check_prefix(genes, domain.genes(recorded))
        scores = scorer(genes)
        on_devices = np.stack([trial_values(scores, middle) for middle in middles])
        values, violation = combined(on_devices), trial_violation(bounds, scores, counts)
        new = slice(len(recorded), None)
        params = domain.params(genes[new])
        add_finished(study, domain.distributions, params, values[new], violation[new])
        archive.add(genes, scores)
        archive.trial_values.append(on_devices)
        fronts = [front.costs for front in archive.fronts]
        archive.progress.append(measured(archive.n_subnets, fronts, reference))
        volume = mean(archive.progress[-1].hypervolume)
        on_generation(
            Generation(archive.n_subnets, archive.n_points, archive.n_configurations, volume)
        )
        if len(genes) < sampler.size(number) or (patience and stalled(archive.progress, patience)):
            break
        if recorded:
            values[: len(recorded)] = [t.values for t in recorded]
        sampler.tell(genes, values, violation)
    return archive


def _check_prefix(genes: Genes, recorded: Genes) -> None:
    """A killed generation leaves its first trials; anything else is not ours to continue."""
    if not np.array_equal(recorded, genes[: len(recorded)]):
        raise InputError(
            "the study holds trials that this search with this seed did not make; "
            "use another --out or --storage, or --overwrite"
        )
