"""The Optuna study of a search: opened where it lives, and known to be this search's own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from nas.files import without_password
from nas.pareto import OBJECTIVES
from nas.search.study.check import SEARCH, check_search, check_study
from nas.search.study.storage import faults_named, open_storage, turns

STUDY_NAME = "nas"
VALUE_LEVELS = "value_levels"  # user attribute: at which level of each device values are taken


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, Optuna tells warnings alone; its log is the user's own again afterwards."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@_quiet()
def open_study(
    storage: str | None,
    journal: Path,
    sampler: BaseSampler,
    *,
    name: str = STUDY_NAME,
    search: dict[str, Any] | None = None,
    overwrite: bool = False,
    objectives: Sequence[str] = OBJECTIVES,
    parameters: Mapping[str, BaseDistribution] | None = None,
) -> optuna.Study:
    """The study in `journal`, or `name` in `storage`; made where it does not exist yet.

    `search` says what decides its trials, which have the categorical `parameters`. InputError: a
    study of that name was made with others; nothing is written then.
    """
    backend = open_storage(storage, journal)
    where = without_password(storage or str(journal))
    with faults_named(where):
        if name in optuna.get_all_study_names(backend):
            if overwrite:
                optuna.delete_study(study_name=name, storage=backend)
            else:
                found = optuna.load_study(study_name=name, storage=backend, sampler=sampler)
                check_study(found, where, objectives, parameters, search or {})
        study = _open(backend, name, sampler, objectives)
        with turns(storage)():  # another search may have made it meanwhile
            if SEARCH not in study.user_attrs:
                study.set_user_attr(SEARCH, search or {})
            check_search(study, where, search or {})
    return study


def note_value_levels(study: optuna.Study, levels: Mapping[str, int], storage: str | None) -> None:
    """Write down at which level of every device the values of trials are taken."""
    with faults_named(storage or "`out`"):
        if study.user_attrs.get(VALUE_LEVELS) != levels:
            study.set_user_attr(VALUE_LEVELS, dict(levels))


def _open(
    backend: BaseStorage, name: str, sampler: BaseSampler, objectives: Sequence[str]
) -> optuna.Study:
    study = optuna.create_study(
        study_name=name,
        storage=backend,
        sampler=sampler,
        directions=["minimize"] * len(objectives),
        load_if_exists=True,
    )
    if study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # names for Optuna's dashboard
            study.set_metric_names(list(objectives))
    return study
