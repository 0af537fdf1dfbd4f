"""The expected cost of every exit policy at every level, exact and vectorised.

A sample that leaves at exit k under a policy has run the program "trunk up to k with the heads
evaluated so far" and one decision per early exit evaluated. The expected cost of the policy is the
sum of exit rate x that cost; the worst case is a sample that takes no early exit. With a
`ClockGrid` the other clocks are searched too, as exactly: every setting that any policy of any
subnet could want.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from nas.search.score.clocks import ClockGrid
from nas.search.score.quantities import DEFAULT_OBJECTIVES, Quantity
from search_spaces import Bools, Floats, Genes, Ints, PolicyGrid

PART = 25  # subnets whose settings are scored at once: bounds the memory


class Accuracy(Protocol):
    """Error and exit rates of subnets: from a table, a predictor, or both."""

    @property
    def grid(self) -> PolicyGrid: ...

    def __call__(self, genes: Genes) -> tuple[Floats, Floats, Bools]:
        """Error in percent (n, P), exit rates (n, P, E + 1), which subnets were measured (n,)."""
        ...


class Costs(Protocol):
    """Latency and energy of programs on the target."""

    def __call__(self, genes: Genes, programs: Bools) -> tuple[Floats, Floats]:
        """latency_ms and energy_mj `(n, programs, L)` of every program (rows) of every subnet."""
        ...


@dataclass(frozen=True)
class Scores:
    """Everything known about `n` subnets under P policies at L levels, or L settings of clocks."""

    error_pct: Floats  # (n, P)
    rates: Floats  # (n, P, E + 1)
    measured: Bools  # (n,) whether error and rates were measured
    latency_ms: Floats  # (n, P, L), expected
    energy_mj: Floats  # (n, P, L), expected
    worst_ms: Floats  # (n, P, L), no early exit taken
    params: Floats | None = None  # (n, P), weights of the trunk and heads that are run
    setting: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    level: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        """Columns that nobody named are the levels themselves."""
        if not len(self.setting):
            for name in ("setting", "level"):
                object.__setattr__(self, name, np.arange(self.latency_ms.shape[2]))

    def value(self, quantity: Quantity) -> Floats:
        """`(n, P, L)` of one quantity."""
        found: Floats | None = getattr(self, quantity.scores)
        if found is None:
            raise ValueError(f"`{quantity.name}` is not scored: the scorer does not count it")
        shape = self.latency_ms.shape
        return np.broadcast_to(found[:, :, None], shape) if found.ndim == 2 else found

    def costs(self, objectives: Sequence[Quantity] = DEFAULT_OBJECTIVES) -> Floats:
        """`(n, P, L, objectives)`; all minimised."""
        return np.stack([self.value(quantity) for quantity in objectives], axis=-1)


@dataclass(frozen=True)
class Scorer:
    """`score(genes)` for one target: what the search, its peers and the benchmarks all call."""

    accuracy: Accuracy
    cost: Costs
    decision_ms: float | Floats  # of every level (L,) where levels are of several devices
    clocks: ClockGrid | None = None
    params: Callable[[Genes], Floats] | None = None  # only where somebody asks for them

    @property
    def grid(self) -> PolicyGrid:
        return self.accuracy.grid

    def __call__(self, genes: Genes) -> Scores:
        error, rates, measured = self.accuracy(genes)
        latency, energy = self._decided(*self.cost(genes, self.grid.programs))
        costs = expected_costs(self.grid, rates, latency, energy)
        return Scores(error, rates, measured, *costs, self._params(genes))

    def at_all_clocks(self, genes: Genes, scores: Scores) -> Iterator[tuple[Genes, Scores]]:
        """What an archive is given: `scores`, or at all useful settings of the clocks, in parts."""
        if self.clocks is None:
            yield genes, scores
            return
        everything = np.arange(len(self.clocks.settings))
        for part in np.array_split(genes, -(-len(genes) // PART)):
            latency, energy = self._decided(*self._at(part, everything))
            useful = self.clocks.useful(latency, energy)
            yield part, self._score(part, useful, latency[:, :, useful], energy[:, :, useful])

    def at(self, genes: Genes, settings: Ints) -> Scores:
        """Scores `(n, P, settings)` at chosen settings; those of the levels come first."""
        if self.clocks is None:
            scores = self(genes)
            costs = ("latency_ms", "energy_mj", "worst_ms")
            chosen = {name: getattr(scores, name)[:, :, settings] for name in costs}
            return replace(scores, **chosen, setting=settings, level=settings)
        return self._score(genes, settings, *self._decided(*self._at(genes, settings)))

    def _at(self, genes: Genes, settings: Ints) -> tuple[Floats, Floats]:
        assert self.clocks is not None
        programs = self.grid.programs
        return self.clocks.costs(genes, programs, *self.cost(genes, programs), settings)

    def _score(self, genes: Genes, settings: Ints, latency: Floats, energy: Floats) -> Scores:
        assert self.clocks is not None
        error, rates, measured = self.accuracy(genes)
        costs = expected_costs(self.grid, rates, latency, energy)
        params, level = self._params(genes), self.clocks.level[settings]
        return Scores(error, rates, measured, *costs, params, settings, level)

    def _params(self, genes: Genes) -> Floats | None:
        return self.params and self.params(genes)

    def _decided(self, run_ms: Floats, run_mj: Floats) -> tuple[Floats, Floats]:
        return with_decisions(self.grid, run_ms, run_mj, self.decision_ms)


def with_decisions(
    grid: PolicyGrid, run_ms: Floats, run_mj: Floats, decision_ms: float | Floats
) -> tuple[Floats, Floats]:
    """Costs `(n, programs, L)` of the grid's programs with the decisions on their way."""
    n_decisions = grid.programs[:, : grid.n_exits].sum(axis=1)
    total_ms = run_ms + n_decisions[:, None] * decision_ms
    # a decision keeps the board waiting: it draws the power of the program it follows
    return total_ms, run_mj * (total_ms / run_ms)


def expected_costs(
    grid: PolicyGrid, rates: Floats, latency: Floats, energy: Floats
) -> tuple[Floats, Floats, Floats]:
    """Expected latency and energy and worst-case latency, `(n, P, L)`.

    From exit rates `(n, P, E + 1)` and costs `(n, programs, L)` with decisions. Policies that
    evaluate the same exits run the same programs, so each such set is one matrix product
    (n, policies, exits) @ (n, exits, levels).
    """
    shape = (3, len(rates), latency.shape[2], len(grid))
    # in memory policies come last: an archive takes whole levels
    expected_ms, expected_mj, worst = np.empty(shape).swapaxes(2, 3)
    routes, group = np.unique(grid.route, axis=0, return_inverse=True)
    for g, route in enumerate(routes):
        policies = np.flatnonzero(group.ravel() == g)
        exits = np.flatnonzero(route >= 0)
        run_ms = latency[:, route[exits]]
        rate = rates[:, policies[:, None], exits]
        expected_ms[:, policies] = rate @ run_ms
        expected_mj[:, policies] = rate @ energy[:, route[exits]]
        worst[:, policies] = run_ms[:, -1:]
    return expected_ms, expected_mj, worst
