"""Several devices as one target: their levels lie side by side, device after device.

One device is a fleet of one, and its scorer is its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.search.archive import Archive
from nas.search.costs import TargetCosts
from nas.search.inner import Costs, Floats, Scorer
from nas.search.objectives import Bounds
from search_spaces import Genes, InputError, PolicyGrid, Space


@dataclass(frozen=True)
class Target:
    """A device, the rows that were measured on it, and the costs fitted to them."""

    device: Any
    rows: pd.DataFrame
    costs: TargetCosts
    scorer: Scorer

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def n_levels(self) -> int:
        return len(self.device.levels)

    def check_levels(self, levels: Sequence[int] | None) -> None:
        """InputError where `--levels` names one that the device does not have."""
        for level in levels or ():
            if not 0 <= level < self.n_levels:
                raise InputError(
                    f"--levels names level {level}; {self.name} has levels 0 to "
                    f"{self.n_levels - 1} in this power mode"
                )


@dataclass(frozen=True)
class SideBySide:
    """Costs of several devices: their levels one after the other."""

    costs: tuple[Costs, ...]

    def __call__(self, genes: Genes, programs: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        parts = [costs(genes, programs) for costs in self.costs]
        latency, energy = (np.concatenate(x, axis=2) for x in zip(*parts, strict=True))
        return latency, energy


@dataclass(frozen=True)
class Fleet:
    """The devices that one search serves."""

    targets: list[Target]

    @property
    def n_levels(self) -> list[int]:
        return [target.n_levels for target in self.targets]

    @property
    def columns(self) -> list[slice]:
        """The columns of the level axis that are each device's."""
        ends = np.cumsum(self.n_levels).tolist()
        return [slice(end - n, end) for end, n in zip(ends, self.n_levels, strict=True)]

    def scorer(self) -> Scorer:
        """Scores at the levels of all devices; accuracies are looked up once for all."""
        scorers = [target.scorer for target in self.targets]
        if len(scorers) == 1:
            return scorers[0]
        waits = [np.full(n, s.decision_ms) for n, s in zip(self.n_levels, scorers, strict=True)]
        costs = SideBySide(tuple(s.cost for s in scorers))
        return replace(scorers[0], cost=costs, decision_ms=np.concatenate(waits))

    def bounds(self, bounds: Bounds) -> Bounds:
        """`bounds` with the allowed levels of every device as columns."""
        if bounds.levels is None:
            return bounds
        columns = [c.start + level for c in self.columns for level in bounds.levels]
        return replace(bounds, levels=tuple(columns))

    def archives(self, archive: Archive) -> list[Archive]:
        """The archive of every device alone."""
        return [archive.part(i, columns) for i, columns in enumerate(self.columns)]


def params_of(space: Space, grid: PolicyGrid) -> Callable[[Genes], Floats]:
    """A function genes -> weights of the program that each policy asks `(n, P)`."""

    def params(genes: Genes) -> Floats:
        rows = np.repeat(genes, len(grid.programs), axis=0)
        heads = np.tile(grid.programs, (len(genes), 1))
        counts = space.operators(rows, heads).params.sum(axis=1)
        return counts.reshape(len(genes), -1)[:, grid.route[:, -1]].astype(float)

    return params
