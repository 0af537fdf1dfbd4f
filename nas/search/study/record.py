"""Finished trials recorded a batch at a time; Optuna itself takes them one by one.

`Study.add_trials` validates, copies and syncs every trial alone: about 1 ms each in a journal,
where an append is followed by a read, and 0.2 ms in memory. Here a batch is one append to the
journal, in Optuna's own format, or one extension of the list in memory. Both know how Optuna's
storages look inside, so they are used with the versions in `CHECKED` alone, for which the tests
read everything back through Optuna; any other version or storage gets `Study.add_trials`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from nas.samplers.batches import CONSTRAINT
from search_spaces import Floats

CHECKED = ("5.0",)  # minor versions of Optuna
CREATE_TRIAL = 4  # the journal's operation

Params = Sequence[Mapping[str, Any]]
Finished = list[tuple[Mapping[str, Any], list[float], float]]  # parameters, values, violation


def add_finished(
    study: optuna.Study,
    distributions: dict[str, BaseDistribution],
    params: Params,
    values: Floats,
    violation: Floats,
) -> None:
    """Record completed trials: `params` of categorical `distributions`, values (n, objectives).

    What a kill leaves is a first part of the batch, and in a journal perhaps a torn last line.
    """
    if not len(params):
        return  # Optuna's journal would take an empty append as a damaged line
    if np.isnan(values).any():
        raise ValueError("values of finished trials must not be NaN")
    storage = study._storage
    add = _add_each
    if len(study.directions) > 1 and _known(distributions):
        if type(storage) is JournalStorage:
            add = _append
        elif type(storage) is InMemoryStorage:
            add = _extend
    add(study, distributions, [*zip(params, values.tolist(), violation.tolist(), strict=True)])


def _known(distributions: dict[str, BaseDistribution]) -> bool:
    checked = optuna.__version__.rsplit(".", 1)[0] in CHECKED
    return checked and all(type(d) is CategoricalDistribution for d in distributions.values())


def _add_each(
    study: optuna.Study, distributions: dict[str, BaseDistribution], finished: Finished
) -> None:
    study.add_trials(
        create_trial(
            values=v, params=dict(p), distributions=distributions, system_attrs={CONSTRAINT: [c]}
        )
        for p, v, c in finished
    )


def _append(
    study: optuna.Study, distributions: dict[str, BaseDistribution], finished: Finished
) -> None:
    """One append of the batch; this process reads it when somebody asks for trials."""
    storage: Any = study._storage
    now = datetime.now(tz=UTC).isoformat(timespec="microseconds")
    shared = {
        "op_code": CREATE_TRIAL,
        "worker_id": "nas",  # a batch has no owner: nothing of it is still running
        "study_id": study._study_id,
        "datetime_start": now,
        "state": int(TrialState.COMPLETE),
        "value": None,
        "datetime_complete": now,
        "distributions": {name: distribution_to_json(d) for name, d in distributions.items()},
        "user_attrs": {},
        "intermediate_values": {},
    }
    index = {n: _indices(d) for n, d in distributions.items()}
    storage._backend.append_logs(
        [
            shared
            | {"values": v, "system_attrs": {CONSTRAINT: [c]}}
            | {"params": {name: index[name][value] for name, value in p.items()}}
            for p, v, c in finished
        ]
    )


def _extend(
    study: optuna.Study, distributions: dict[str, BaseDistribution], finished: Finished
) -> None:
    """The same in memory; trials share one dictionary of distributions."""
    storage: Any = study._storage
    now = datetime.now()
    with storage._lock:
        trials = storage._studies[study._study_id].trials
        for p, v, c in finished:
            storage._max_trial_id += 1
            trial = FrozenTrial(
                trial_id=storage._max_trial_id,
                number=len(trials),
                state=TrialState.COMPLETE,
                params=dict(p),
                distributions=distributions,
                user_attrs={},
                system_attrs={CONSTRAINT: [c]},
                value=None,
                values=v,
                intermediate_values={},
                datetime_start=now,
                datetime_complete=now,
            )
            place = study._study_id, trial.number
            storage._trial_id_to_study_id_and_number[trial._trial_id] = place
            trials.append(trial)
        if trials:
            storage._update_cache(trials[-1]._trial_id, study._study_id)


def _indices(distribution: BaseDistribution) -> dict[Any, int]:
    assert isinstance(distribution, CategoricalDistribution)
    return {value: i for i, value in enumerate(distribution.choices)}
