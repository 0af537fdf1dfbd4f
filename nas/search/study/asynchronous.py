"""`--ray-async`: a free slot gets the next subnet at once, from what has been told so far.

Slow nodes then hold up nobody. The order of results decides what is bred, so two runs of one seed
differ, and no run equals the local one.
"""

from __future__ import annotations

import optuna

from nas.cluster.cluster import Cluster
from nas.search.images.log import EvaluatedAccuracy
from nas.search.problem import Problem
from nas.search.study.ask_tell import AskTell
from search_spaces import Genes


class AsyncSearch(AskTell):
    """Ask and tell with as many subnets in flight as the cluster runs at once."""

    def __init__(
        self,
        study: optuna.Study,
        problem: Problem,
        *,
        population: int = 50,
        shared: str | None = None,
    ) -> None:
        super().__init__(study, problem, population=population, shared=shared)
        accuracy = problem.scorer.accuracy
        assert isinstance(accuracy, EvaluatedAccuracy)
        assert isinstance(accuracy.evaluate, Cluster)
        self.accuracy, self.cluster = accuracy, accuracy.evaluate

    @property
    def n_slots(self) -> int:
        """The cluster grows and shrinks."""
        return self.cluster.n_slots

    def submit(self, genes: Genes) -> None:
        self.cluster.submit(self.accuracy.unknown(genes))

    def _take(self) -> tuple[optuna.Trial, Genes]:
        """A trial whose images were run, here or in an earlier search."""
        for name, (_, genes) in self._pending.items():
            if not self.accuracy.unknown(genes):
                return self._pending.pop(name)
        name, counts = self.cluster.take()
        self.accuracy.add(name, counts)
        return self._pending.pop(name)
