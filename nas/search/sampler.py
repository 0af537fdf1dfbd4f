"""An Optuna sampler that breeds whole generations from finished trials alone.

NSGA-II (Deb et al., 2002) on arrays: constrained tournament, uniform crossover, mutation, survival
by rank and crowding. Generation g draws from `default_rng([seed, g])` and its parents follow from
the trials of generations 0..g-1, so a resumed study continues as if it had not stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from nas.search.inner import Floats
from search_spaces import Genes, Space

N_ATTEMPTS = 20
CONSTRAINT = "constraints"  # the system attribute in which Optuna keeps constraint values


class GenerationSampler(BaseSampler):
    """Subnets of `space`, `population` at a time; also usable one trial at a time in Optuna."""

    def __init__(self, space: Space, *, seed: int = 0, population: int = 100) -> None:
        self.space, self.seed, self.population = space, seed, population
        self._parents = _Population.empty(space)
        self._seen: set[bytes] = set()
        self._n_bred = 0  # generations that are part of _parents
        self._next: Genes | None = None

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """One named categorical parameter per gene."""
        pairs = zip(self.space.gene_names, self.space.choices, strict=True)
        return {name: CategoricalDistribution(choices) for name, choices in pairs}

    # ---- whole generations ---------------------------------------------------------------------

    def generation(self, trials: Sequence[FrozenTrial]) -> tuple[int, Genes]:
        """Number and genes of the generation that follows the finished `trials`."""
        n_complete = len(trials) // self.population
        while self._n_bred < n_complete:
            start = self._n_bred * self.population
            self._absorb(trials[start : start + self.population])
        if self._next is None:
            self._next = self._breed(n_complete)
        return n_complete, self._next

    def _absorb(self, trials: Sequence[FrozenTrial]) -> None:
        """Let one finished generation compete with the parents for survival."""
        genes = trial_genes(self.space, trials)
        values = np.array([t.values for t in trials])
        violation = np.array([max(0.0, *t.system_attrs.get(CONSTRAINT, [0.0])) for t in trials])
        merged = self._parents.join(_Population(genes, values, violation))
        self._parents = merged.survivors(self.population)
        self._seen.update(row.tobytes() for row in genes)
        self._n_bred, self._next = self._n_bred + 1, None

    def _breed(self, generation: int) -> Genes:
        """`population` subnets never seen before; fewer where the space is nearly exhausted."""
        rng = np.random.default_rng([self.seed, generation])
        fresh: dict[bytes, NDArray[np.int64]] = {}
        for _ in range(N_ATTEMPTS):
            if generation == 0:
                candidates = self.space.sample_spread(2 * self.population, rng)
            else:
                candidates = self._parents.offspring(self.space, 2 * self.population, rng)
            keyed = {row.tobytes(): row for row in candidates}
            fresh = fresh | {k: row for k, row in keyed.items() if k not in self._seen | set(fresh)}
            if len(fresh) >= self.population:
                break
        rows = list(fresh.values())[: self.population]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self.space.choices))

    # ---- Optuna's interface --------------------------------------------------------------------

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        del study, trial
        return self.distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next subnet of the generation that the finished trials define."""
        del search_space
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        number, genes = self.generation(finished)
        if not len(genes):
            return {}  # every subnet was seen: let Optuna sample independently
        row = (trial.number - number * self.population) % len(genes)
        return trial_params(self.space, genes[row : row + 1])[0]

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Parameters outside the space are drawn uniformly."""
        from optuna.samplers import RandomSampler

        rng = RandomSampler(seed=hash((self.seed, trial.number)) % 2**32)
        return rng.sample_independent(study, trial, param_name, param_distribution)


def trial_params(space: Space, genes: Genes) -> list[dict[str, int]]:
    """Parameters of trials: genes of skipped blocks are recorded at their first choice."""
    return [dict(zip(space.gene_names, row, strict=True)) for row in space.full(genes).tolist()]


def trial_genes(space: Space, trials: Sequence[FrozenTrial]) -> Genes:
    """Canonical genes `(n, genes)` of trials."""
    rows = [[t.params[name] for name in space.gene_names] for t in trials]
    return space.canonical(np.array(rows, dtype=np.int64).reshape(len(rows), len(space.choices)))


class _Population:
    """Subnets with their values and violations."""

    def __init__(self, genes: Genes, values: Floats, violation: Floats) -> None:
        self.genes, self.values, self.violation = genes, values, violation

    @classmethod
    def empty(cls, space: Space) -> _Population:
        n = len(space.gene_names)
        return cls(np.empty((0, n), dtype=np.int64), np.empty((0, 3)), np.empty(0))

    def __len__(self) -> int:
        return len(self.genes)

    def join(self, other: _Population) -> _Population:
        if not len(self):
            return other
        return _Population(
            np.concatenate([self.genes, other.genes]),
            np.concatenate([self.values, other.values]),
            np.concatenate([self.violation, other.violation]),
        )

    def survivors(self, n: int) -> _Population:
        """The best `n`, in order: feasible before infeasible, then by rank, then by crowding."""
        rank = non_domination_rank(self.values)
        rank = np.where(self.violation > 0, len(self), rank)
        order = np.lexsort((-crowding(self.values, rank), self.violation, rank))[:n]
        return _Population(self.genes[order], self.values[order], self.violation[order])

    def offspring(self, space: Space, n: int, rng: np.random.Generator) -> Genes:
        """`n` children; survivors are sorted, so the smaller of two indices wins a tournament."""
        parents = space.full(self.genes)
        mother, father = rng.integers(len(self), size=(2, n, 2)).min(axis=2)
        swap = rng.random((n, parents.shape[1])) < 0.5
        children = np.where(swap, parents[mother], parents[father])
        mutate = rng.random(children.shape) < 1 / children.shape[1]
        for i, choices in enumerate(space.choices):
            drawn = rng.choice(np.asarray(choices), n)
            children[:, i] = np.where(mutate[:, i], drawn, children[:, i])
        return space.canonical(children)


def non_domination_rank(values: Floats) -> NDArray[np.int64]:
    """Front number of every row, 0 for the non-dominated ones."""
    no_worse = np.all(values[:, None] <= values[None], axis=2)
    better = np.any(values[:, None] < values[None], axis=2)
    dominates = np.asarray(no_worse & better)
    rank = np.zeros(len(values), dtype=np.int64)
    left = np.ones(len(values), dtype=bool)
    for number in range(len(values)):
        if not left.any():
            break
        front = left & ~dominates[left].any(axis=0)
        rank[front] = number
        left &= ~front
    return rank


def crowding(values: Floats, rank: NDArray[np.int64]) -> Floats:
    """Crowding distance of every row within its front; infinite at the ends."""
    distance = np.zeros(len(values))
    for number in np.unique(rank):
        rows = np.flatnonzero(rank == number)
        for column in values[rows].T:
            order = np.argsort(column, kind="stable")
            width = column[order[-1]] - column[order[0]]
            distance[rows[order[[0, -1]]]] = np.inf
            if width > 0:
                gap = (column[order[2:]] - column[order[:-2]]) / width
                distance[rows[order[1:-1]]] += gap
    return distance
