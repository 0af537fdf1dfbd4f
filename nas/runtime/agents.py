"""Who decides in a simulation: the governor, and what every other agent has in common."""

from __future__ import annotations

import math
from typing import Sequence

from .governor import Governor, Job
from .policies import Demands

PERIOD_MS = 100.0  # of control: heat


class Agent:
    """Runs one configuration for each model at one clock."""

    period_ms = math.inf

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

    def __init__(self, governor: Governor, *, check_ms: float = 3.0) -> None:
        super().__init__([], 0)
        self.governor, self.check_ms = governor, check_ms

    def want(self, model: int, demands: Demands) -> None:
        self.governor.models[model].want(demands)

    def arrived(self, model: int, n: int, now_ms: float) -> None:
        self.governor.models[model].arrived(n, now_ms)

    def decide(
        self, jobs: Sequence[Job], level: int, now_ms: float, running: bool
    ) -> tuple[int | None, list[int], float]:
        found = self.governor.decide(jobs, level, now_ms)
        wanted = max(found.level, level) if running and found.fits else found.level
        return wanted, found.rows, self.check_ms

    def idle(self, level: int, now_ms: float) -> int | None:
        self.governor.plan()
        return self.governor.rest(level)

    def tick(self, busy: float, level: int, now_ms: float, temperature_c: float) -> int | None:
        self.governor.heat(temperature_c)
        return min(level, self.governor.cap) if level > self.governor.cap else None

    def observe(self, model: int, level: int, table_ms: float, took_ms: float) -> None:
        self.governor.models[model].observe(level, table_ms, took_ms)
