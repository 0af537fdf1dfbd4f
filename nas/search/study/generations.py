"""The search by whole generations: scored as one batch, recorded in an Optuna study."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from nas.samplers.batches import BatchSampler
from nas.samplers.domain import Domain, SpaceDomain
from nas.search.front.archive import Archive
from nas.search.front.outcomes import Generation, Outcomes
from nas.search.problem import Problem
from nas.search.study.record import add_finished
from nas.search.study.storage import faults_named, first_records, turns
from search_spaces import Genes, InputError

WORTH_MEASURING = 50  # one part in so many of the subnets is new


def run(
    study: optuna.Study,
    problem: Problem,
    n_trials: int,
    *,
    patience: int | None = None,
    shared: str | None = None,
    on_generation: Callable[[Generation], None] = lambda generation: None,
) -> Archive:
    """Search until the study holds `n_trials` subnets; returns the archive of all of them.

    Trials that the study already holds are scored again, not searched again: the same archive
    comes out whether or not the run was interrupted. `patience` stops once that many generations
    together added less than 0.1 % to the hypervolume. `shared` names a storage that other searches
    may write to.
    """
    sampler = study.sampler
    assert isinstance(sampler, BatchSampler)
    domain = sampler.domain
    assert isinstance(domain, SpaceDomain)  # a sampler without a space serves Optuna alone
    sampler.restart()  # it may have served another search
    outcomes = Outcomes(problem)
    archive, turn = outcomes.archive, turns(shared)
    trials = _finished(study, domain, shared)
    while archive.n_subnets < n_trials:
        done = archive.n_subnets
        number, bred = sampler.ask()
        genes = bred[: n_trials - done]
        if not len(genes):
            break  # the space is exhausted
        recorded = trials[done : done + len(genes)]
        _check_prefix(domain, genes, recorded)
        values, violation = outcomes.add(genes)
        with faults_named(shared or "`out`"), turn():
            if shared:
                trials = _finished(study, domain, shared)
                recorded = trials[done : done + len(genes)]
                _check_prefix(domain, genes, recorded)
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
    with faults_named(shared or "`out`"):
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return first_records(domain.genes(trials), trials) if shared else trials


def _check_prefix(domain: Domain, genes: Genes, recorded: list[FrozenTrial]) -> None:
    """A killed generation leaves its first trials; anything else is not ours to continue."""
    if recorded and not np.array_equal(domain.genes(recorded), genes[: len(recorded)]):
        raise InputError(
            "the study holds trials that this search with this seed did not make; "
            "use another `out`, `storage` or `study`, or `overwrite=True`"
        )
