"""Who decides in a simulation: the governor, and what every other agent has in common."""

from __future__ import annotations

import math
from typing import Sequence

from .controller import Job
from .governor import Governor
from .policies import Demands

PERIOD_MS = 100.0  # of control: heat
CHECK_MS = 3.0  # the governor looks again at an image that runs
# microseconds on one x86 core, for each model, while no measured time moves the table (measured;
# `python benchmarks/governor.py --times` has those with a correction after every frame)
DECIDE_US, MORE_US, HOLDS_US = 32.0, 18.0, 4.0
ARRIVED_US, PLAN_US, REST_US = 5.0, 30.0, 8.0
CHANGE_US = 100.0  # the first image of another prepared configuration, assumed


class Agent:
    """Runs one configuration for each model at one clock."""

    period_ms = math.inf
    thought_us = 0.0  # since somebody looked, on one x86 core; a kernel's formulas are free

    def __init__(self, rows: Sequence[int], level: int, rest: int | None = None) -> None:
        """`rest`: the clock to wait at; None stays."""
        self.rows, self.level, self.rest = list(rows), level, rest

    def want(self, model: int, demands: Demands) -> None:
        """What is asked of `model` from now on."""

    def arrived(self, model: int, n: int, now_ms: float) -> None:
        """A frame of `n` images came."""

    def decide(
        self, jobs: Sequence[Job], level: int, now_ms: float, running: bool
    ) -> tuple[int | None, list[int], float]:
        """A clock (None: as it is), a configuration for each job, and when to look again (ms)."""
        wanted = self.level if self.rest is not None else None
        return wanted, [self.rows[job.model] for job in jobs], math.inf

    def idle(self, level: int, now_ms: float) -> int | None:
        """The clock to wait at."""
        return self.rest

    def tick(self, busy: float, level: int, now_ms: float, temperature_c: float) -> int | None:
        """Every `period_ms`: a clock for the share of time that was busy, None for no change."""
        return None

    def observe(self, model: int, level: int, table_ms: float, took_ms: float) -> None:
        """Images that the table has at `table_ms` took `took_ms` at `level`."""

    def answered(self, model: int, latency_ms: float, now_ms: float) -> None:
        """A frame is done."""


class Governed(Agent):
    """The governor on a simulated board."""

    period_ms = PERIOD_MS

    def __init__(self, governor: Governor, rows: Sequence[int] | None = None) -> None:
        """`rows`: numbers of the governor's rows in the simulated table; None: the same."""
        super().__init__(rows or range(len(governor.models[0].table.ids)), 0)
        self.governor = governor

    def want(self, model: int, demands: Demands) -> None:
        self.governor.models[model].want(demands)

    def arrived(self, model: int, n: int, now_ms: float) -> None:
        controller = self.governor.models[model]
        before = controller.n_plans
        self.governor.arrived(model, n, now_ms)
        self.thought_us += ARRIVED_US + PLAN_US * (controller.n_plans - before)

    def decide(
        self, jobs: Sequence[Job], level: int, now_ms: float, running: bool
    ) -> tuple[int | None, list[int], float]:
        if running and len(jobs) == 1 and self.governor.holds(jobs[0], level):
            self.thought_us += HOLDS_US
            return None, [self.rows[self.governor.models[jobs[0].model].row]], CHECK_MS
        ran = [model.row for model in self.governor.models]
        found = self.governor.decide(jobs, level, now_ms, running)
        changed = sum(model.row != row >= 0 for model, row in zip(self.governor.models, ran))
        self.thought_us += DECIDE_US + MORE_US * (len(jobs) - 1) + CHANGE_US * changed
        wanted = max(found.level, level) if running and found.fits else found.level
        return wanted, [self.rows[row] for row in found.rows], CHECK_MS

    def idle(self, level: int, now_ms: float) -> int | None:
        self.thought_us += REST_US
        return self.governor.rest(level, now_ms)

    def tick(self, busy: float, level: int, now_ms: float, temperature_c: float) -> int | None:
        self.governor.heat(temperature_c)
        return min(level, self.governor.cap) if level > self.governor.cap else None

    def observe(self, model: int, level: int, table_ms: float, took_ms: float) -> None:
        self.governor.models[model].observe(level, table_ms, took_ms)
