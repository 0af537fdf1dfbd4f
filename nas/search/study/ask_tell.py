"""The search by Optuna's ask and tell: one subnet at a time, for any sampler that Optuna knows.

A resumed search scores what its study holds and asks on. Whether it then finds what an
uninterrupted one would have found is up to the sampler.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
from optuna.trial import TrialState

from nas.samplers.batches import fresh
from nas.samplers.domain import SpaceDomain
from nas.search.front.archive import Archive
from nas.search.front.outcomes import Generation, Outcomes
from nas.search.problem import Problem
from nas.search.study.storage import faults_named
from search_spaces import Genes, InputError

N_REPEATS = 5  # in a row: then a random subnet comes between, which tells the sampler something
N_DRAWN = 64


class AskTell:
    """A study's sampler is asked for subnets that it has not proposed before."""

    def __init__(
        self,
        study: optuna.Study,
        problem: Problem,
        *,
        population: int = 50,
        shared: str | None = None,
    ) -> None:
        """`population` trials count as a generation; others may write to the storage `shared`."""
        self.study, self.problem, self.population = study, problem, population
        self.domain = SpaceDomain(problem.space)
        self.outcomes = Outcomes(problem)
        self.archive = self.outcomes.archive
        self.shared, self.where = shared, shared or "`out`"
        self._seen: set[bytes] = set()
        self._pending: dict[str, tuple[optuna.Trial, Genes]] = {}

    def start_from(self, genes: Genes) -> None:
        """Make the sampler propose `genes` first."""
        with faults_named(self.where):
            for params in self.domain.params(genes):
                self.study.enqueue_trial(params, skip_if_exists=True)

    def run(
        self,
        n_trials: int,
        *,
        patience: int | None = None,
        on_generation: Callable[[Generation], None] = lambda generation: None,
    ) -> Archive:
        """Search until the study holds `n_trials` subnets.

        The hypervolume is measured once in a generation.
        """
        self._resume()
        n_repeats = 0
        while self.archive.n_subnets < n_trials:
            wanted = min(max(1, self.n_slots), n_trials - self.archive.n_subnets)
            while len(self._pending) < wanted and n_repeats < 2 * self.population:
                if n_repeats and n_repeats % N_REPEATS == 0:
                    self.start_from(self._unseen(n_repeats))
                n_repeats = 0 if self._ask() else n_repeats + 1
                if n_repeats and self._pending:
                    break  # a result will tell the sampler more
            if not self._pending:
                break  # the space is exhausted
            self._tell(*self._take())
            on_generation(self.outcomes.measure(self.population))
            if self.outcomes.stalled(patience):
                break
        self.outcomes.measure()
        return self.archive

    @property
    def n_slots(self) -> int:
        """Subnets that are evaluated at once."""
        return 1

    def _unseen(self, seed: int) -> Genes:
        """A random subnet that was not proposed before; none where none is found."""
        rng = np.random.default_rng([len(self._seen), seed])
        return fresh(self.domain.spread(N_DRAWN, rng), 1, self._seen)

    def submit(self, genes: Genes) -> None:
        """Send a subnet out to be evaluated, where that is done elsewhere."""

    def _take(self) -> tuple[optuna.Trial, Genes]:
        """A trial whose accuracy is known."""
        return self._pending.pop(next(iter(self._pending)))

    def _resume(self) -> None:
        """Score what the study holds; what a killed run had in flight failed.

        In a shared study it may be in flight still.
        """
        with faults_named(self.where):
            running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            for trial in () if self.shared else running:
                self.study.tell(trial.number, state=TrialState.FAIL)
            done = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if done:
            genes = self.domain.genes(done)
            _, first = np.unique(genes, axis=0, return_index=True)
            genes = genes[np.sort(first)]
            self._seen = {row.tobytes() for row in genes}
            self.outcomes.add(genes)

    def _ask(self) -> bool:
        """Take one more subnet; False where the sampler had only one that was seen before."""
        with faults_named(self.where):
            try:
                trial = self.study.ask(self.domain.distributions)
            except ValueError as error:
                name = type(self.study.sampler).__name__
                raise InputError(f"`sampler` {name} cannot search this space: {error}") from None
            genes = self.domain.genes([trial])
            if genes.tobytes() in self._seen:
                self.study.tell(trial, state=TrialState.FAIL)
                return False
        self._seen.add(genes.tobytes())
        self._pending[str(self.problem.space.subnet(genes[0]))] = trial, genes
        self.submit(genes)
        return True

    def _tell(self, trial: optuna.Trial, genes: Genes) -> None:
        values, violation = self.outcomes.add(genes)
        with faults_named(self.where):
            trial.set_constraint("bounds", float(violation[0]))
            self.study.tell(trial, values[0].tolist())
