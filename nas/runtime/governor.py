"""The governor: one decision on subnet, exits and clock for the frames that wait.

All configurations at all levels are tried at every decision, on arrays (configurations, levels),
and nothing has to be searched.
"""

from __future__ import annotations

from typing import NamedTuple, Sequence

import numpy as np

from .controller import SAFETY, Controller, Job
from .manifest import ManifestError
from .policies import Demands
from .table import CostTable

COOL_C = 3.0  # below the cap, the next level is allowed again


class Decision(NamedTuple):
    """What to run: a clock for all, a configuration for each job."""

    level: int
    rows: list[int]
    fits: bool
    yielded: str  # what could not be had, in words; empty where everything is


class Governor:
    """A controller for each model and one clock for all of them."""

    def __init__(
        self, tables: Sequence[CostTable], demands: Sequence[Demands], delay_ms: np.ndarray
    ) -> None:
        """`delay_ms` (L, L): milliseconds from asking for a clock until it acts."""
        if len({table.n_levels for table in tables}) != 1 or len(tables) != len(demands):
            raise ManifestError("models that share a board need tables of the same levels")
        self.delay_ms = delay_ms
        self.models = [Controller(t, d, delay_ms) for t, d in zip(tables, demands)]
        self.n_levels = tables[0].n_levels
        self.thought_ms = np.zeros(self.n_levels)  # what a decision takes at each clock
        self.change_ms = np.zeros(self.n_levels)  # and the first image of another configuration
        self.cap = self.n_levels - 1  # the fastest clock that heat allows
        self.idle_w = tables[0].idle_w
        self._levels = np.arange(self.n_levels)
        self._idle_above = self.idle_w - self.idle_w[0]
        self._way = delay_ms * np.maximum(self.idle_w[:, None] - self.idle_w, 0)  # mJ, (L, L)
        self._ahead, self._due_ms = np.zeros((len(tables), self.n_levels)), 0.0
        self._next = self._ahead.sum(axis=0)

    def decide(
        self, jobs: Sequence[Job], level: int, now_ms: float = 0.0, running: bool = False
    ) -> Decision:
        """The cheapest way to answer `jobs`, the most urgent first, from clock `level`.

        `running`: the first of them has begun.
        """
        for step in range(max(len(self.models[job.model].steps) for job in jobs)):
            found = self._cheapest(jobs, level, now_ms, step, running)
            if found is not None:
                return found
        return self._fastest(jobs, level, now_ms)

    def holds(self, job: Job, level: int) -> bool:
        """Whether what runs still ends in time at `level`: then no new decision is needed."""
        finish = self.models[job.model].finish_ms(job.n, level)
        return bool(finish <= SAFETY * (job.left_ms - self.thought_ms[level]))

    def arrived(self, model: int, n: int, now_ms: float) -> None:
        """A frame of `n` images came: known from now on; it says what the next one may cost."""
        self.models[model].arrived(n, now_ms)
        self._ahead[model] = self.models[model].expected(self.cap)
        self._next = self._ahead.sum(axis=0)
        # a model with no frame yet, or with one overdue by a whole gap, may send none for long
        self._due_ms = min(m.due_ms for m in self.models if m.due_ms + m.gap_ms >= now_ms)

    def rest(self, level: int, now_ms: float) -> int:
        """The clock to wait at, now that nothing runs at `level`."""
        best = int(self._pauses(np.full(self.n_levels, now_ms))[level].argmin())
        return min(best, self.cap)

    def _pauses(self, from_ms: np.ndarray) -> np.ndarray:
        """mJ from a frame's end at each clock (L,) by way of each clock to wait at, (L, L).

        The way there, the wait above the lowest idle power, and the next frame from there; infinite
        where the clock would not be there in time.
        """
        wait = np.maximum(self._due_ms - from_ms, 0.0)[:, None]
        there: np.ndarray = wait * self._idle_above
        there += self._way
        there += self._next
        np.putmask(there, self.delay_ms > wait, np.inf)
        return there

    def heat(self, temperature_c: float) -> None:
        """Once per control period: a level less above the cap, one more well below it."""
        caps = [m.demands.temperature_c for m in self.models if m.demands.temperature_c is not None]
        if caps and temperature_c > min(caps):
            self.cap = max(0, self.cap - 1)
        elif not caps or temperature_c < min(caps) - COOL_C:
            self.cap = min(self.n_levels - 1, self.cap + 1)

    def _cheapest(
        self, jobs: Sequence[Job], level: int, now_ms: float, step: int, running: bool
    ) -> Decision | None:
        """The best level of those at which every job has a configuration in time, or None."""
        begin = np.zeros(self.n_levels)
        total = begin.copy()
        total[self.cap + 1 :] = np.inf
        rows, yielded = [], ""
        for i, job in enumerate(jobs):
            model = self.models[job.model]
            allowed, timed, gone = model.steps[min(step, len(model.steps) - 1)]
            finish, cost = model.costs(job.n, level, first=i == 0)
            barred = ~allowed
            if timed:
                left = SAFETY * (job.left_ms - self.thought_ms[level])
                barred |= model.late(job, finish, left - begin, self.change_ms[level])
            if "accuracy" in gone:  # as accurate as can be, whatever it costs
                cost += model.table.error_pct[:, None] * 1e6
            if not timed:  # as soon as can be
                cost = finish.copy()
            np.putmask(cost, barred, np.inf)
            if not gone:
                cost = model.prefer(cost, now_ms, running and i == 0)
            row = cost.argmin(axis=0)
            total += cost[row, self._levels]
            begin += finish[row, self._levels]
            rows.append(row)
            yielded = yielded or gone
        total += self._pauses(now_ms + begin).min(axis=1)
        at = int(total.argmin())
        if total[at] == np.inf:
            return None
        return self._taken(jobs, at, [int(row[at]) for row in rows], now_ms, yielded)

    def _fastest(self, jobs: Sequence[Job], level: int, now_ms: float) -> Decision:
        """The one safe answer: the fastest that the last step of the policy allows."""
        rows = []
        for job in jobs:
            model = self.models[job.model]
            allowed = model.steps[-1][0][:, self.cap]
            ms = np.where(allowed, model.table.mean_ms[:, self.cap], np.inf)
            rows.append(int(ms.argmin()))
        return self._taken(jobs, self.cap, rows, now_ms, "time")

    def _taken(
        self, jobs: Sequence[Job], level: int, rows: list[int], now_ms: float, yielded: str
    ) -> Decision:
        for job, row in zip(jobs, rows):
            self.models[job.model].take(row, now_ms)
        return Decision(level, rows, not yielded, yielded)
