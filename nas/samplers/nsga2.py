"""An Optuna sampler that breeds whole generations: NSGA-II (Deb et al., 2002) on arrays.

Constrained tournament, uniform crossover, mutation, survival by rank and crowding.
"""

from __future__ import annotations

import numpy as np
from optuna.distributions import BaseDistribution

from nas.samplers.batches import CONSTRAINT, N_ATTEMPTS, BatchSampler, fresh
from nas.samplers.domain import Domain, SpaceDomain, trial_genes, trial_params
from search_spaces import Floats, Genes, Ints, Space

__all__ = ["CONSTRAINT", "GenerationSampler", "trial_genes", "trial_params"]


class GenerationSampler(BatchSampler):
    """Subnets of `space`, `population` at a time; also usable one trial at a time in Optuna."""

    domain: SpaceDomain

    def __init__(self, space: Space, *, seed: int = 0, population: int = 50) -> None:
        self.space = space
        super().__init__(SpaceDomain(space), seed=seed, population=population)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """One named categorical parameter per gene."""
        return self.domain.distributions

    def _forget(self) -> None:
        self._parents: Population | None = None

    def _learn(self, genes: Genes, values: Floats, violation: Floats) -> None:
        """Let one finished generation compete with the parents for survival."""
        children = Population(genes, values, np.maximum(violation, 0))
        merged = self._parents.join(children) if self._parents else children
        self._parents = merged.survivors(self.population)

    def _breed(self, number: int, n: int, seen: set[bytes], rng: np.random.Generator) -> Genes:
        found = np.empty((0, len(self.domain.choices)), dtype=np.int64)
        for _ in range(N_ATTEMPTS):
            if self._parents is None:
                candidates = self.domain.spread(2 * n, rng)
            else:
                candidates = self._parents.offspring(self.domain, 2 * n, rng)
            found = fresh(np.concatenate([found, candidates]), n, seen)
            if len(found) == n:
                break
        return found


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
        parents = domain.full(self.genes)
        mother, father = rng.integers(len(self), size=(2, n, 2)).min(axis=2)
        swap = rng.random((n, parents.shape[1])) < 0.5
        children = np.where(swap, parents[mother], parents[father])
        return redraw(domain, children, 1 / children.shape[1], rng)


def redraw(domain: Domain, genes: Genes, rate: float, rng: np.random.Generator) -> Genes:
    """`genes` with every entry drawn again with probability `rate`."""
    mutate = rng.random(genes.shape) < rate
    for i, choices in enumerate(domain.choices):
        drawn = np.asarray(choices)[rng.integers(len(choices), size=len(genes))]
        genes[:, i] = np.where(mutate[:, i], drawn, genes[:, i])
    return domain.canonical(genes)


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
