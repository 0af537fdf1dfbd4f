"""The Optuna study of a search: opened where it lives, and known to be this search's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from nas.files import without_password
from nas.pareto import OBJECTIVES
from nas.search.settings import differing
from nas.search.study.storage import faults_named, open_storage
from search_spaces import InputError

STUDY_NAME = "nas"
SEARCH = "search"  # user attribute of a study: what decides its trials
VALUE_LEVELS = "value_levels"  # and at which level of each device their values are


def open_study(
    storage: str | None,
    journal: Path,
    sampler: BaseSampler,
    *,
    name: str = STUDY_NAME,
    search: dict[str, Any] | None = None,
    overwrite: bool = False,
    objectives: Sequence[str] = OBJECTIVES,
) -> optuna.Study:
    """The study in `journal`, or `name` in `storage`; made where it does not exist yet.

    `search` says what decides its trials. InputError: a study of that name was made with another.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    backend = open_storage(storage, journal)
    with faults_named(storage or str(journal)):
        if overwrite and name in optuna.get_all_study_names(backend):
            optuna.delete_study(study_name=name, storage=backend)
        study = _open(backend, name, sampler, objectives)
        _check_search(study, search or {}, storage or str(journal))
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


def _check_search(study: optuna.Study, search: dict[str, Any], where: str) -> None:
    found = study.user_attrs.get(SEARCH)
    changed = [] if found is None else differing(found, search)
    if changed:
        raise InputError(
            f"the study {study.study_name} in {without_password(where)} was made with another "
            f"{', '.join(changed)}; give the same settings, another `study`, or `overwrite=True`"
        )
    if found is None:
        study.set_user_attr(SEARCH, search)
