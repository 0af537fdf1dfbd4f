"""Whether a study that is there already can hold this search's trials; nothing is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas.search.settings import differing
from search_spaces import InputError

SEARCH = "search"  # user attribute of a study: what decides its trials


def check_study(
    study: optuna.Study,
    where: str,
    objectives: Sequence[str],
    parameters: Mapping[str, BaseDistribution] | None,
    search: Mapping[str, Any],
) -> None:
    """InputError: other objectives, another search, or trials of other parameters or choices."""
    check_search(study, where, search)
    _check_objectives(study, where, objectives)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        fault = _fault(trial, len(objectives), parameters)
        if fault is not None:
            raise _refused(study, where, f"holds trial {trial.number} with {fault}")


def check_search(study: optuna.Study, where: str, search: Mapping[str, Any]) -> None:
    """InputError: the study says that it was made with other settings, or by another program."""
    found = study.user_attrs.get(SEARCH)
    if found is None:
        return
    if not isinstance(found, dict):
        raise _refused(study, where, f"was not made by `nas search` (`{SEARCH}` is {found!r})")
    if changed := differing(found, search):
        raise InputError(
            f"the study {study.study_name} in {where} was made with another "
            f"{', '.join(changed)}; give the same settings, another `study`, or `overwrite=True`"
        )


def _check_objectives(study: optuna.Study, where: str, objectives: Sequence[str]) -> None:
    wanted = f"this search minimises {len(objectives)}: {', '.join(objectives)}"
    if set(study.directions) != {StudyDirection.MINIMIZE}:
        directions = ", ".join(direction.name.lower() for direction in study.directions)
        raise _refused(study, where, f"has the directions {directions}, {wanted}")
    names = study.metric_names
    if len(study.directions) != len(objectives) or (names or list(objectives)) != list(objectives):
        named = f" ({', '.join(names)})" if names else ""
        raise _refused(
            study, where, f"has the number of objectives {len(study.directions)}{named}, {wanted}"
        )


def _fault(
    trial: FrozenTrial, n_values: int, parameters: Mapping[str, BaseDistribution] | None
) -> str | None:
    """What a finished trial of this search would not have."""
    values = trial.values or []
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    if not len(numbers) == len(values) == n_values:
        return f"the values {values}, not {n_values} numbers"
    if parameters is None:
        return None
    if other := sorted(parameters.keys() ^ trial.params.keys()):
        whose = "without this search's" if other[0] in parameters else "with another search's"
        return f"other parameters, {whose} {other[0]}"
    for name, distribution in parameters.items():
        if _choices(trial.distributions[name]) != _choices(distribution):
            return f"other choices of the parameter {name}"
    return None


def _choices(distribution: BaseDistribution) -> object:
    """Choices if there are any: comparing those is faster than comparing distributions."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    return distribution


def _refused(study: optuna.Study, where: str, what: str) -> InputError:
    return InputError(
        f"the study {study.study_name} in {where} {what}; "
        "give another `study` or `storage`, or `overwrite=True`"
    )
