"""An Optuna sampler that breeds whole generations: NSGA-II (Deb et al., 2002) on arrays.

Constrained tournament, uniform crossover, mutation, survival by rank and crowding.
"""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution

from nas.samplers.batches import N_SPREAD, BatchSampler, distinct
from nas.samplers.domain import Domain
from nas.samplers.variation import offspring
from search_spaces import Floats, Genes, Ints, Space


class GenerationSampler(BatchSampler):
    """NSGA-II on subnets of `space`, or on categorical and integer parameters of any study.

    A generation is `population` trials, its parents are the best `population` of all before it.

    >>> import optuna
    >>> from nas.samplers import GenerationSampler
    >>> def objective(trial):
    ...     layers, width = trial.suggest_int("layers", 1, 9), trial.suggest_int("width", 8, 64)
    ...     trial.set_constraint("width over 48", width - 48)  # positive: infeasible
    ...     return 1 / (layers * width), layers * width**2  # error and cost, both minimised
    >>> sampler = GenerationSampler(seed=0, population=10)
    >>> study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    >>> study.optimize(objective, n_trials=50)
    >>> all(trial.params["width"] <= 48 for trial in study.best_trials)
    True

    With a `space` the parameters are its genes, and a generation starts spread over all sizes:

    >>> from search_spaces import get_space
    >>> space = get_space("resnet-digits")
    >>> def objective(trial):
    ...     row = [trial.suggest_categorical(n, c) for n, c in space.named_choices().items()]
    ...     genes = space.canonical([row])  # (1, genes); entries of skipped blocks are 0
    ...     return 1 / genes.sum(), float(genes.sum())
    >>> sampler = GenerationSampler(space, seed=0, population=10)
    >>> study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    >>> study.optimize(objective, n_trials=20)
    >>> len(study.trials)
    20
    """

    def __init__(self, space: Space | None = None, *, seed: int = 0, population: int = 50) -> None:
        super().__init__(space, seed=seed, population=population)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """One named parameter per gene."""
        return self.domain.distributions

    def _forget(self) -> None:
        self._parents: Population | None = None

    def _learn(self, genes: Genes, values: Floats, violation: Floats) -> None:
        """Let one finished generation compete with the parents for survival."""
        children = Population(genes, values, np.maximum(violation, 0))
        merged = self._parents.join(children) if self._parents else children
        self._parents = merged.survivors(self.population)

    def _breed(self, number: int, n: int, seen: set[bytes], rng: np.random.Generator) -> Genes:
        if self._parents is None:
            return distinct(lambda: self.domain.spread(max(2 * n, N_SPREAD), rng), n, seen)
        parents = self._parents
        return distinct(lambda: parents.offspring(self.domain, 2 * n, rng), n, seen)


class Population:
    """Subnets with their values and violations."""

    def __init__(self, genes: Genes, values: Floats, violation: Floats) -> None:
        self.genes, self.values, self.violation = genes, values, violation

    def __len__(self) -> int:
        return len(self.genes)

    def join(self, other: Population) -> Population:
        return Population(
            np.concatenate([self.genes, other.genes]),
            np.concatenate([self.values, other.values]),
            np.concatenate([self.violation, other.violation]),
        )

    def survivors(self, n: int) -> Population:
        """The best `n`, in order: feasible before infeasible, then by rank, then by crowding."""
        rank = non_domination_rank(self.values)
        rank = np.where(self.violation > 0, len(self), rank)
        order = np.lexsort((-crowding(self.values, rank), self.violation, rank))[:n]
        return Population(self.genes[order], self.values[order], self.violation[order])

    def offspring(self, domain: Domain, n: int, rng: np.random.Generator) -> Genes:
        """`n` children; survivors are sorted, so the smaller of two indices wins a tournament."""
        pairs = rng.integers(len(self), size=(2, n, 2)).min(axis=2)
        return offspring(domain, self.genes, pairs, rng)


def non_domination_rank(values: Floats) -> Ints:
    """Front number of every row, 0 for the non-dominated ones."""
    no_worse = np.ones((len(values), len(values)), dtype=bool)
    better = np.zeros_like(no_worse)
    for column in values.T:
        no_worse &= column[:, None] <= column
        better |= column[:, None] < column
    dominates = no_worse & better
    n_above = dominates.sum(axis=0)
    rank = np.full(len(values), -1)
    number = 0
    while (front := np.flatnonzero((n_above == 0) & (rank < 0))).size:
        rank[front] = number
        n_above -= dominates[front].sum(axis=0)
        number += 1
    return rank


def crowding(values: Floats, rank: Ints) -> Floats:
    """Crowding distance of every row within its front; infinite at the ends."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.lexsort((column, rank))
        front, ranked = rank[order], column[order]
        starts = np.flatnonzero(np.diff(front, prepend=-1))
        ends = np.append(starts[1:], len(front)) - 1
        width = np.repeat(ranked[ends] - ranked[starts], ends - starts + 1)
        gap = np.zeros(len(front))
        gap[1:-1] = ranked[2:] - ranked[:-2]
        gap = np.divide(gap, width, out=np.zeros_like(gap), where=width > 0)
        gap[starts] = gap[ends] = np.inf
        distance[order] += gap
    return distance
