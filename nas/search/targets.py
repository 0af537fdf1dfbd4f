"""Several devices as one target: their levels lie side by side, device after device.

With one device, its problem is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nas.devices import Device, get_device, level_numbers
from nas.search.front.archive import Archive
from nas.search.model import Model
from nas.search.problem import Problem
from nas.search.score.clocks import ClockGrid
from nas.search.score.quantities import objectives_named
from nas.search.score.scorer import Accuracy, Costs, Scorer
from nas.search.settings import SearchSettings
from nas.transfer.costs import TargetCosts, target_costs
from nas.transfer.proxy import Proxy
from search_spaces import Bools, Floats, Genes, InputError, PolicyGrid, Space

PARAMS = "params"  # counted where an objective or a bound needs them


@dataclass(frozen=True)
class Target:
    """A device, the rows that were measured on it, and the costs fitted to them."""

    device: Device
    rows: pd.DataFrame
    costs: TargetCosts
    problem: Problem

    @property
    def name(self) -> str:
        return self.device.name

    @property
    def n_levels(self) -> int:
        return len(self.device.levels)


@dataclass(frozen=True)
class SideBySide:
    """Costs of several devices: their levels one after the other."""

    costs: tuple[Costs, ...]

    def __call__(self, genes: Genes, programs: Bools) -> tuple[Floats, Floats]:
        parts = [costs(genes, programs) for costs in self.costs]
        latency, energy = (np.concatenate(x, axis=2) for x in zip(*parts, strict=True))
        return latency, energy


@dataclass(frozen=True)
class Targets:
    """The devices that one search serves."""

    targets: list[Target]

    @property
    def names(self) -> list[str]:
        return [target.name for target in self.targets]

    @property
    def n_levels(self) -> list[int]:
        return [target.n_levels for target in self.targets]

    @property
    def columns(self) -> list[slice]:
        """The columns of the level axis that are each device's."""
        ends = np.cumsum(self.n_levels).tolist()
        return [slice(end - n, end) for end, n in zip(ends, self.n_levels, strict=True)]

    def problem(self) -> Problem:
        """All devices as one, their levels side by side; accuracies are looked up once for all."""
        first, *others = problems = [target.problem for target in self.targets]
        if not others:
            return first
        waits = [np.full(p.n_levels[0], p.scorer.decision_ms) for p in problems]
        costs = SideBySide(tuple(p.scorer.cost for p in problems))
        scorer = replace(first.scorer, cost=costs, decision_ms=np.concatenate(waits))
        bounds = first.bounds
        if bounds.levels is not None:
            pairs = zip(self.columns, problems, strict=True)
            levels = [c.start + level for c, own in pairs for level in own.bounds.levels or ()]
            bounds = replace(bounds, levels=tuple(levels))
        return replace(first, scorer=scorer, bounds=bounds, n_levels=tuple(self.n_levels))

    def middle_levels(self) -> dict[str, int]:
        """The level of every device at which the values of trials are taken."""
        problems = [(t.name, t.problem) for t in self.targets]
        return {name: p.bounds.middle_levels(p.n_levels)[0] for name, p in problems}

    def with_accuracy(self, accuracy: Accuracy) -> Targets:
        """The same devices with other accuracies, as those from images."""

        def changed(problem: Problem) -> Problem:
            return replace(problem, scorer=replace(problem.scorer, accuracy=accuracy))

        return Targets([replace(t, problem=changed(t.problem)) for t in self.targets])

    def archives(self, archive: Archive) -> list[Archive]:
        """The archive of every device alone."""
        return [archive.part(i, columns) for i, columns in enumerate(self.columns)]


def find_devices(settings: SearchSettings) -> list[Device]:
    """The devices that the settings name or hold. InputError: one of them twice, or unknown."""
    devices = [
        get_device(
            device,
            backend=settings.backend,
            precision=settings.precision,
            batch=settings.batch,
            power_mode=settings.power_mode,
        )
        for device in settings.devices
    ]
    names = [device.name for device in devices]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"`device` {twice[0]} is given twice; name every device once")
    return devices


def fit_target(
    settings: SearchSettings, model: Model, device: Device, rows: pd.DataFrame, proxy: Proxy
) -> Target:
    """What `device` costs, from its rows. InputError: levels or clocks that it does not have."""
    costs = target_costs(model.space, device, proxy, rows)
    clocks = ClockGrid.of(model.space, device) if settings.clocks == "all" else None
    objectives = objectives_named(settings.objectives)
    counted = settings.bounds.max_params is not None or PARAMS in settings.objectives
    params = params_of(model.space, model.accuracy.grid) if counted else None
    scorer = Scorer(model.accuracy, costs, device.decision_ms, clocks, params)
    bounds = settings.bounds
    if bounds.levels is not None:
        bounds = replace(bounds, levels=tuple(level_numbers(device, bounds.levels)))
    problem = Problem(model.space, scorer, bounds, (len(device.levels),), objectives)
    return Target(device, rows, costs, problem)


def params_of(space: Space, grid: PolicyGrid) -> Callable[[Genes], Floats]:
    """A function genes -> weights of what each policy may run `(n, P)`."""

    def params(genes: Genes) -> Floats:
        rows = np.repeat(genes, len(grid.programs), axis=0)
        heads = np.tile(grid.programs, (len(genes), 1))
        counts = space.operators(rows, heads).params.sum(axis=1)
        last = grid.route[:, -1]
        weights: Floats = counts.reshape(len(genes), -1)[:, last].astype(float)
        return weights

    return params
