"""`--ray-async`: a free slot gets the next subnet at once, from what has been told so far.

Slow nodes then hold up nobody. The order of results decides what is bred, so two runs of one seed
differ, and no run equals the local one.
"""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from nas.cluster.cluster import Cluster
from nas.samplers.batches import BatchSampler
from nas.samplers.domain import SpaceDomain
from nas.search.front.archive import Archive
from nas.search.front.outcomes import Generation, Outcomes
from nas.search.images.log import EvaluatedAccuracy
from nas.search.problem import Problem
from nas.search.study.storage import faults_named
from search_spaces import Genes


class AsyncSearch:
    """Optuna's ask and tell, with as many subnets in flight as the cluster runs at once."""

    def __init__(
        self,
        study: optuna.Study,
        problem: Problem,
        *,
        shared: str | None = None,
    ) -> None:
        """`shared` names a storage that other searches may write to."""
        sampler, accuracy = study.sampler, problem.scorer.accuracy
        assert isinstance(sampler, BatchSampler)
        assert isinstance(accuracy, EvaluatedAccuracy)
        assert isinstance(accuracy.evaluate, Cluster)
        assert isinstance(sampler.domain, SpaceDomain)
        self.study, self.sampler, self.domain = study, sampler, sampler.domain
        self.accuracy, self.cluster = accuracy, accuracy.evaluate
        self.outcomes = Outcomes(problem)
        self.archive = self.outcomes.archive
        self.shared, self.where = shared, shared or "--out"
        self._seen: set[bytes] = set()
        self._pending: dict[str, tuple[optuna.Trial, Genes]] = {}

    def run(
        self,
        n_trials: int,
        *,
        patience: int | None = None,
        on_generation: Callable[[Generation], None] = lambda generation: None,
    ) -> Archive:
        """Search until the study holds `n_trials` subnets.

        `population` trials count as one generation; the hypervolume is measured once in each.
        """
        self._resume()
        n_repeats = 0
        while self.archive.n_subnets < n_trials:
            wanted = min(max(1, self.cluster.n_slots), n_trials - self.archive.n_subnets)
            while len(self._pending) < wanted and n_repeats < 2 * self.sampler.population:
                n_repeats = 0 if self._ask() else n_repeats + 1
                if n_repeats and self._pending:
                    break  # a result will tell the sampler more
            if not self._pending:
                break  # the space is exhausted
            self._tell(*self._take())
            on_generation(self.outcomes.measure(self.sampler.population))
            if self.outcomes.stalled(patience):
                break
        self.outcomes.measure()
        return self.archive

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
            self._seen = {row.tobytes() for row in genes}
            self.outcomes.add(genes)

    def _ask(self) -> bool:
        """Send one more subnet out; False where the sampler had only one that was seen before."""
        with faults_named(self.where):
            trial = self.study.ask(self.domain.distributions)
            genes = self.domain.genes([trial])
            if genes.tobytes() in self._seen:
                self.study.tell(trial, state=TrialState.FAIL)
                return False
        self._seen.add(genes.tobytes())
        name = str(self.accuracy.space.subnet(genes[0]))
        self._pending[name] = trial, genes
        self.cluster.submit(self.accuracy.unknown(genes))
        return True

    def _take(self) -> tuple[optuna.Trial, Genes]:
        """A trial of which the accuracy is known."""
        for name, (_, genes) in self._pending.items():
            if not self.accuracy.unknown(genes):
                return self._pending.pop(name)
        name, counts = self.cluster.take()
        self.accuracy.add(name, counts)
        return self._pending.pop(name)

    def _tell(self, trial: optuna.Trial, genes: Genes) -> None:
        values, violation = self.outcomes.add(genes)
        with faults_named(self.where):
            trial.set_constraint("bounds", float(violation[0]))
            self.study.tell(trial, values[0].tolist())
