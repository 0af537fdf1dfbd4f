"""Every governor on the same frames: the rows that a comparison may have, by name."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Sequence

import numpy as np

from .agents import CHANGE_US, DECIDE_US, PLAN_US, Agent, Governed
from .baselines import Clocked, DynamicOfa, cheapest, kernels_of, largest_first
from .governor import Governor
from .manifest import ManifestError
from .offline import Hindsight, best_fixed, clairvoyant, free_switches
from .policies import unknown
from .scenarios import strictest
from .simulate import Simulation
from .simulated import Board, Model, Result

Run = Callable[[], "dict[str, Any]"]


class Comparison:
    """One load on one board. `a`: the largest subnet; `b`: the cheapest one within the floor.

    Neither has exits. Fixed choices keep the strictest of the demands.
    """

    def __init__(
        self, models: Sequence[Model], board: Board, processor: str, largest: int, seconds: float
    ) -> None:
        self.models, self.board, self.seconds = list(models), board, seconds
        self.table, n = models[0].table, len(models)
        floor = strictest([d for model in models for d in model.demands]).floor_error_pct
        within = self.table.error_pct <= floor
        plain = within & ~self.table.has_exits
        self.runs: dict[str, Run] = {}
        self._agents: dict[str, Callable[[], Agent]] = {}
        self._run("governor", self.governor)
        subnets = {"a": largest}
        if plain.any():
            subnets["b"] = cheapest(self.table, floor, exits=False)
            self._run("clocks alone", partial(self.governor, [subnets["b"]]))
            library = [row for row in largest_first(self.table) if within[row]]
            self._run("subnets alone", partial(DynamicOfa, library, self.table, n))
        for name, kind in kernels_of(processor).items():
            for which, row in subnets.items():
                self._run(f"{name} + {which}", partial(self._clocked, kind, row))
        for words, allowed in (("(subnet, level)", plain), ("(subnet, exits, level)", within)):
            rows = [int(row) for row in np.flatnonzero(allowed)]
            for drop in (False, True) if rows else ():
                name = f"best fixed {words}" + (", drop when idle" if drop else "")
                self.runs[name] = partial(self._fixed, rows, drop)
        if n == 1:
            self.runs["clairvoyant"] = self._clairvoyant
        self.runs["bound"] = self._bound

    def named(self, name: str) -> list[str]:
        """Rows that `name` asks for: a whole name, or the words that some begin with."""
        found = [row for row in self.runs if row == name or row.split(" + ")[0] == name]
        found = found or [row for row in self.runs if row.startswith(name + " ")]
        if not found:
            known = list(dict.fromkeys(row.split(" + ")[0].split(" (")[0] for row in self.runs))
            raise ManifestError(unknown("baseline", name, known))
        return found

    def governor(self, rows: Sequence[int] | None = None) -> Agent:
        """The governor over all rows of the table, or over some."""
        demands = [model.demands[0][1] for model in self.models]
        tables = [model.table if rows is None else model.table.take(rows) for model in self.models]
        made = Governor(tables, demands, self.board.delay_ms)
        if self.board.thinking is not None:
            made.change_ms = self.board.thinking.ms_per_us * CHANGE_US
            made.thought_ms = self.board.thinking.ms_per_us * (DECIDE_US + PLAN_US)
        return Governed(made, rows)

    @property
    def events(self) -> list[str]:
        """Rows that are one run of one agent, which `result` can show."""
        return list(self._agents)

    def result(self, name: str) -> Result:
        """A run with everything that happened, for a picture."""
        made = Simulation(self.models, self.board, self._agents[name](), keep=True)
        return made.run(self.seconds)

    def _run(self, name: str, make: Callable[[], Agent]) -> None:
        self._agents[name] = make
        self.runs[name] = partial(self._simulated, make)

    def _simulated(self, make: Callable[[], Agent]) -> dict[str, Any]:
        return Simulation(self.models, self.board, make()).run(self.seconds).row()

    def _clocked(self, kind: Any, row: int) -> Agent:
        return Clocked([row] * len(self.models), kind(self.table.mhz))

    def _fixed(self, rows: list[int], drop: bool) -> dict[str, Any]:
        found = best_fixed(self.models, self.board, rows, self.seconds, drop=drop)
        return {**found.run.row(), "rows": found.rows, "level": found.level, "rest": found.rest}

    def _clairvoyant(self) -> dict[str, Any]:
        return self._joules(clairvoyant(self.models[0], self.board, self.seconds))

    def _bound(self) -> dict[str, Any]:
        return self._joules(free_switches(self.models, self.board, self.seconds))

    def _joules(self, found: Hindsight) -> dict[str, Any]:
        joules, n_late = found
        n = sum(len(model.frames.at_ms) for model in self.models)
        idle = float(self.board.idle_w[0]) * self.seconds
        per_frame = {"mj_per_frame": 1e3 * joules / n, "mj_above_idle": 1e3 * (joules - idle) / n}
        return {**per_frame, "frames": n, "late_pct": 100 * n_late / n, "source": "simulated"}
