"""The inner search: expected cost of every exit policy at every level, exact and vectorised.

A sample that leaves at exit k under a policy has run the program "trunk up to k with the heads
asked so far" and one decision per early exit asked. The expected cost of the policy is the sum of
exit rate x that cost; the worst case is a sample that takes no early exit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from search_spaces import Genes, PolicyGrid

Floats = NDArray[np.floating[Any]]


class Accuracy(Protocol):
    """Error and exit rates of subnets: from a table, a predictor, or both."""

    @property
    def grid(self) -> PolicyGrid: ...

    def __call__(self, genes: Genes) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        """Error in percent (n, P), exit rates (n, P, E + 1), which subnets were measured (n,)."""
        ...


class Costs(Protocol):
    """Latency and energy of programs on the target."""

    def __call__(self, genes: Genes, programs: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """latency_ms and energy_mj `(n, programs, L)` of every program (rows) of every subnet."""
        ...


@dataclass(frozen=True)
class Scores:
    """Everything known about `n` subnets under P policies at L levels."""

    error_pct: Floats  # (n, P)
    rates: Floats  # (n, P, E + 1)
    measured: NDArray[np.bool_]  # (n,) whether error and rates were measured
    latency_ms: Floats  # (n, P, L), expected
    energy_mj: Floats  # (n, P, L), expected
    worst_ms: Floats  # (n, P, L), no early exit taken
    params: Floats | None = None  # (n, P), weights of the asked program

    @property
    def costs(self) -> Floats:
        """`(n, P, L, 3)`: top1_error_pct, latency_ms, energy_mj; all minimised."""
        error = np.broadcast_to(self.error_pct[:, :, None], self.latency_ms.shape)
        return np.stack([error, self.latency_ms, self.energy_mj], axis=-1)


@dataclass(frozen=True)
class Scorer:
    """`score(genes)` for one target: what the search, its peers and the benchmarks all call."""

    accuracy: Accuracy
    cost: Costs
    decision_ms: float | Floats  # of every level (L,) where levels are of several devices
    params: Callable[[Genes], Floats] | None = None  # only where a bound needs them

    @property
    def grid(self) -> PolicyGrid:
        return self.accuracy.grid

    def __call__(self, genes: Genes) -> Scores:
        error, rates, measured = self.accuracy(genes)
        latency, energy = self.cost(genes, self.grid.programs)
        latency, energy, worst = self._expected(rates, latency, energy)
        params = self.params and self.params(genes)
        return Scores(error, rates, measured, latency, energy, worst, params)

    def _expected(self, rates: Floats, latency: Floats, energy: Floats) -> tuple[Floats, ...]:
        """Expected latency and energy and worst-case latency, `(n, P, L)`.

        Policies that ask the same exits run the same programs, so each such set is one matrix
        product (n, policies, exits) @ (n, exits, levels).
        """
        shape = (len(rates), len(self.grid), latency.shape[2])
        expected_ms, expected_mj, worst = np.empty(shape), np.empty(shape), np.empty(shape)
        decisions = self.grid.n_decisions()
        routes, group = np.unique(self.grid.route, axis=0, return_inverse=True)
        for g, route in enumerate(routes):
            policies = np.flatnonzero(group.ravel() == g)
            exits = np.flatnonzero(route >= 0)
            n_decisions = decisions[policies[0], exits]
            run_ms = latency[:, route[exits]]
            total_ms = run_ms + n_decisions[:, None] * self.decision_ms
            # a decision keeps the board waiting: it draws the power of the program it follows
            total_mj = energy[:, route[exits]] * (total_ms / run_ms)
            rate = rates[:, policies[:, None], exits]
            expected_ms[:, policies] = rate @ total_ms
            expected_mj[:, policies] = rate @ total_mj
            worst[:, policies] = total_ms[:, -1:]
        return expected_ms, expected_mj, worst
