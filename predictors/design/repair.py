"""From proposed designs to one that was measured to meet a bound: repair, then verify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from search_spaces import Bools, Floats, Genes, Ints, Space

Belief = Callable[[Ints, Floats], tuple[Floats, Floats]]

CAUTIONS = (0.0, -1.0, 1.0)  # standard deviations
N_KEPT, N_MOVES = 32, 8  # designs that move on, by each reading, and how often they do


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

    def meets(self, log_bound: float) -> Bools:
        """Which designs are predicted to meet the bound and may be chosen, (m,)."""
        return np.asarray((self.mean <= log_bound) & (self.value > -np.inf))

    def order(self, log_bound: float, caution: float = 0.0) -> Ints:
        """Rows by falling value where mean + caution x std meets the bound, then by rising cost."""
        cost = self.mean + caution * self.std
        allowed = self.value > -np.inf
        meets = (cost <= log_bound) & allowed
        return np.lexsort((np.where(meets, -self.value, cost), ~meets, ~allowed))

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
    """All designs seen while the best ones move to their neighbours, until none is new.

    The first meets the bound as predicted, unless no move led there: then `meets` is nowhere true
    and the first exceeds it least. The prediction may be off, so the best of a bold and of a
    cautious reading of it move as well; `verify` decides between them.
    """
    seen, moved = set(keys(pool.genes)), set[bytes]()
    for _ in range(N_MOVES):
        best = np.concatenate([pool.order(log_bound, c)[:N_KEPT] for c in CAUTIONS])
        front = dict(zip(keys(pool.genes[best]), best.tolist(), strict=True))
        rows = [row for key, row in front.items() if key not in moved]
        if not rows:
            break
        moved |= front.keys()
        near = neighbours(space, pool.genes[rows])
        new = {key: row for row, key in enumerate(keys(near)) if key not in seen}
        seen |= new.keys()
        if new:
            pool = pool | look(near[list(new.values())])
    return pool[pool.order(log_bound)]


def keys(genes: Genes) -> list[bytes]:
    """One hashable value per design."""
    return [row.tobytes() for row in genes]


@dataclass(frozen=True)
class Verified:
    """What measuring a pool gave: rows of the pool in order, their costs, and the chosen row."""

    rows: Ints
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
