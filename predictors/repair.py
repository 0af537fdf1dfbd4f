"""From proposed designs to one that was measured to meet a bound: repair, then verify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from search_spaces import Genes, Space

Floats = NDArray[np.floating[Any]]
Belief = Callable[[NDArray[np.int64], Floats], tuple[Floats, Floats]]

N_KEPT, N_MOVES = 16, 6  # designs that move on, and how often they do


@dataclass(frozen=True)
class Pool:
    """Designs with what is believed of them, the one to measure first in front."""

    genes: Genes  # (m, genes)
    value: Floats  # (m,), higher is better; -inf: may not be chosen
    mean: Floats  # (m,) of the predicted log cost
    std: Floats  # (m,)

    def __len__(self) -> int:
        return len(self.genes)

    def __getitem__(self, rows: Any) -> Pool:
        return Pool(self.genes[rows], self.value[rows], self.mean[rows], self.std[rows])

    def meets(self, log_bound: float) -> NDArray[np.bool_]:
        """Which designs are predicted to meet the bound and may be chosen, (m,)."""
        return np.asarray((self.mean <= log_bound) & (self.value > -np.inf))

    def ranked(self, log_bound: float) -> Pool:
        """By falling value where the bound is met, then by rising cost."""
        meets, allowed = self.meets(log_bound), self.value > -np.inf
        return self[np.lexsort((np.where(meets, -self.value, self.mean), ~meets, ~allowed))]

    def __or__(self, other: Pool) -> Pool:
        pairs = [(getattr(self, f), getattr(other, f)) for f in self.__dataclass_fields__]
        return Pool(*map(np.concatenate, pairs))


def neighbours(space: Space, genes: Genes) -> Genes:
    """Canonical designs that differ from one of `genes` (n, g) in one gene, repeats included."""
    full, found = space.full(genes), []
    for gene, choices in enumerate(space.choices):
        for choice in choices:
            moved = full[full[:, gene] != choice]
            moved[:, gene] = choice
            found.append(moved)
    return space.canonical(np.concatenate(found))


def repair(pool: Pool, log_bound: float, look: Callable[[Genes], Pool], space: Space) -> Pool:
    """All designs seen while the best ones move to neighbours, until no better one is found.

    The first meets the bound as predicted, unless no move led there: then `meets` is nowhere true
    and the first exceeds it least.
    """
    seen = set(keys(pool.genes))
    pool = pool.ranked(log_bound)
    for _ in range(N_MOVES):
        near = neighbours(space, pool.genes[:N_KEPT])
        new = {key: row for row, key in enumerate(keys(near)) if key not in seen}
        if not new:
            break
        seen |= new.keys()
        before = pool[:N_KEPT]
        pool = (pool | look(near[list(new.values())])).ranked(log_bound)
        if np.array_equal(before.genes, pool.genes[:N_KEPT]):
            break
    return pool


def keys(genes: Genes) -> list[bytes]:
    """One hashable value per design."""
    return [row.tobytes() for row in genes]


@dataclass(frozen=True)
class Verified:
    """What measuring a pool gave: rows of the pool in order, their costs, and the chosen row."""

    rows: NDArray[np.int64]
    log_cost: Floats
    chosen: int | None  # None: nothing that was measured meets the bound


def verify(
    value: Floats,
    belief: Belief,
    measure: Callable[[int], float],
    log_bound: float,
    n_measurements: int,
) -> Verified:
    """Measure at most `n_measurements` designs and choose the best that meets the bound.

    Next comes the design with the largest expected gain: the chance that it meets the bound times
    what it is better than the best so far. `belief(rows, log_cost)` gives mean and standard
    deviation of the log cost of every design, after `rows` were measured; `measure` gives one.
    """
    rows, costs = list[int](), list[float]()
    allowed = value > -np.inf
    worst = value[allowed].min() - 1e-9 if allowed.any() else 0.0
    chosen, best = None, worst
    while len(rows) < n_measurements:
        mean, std = belief(np.array(rows, dtype=np.int64), np.array(costs))
        gain = norm.cdf((log_bound - mean) / std) * np.where(allowed, value - best, 0)
        gain[rows] = 0
        row = int(gain.argmax())
        if gain[row] <= 0:
            break
        rows.append(row)
        costs.append(measure(row))
        if costs[-1] <= log_bound:
            chosen, best = row, value[row]
    return Verified(np.array(rows, dtype=np.int64), np.array(costs), chosen)
