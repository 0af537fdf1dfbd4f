"""What a user's bounds mean: upper bounds on quantities, and the levels that may be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.given import positive_number, whole_numbers
from nas.search.score.quantities import QUANTITIES
from search_spaces import Bools, Floats, Ints

if TYPE_CHECKING:
    from nas.search.score.scorer import Scores


@dataclass(frozen=True)
class Bounds:
    """Upper bounds that every kept configuration meets; None is no bound.

    `levels` are those that may be used, by number; several devices have theirs in a row.
    """

    max_error_pct: float | None = None
    max_latency_ms: float | None = None
    max_worst_latency_ms: float | None = None
    max_energy_mj: float | None = None
    max_params: float | None = None
    levels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, value in self.given.items():
            object.__setattr__(self, name, positive_number(name, value))
        if self.levels is not None:
            object.__setattr__(self, "levels", whole_numbers("levels", self.levels))

    @property
    def given(self) -> dict[str, float]:
        """The upper bounds that are set, by name."""
        named = {q.bound: getattr(self, q.bound) for q in QUANTITIES}
        return {name: value for name, value in named.items() if value is not None}

    def values(self, scores: Scores) -> dict[str, Floats]:
        """Values `(n, P, L)` of every bounded quantity."""
        given = self.given
        return {q.bound: scores.value(q) for q in QUANTITIES if q.bound in given}

    def violation(self, scores: Scores) -> Floats:
        """Largest relative excess over the bounds `(n, P, L)`; at most 0 where all are met."""
        values = self.values(scores)
        excess = [values[name] / bound - 1 for name, bound in self.given.items()]
        worst = np.max(excess, axis=0) if excess else np.full_like(scores.latency_ms, -1.0)
        if self.levels is not None:
            worst = np.where(self.allowed(scores.level), worst, np.inf)
        return worst

    def allowed(self, level: Ints) -> Bools:
        """Which columns, each of a `level`, may be used."""
        if self.levels is None:
            return np.ones(len(level), dtype=bool)
        return np.isin(level, np.array(self.levels))

    def middle_levels(self, n_levels: Sequence[int]) -> list[int]:
        """The middle one of the allowed levels of every device, as columns of the level axis."""
        allowed = self.allowed(np.arange(sum(n_levels)))
        ends = np.cumsum(n_levels)
        found = []
        for end, n in zip(ends, n_levels, strict=True):
            columns = np.arange(end - n, end)
            kept = columns[allowed[columns]]
            found.append(int(kept[len(kept) // 2]))
        return found


def least_violation(violation: Floats, level: Ints, n_levels: Sequence[int]) -> Floats:
    """The smallest of `(n, P, columns)` on every device, `(devices, n)`.

    `level` is that of every column, `n_levels` are those of every device.
    """
    device = np.repeat(np.arange(len(n_levels)), n_levels)[level]
    lowest = violation.min(axis=1)
    return np.stack([lowest[:, device == d].min(axis=1) for d in range(len(n_levels))])
