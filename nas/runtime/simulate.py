"""A board under a governor, simulated from event to event. Every figure is `simulated`.

Between two events the clock is constant, so that work and energy are sums, not steps: an image
takes the milliseconds and the watts that the table has for its own exit at the present clock.
A clock that is asked acts later (`delay_ms`); until then the old one works, at the power of the
higher. Power is that of the whole board, idle or not. Frames are never dropped; the most urgent
goes first, and an image that runs is not stopped.
"""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from .controller import Job
from .heat import Warmth
from .simulated import CLOSE_MS, Board, Model, Result, Span
from .work import Task, Work

NEVER = math.inf
THROTTLE_MS = 100.0  # how often the kernel's own throttle looks


class Simulation:
    """One run of `agent` on `models`; no result hangs on `step_ms`, the most taken at once."""

    def __init__(
        self,
        models: Sequence[Model],
        board: Board,
        agent: Any,
        *,
        step_ms: float = 1000.0,
        keep: bool = False,
    ) -> None:
        self.models, self.board, self.agent = models, board, agent
        self.step_ms, self.keep = step_ms, keep
        self.now, self.level, self.asked, self.acts_ms = 0.0, int(agent.level), -1, NEVER
        self.idle_w, self.delay_ms = board.idle_w.tolist(), board.delay_ms.tolist()
        self.share, self.cap = 0.0, len(self.idle_w) - 1
        self.warmth = Warmth(board.heat, self.cap)
        self.queue: list[Task] = []
        self.work = Work(models)
        self.joules = self.busy_ms = 0.0
        self.images = self.wrong = 0
        self.done: list[tuple[float, float, float]] = []
        self.causes = dict.fromkeys(("begin", "within", "tick", "idle", "configuration"), 0)
        self.last_row = [-1] * len(models)
        self.spans: list[Span] = []
        self._next_frame = [0] * len(models)
        self._events = self._changes()
        self._look, self._check_ms = False, NEVER
        self._owed_ms = 0.0  # of thinking, before the work goes on
        tops = [(m.table.mean_mj / m.table.mean_ms).max(axis=0) for m in models]
        self._neighbour_w = np.max(tops, axis=0).tolist()

    def run(self, seconds: float) -> Result:
        """Play the first `seconds`."""
        end, tick, throttle = seconds * 1e3, self.agent.period_ms, THROTTLE_MS
        since, busy_since = 0.0, 0.0
        while True:
            arrivals = [self._arrival(m) for m in range(len(self.models))]
            event = self._events[0][0] if self._events else NEVER
            until = min(*arrivals, event, self.acts_ms, tick, throttle, self._image_end())
            self._advance(min(until, end, self.now + self.step_ms))
            if self.now >= end:
                return self._result(seconds)
            if self.now >= self.acts_ms:
                self._word()
                self.level, self.asked, self.acts_ms = self.asked, -1, NEVER
            while self._events and self._events[0][0] <= self.now:
                self._happen(*self._events.pop(0)[1:])
            for model, at in enumerate(arrivals):
                if at <= self.now:
                    self._arrive(model)
            if self.now >= tick:
                passed = self.now - since
                busy = (self.busy_ms - busy_since) / passed
                self._ask(self.agent.tick(busy, self.level, self.now, self.warmth.celsius), "tick")
                since, busy_since, tick = self.now, self.busy_ms, tick + self.agent.period_ms
            if self.now >= throttle:
                if self.board.heat is not None:
                    self.warmth.look()
                    self._hold_cap()
                throttle += THROTTLE_MS
            self._decide()

    # ---- what happens ----------------------------------------------------------------------------

    def _changes(self) -> list[tuple[float, str, Any]]:
        found: list[tuple[float, str, Any]] = []
        for model, its in enumerate(self.models):
            found += [(at, "demands", (model, demands)) for at, demands in its.demands]
        found += [(at, "share", share) for at, share in self.board.shares]
        found += [(at, "cap", cap) for at, cap in self.board.caps]
        return sorted(found, key=lambda event: event[0])

    def _happen(self, kind: str, value: Any) -> None:
        self._look = True
        if kind == "demands":
            self.agent.want(*value)
        elif kind == "share":
            self._word()
            self.share = value
        else:
            self.cap = value
            self._hold_cap()

    def _arrival(self, model: int) -> float:
        frames, i = self.models[model].frames, self._next_frame[model]
        return float(frames.at_ms[i]) if i < len(frames.at_ms) else NEVER

    def _arrive(self, model: int) -> None:
        frames, i = self.models[model].frames, self._next_frame[model]
        self._next_frame[model] += 1
        demands = [d for at, d in self.models[model].demands if at <= self.now][-1]
        due = self.now + demands.target_ms
        self.queue.append(Task(model, self.now, due, frames.images[i]))
        self.agent.arrived(model, len(frames.images[i]), self.now)
        self._look = True

    @property
    def _allowed(self) -> int:
        """The fastest level that the board and its heat allow."""
        return min(self.cap, self.warmth.cap)

    def _hold_cap(self) -> None:
        if max(self.level, self.asked) > self._allowed:
            self._ask(self._allowed, "tick")

    # ---- work ------------------------------------------------------------------------------------

    def _image_end(self) -> float:
        """When the running frame ends, or its next image where somebody wants to look."""
        if not self.queue or self.queue[0].row < 0:
            return NEVER
        work_ms = self.work.remaining_ms(
            self.queue[0],
            self.level,
            soon=self._look,
            after_ms=(self._check_ms - self.now) * (1 - self.share) - self._owed_ms,
        )
        return self.now + (self._owed_ms + work_ms) / (1 - self.share)

    def _advance(self, until: float) -> None:
        """Let time pass: work, energy, heat."""
        passed, high = until - self.now, max(self.level, self.asked)
        model = row = -1
        watts, own = self.idle_w[high], passed * (1 - self.share)
        thought = min(self._owed_ms, own)
        self._owed_ms -= thought
        if self.queue and self.queue[0].row >= 0:
            task = self.queue[0]
            model, row = task.model, task.row
            if own > thought:
                watts = self.work.advance(task, self.level, high, own - thought) / (own - thought)
                task.took_ms += passed - thought / (1 - self.share)
            self.busy_ms += passed
        else:
            self.busy_ms += passed * self.share + thought
        if thought > 0 and self.board.thinking:
            watts += (self.board.thinking.watts[high] - watts) * thought / own
        if self.share:
            watts += self.share * (self._neighbour_w[high] - watts)
        self.joules += watts * passed / 1e3
        self.warmth.advance(watts, passed)
        if self.keep and passed > 0:
            span = Span(self.now, until, self.level, watts, model, row, self.warmth.celsius)
            self.spans.append(span)
        self.now = until

    def _word(self) -> None:
        """Tell the agent what the images since the last word took at the present clock."""
        if self.queue and self.queue[0].took_ms > 0:
            task = self.queue[0]
            table_ms = task.table_ms / self.models[task.model].factor
            if table_ms > 0:
                self.agent.observe(task.model, self.level, table_ms, task.took_ms)
            task.took_ms = task.table_ms = 0.0

    # ---- decisions -------------------------------------------------------------------------------

    def _decide(self) -> None:
        """At the end of an image, or when idle: ask the agent where there is a reason to."""
        running = bool(self.queue) and self.queue[0].row >= 0
        if running and not self.queue[0].between:
            return
        if running and self.queue[0].finished:
            self._finish(self.queue[0])
            running = False
        if not (self._look or self.now >= self._check_ms):
            return
        checked, self._look, self._check_ms = not self._look, False, NEVER
        if not self.queue:
            level = self.agent.idle(self.level, self.now)
            self._think()
            self._ask(level, "idle")
            return
        if running:
            self._word()
        if checked and self.acts_ms < NEVER:  # a clock is on its way: look again when it is there
            self._check_ms = self.acts_ms
            return
        self.queue.sort(key=lambda task: task.due_ms)
        jobs = [Job(t.model, t.n - round(t.done), t.due_ms - self.now) for t in self.queue]
        level, rows, check = self.agent.decide(jobs, self.level, self.now, running)
        self._think()
        begun = any(task.row >= 0 for task in self.queue)
        for task, row in zip(self.queue, rows):
            if task is self.queue[0] or task.row >= 0:
                self._set_row(task, row)
        self._ask(level, "within" if begun else "begin")
        self._check_ms = self.now + check

    def _think(self) -> None:
        """Owe the time of the agent's last words: what they asked for comes after it."""
        if self.board.thinking is not None:
            ms_per_us = float(self.board.thinking.ms_per_us[self.level])
            self._owed_ms += self.agent.thought_us * ms_per_us
        self.agent.thought_us = 0.0

    def _set_row(self, task: Task, row: int) -> None:
        if row != task.row:
            self.wrong += self.work.answer(task)
            task.row = row
        if row != self.last_row[task.model]:
            self.causes["configuration"] += self.last_row[task.model] >= 0
            self.last_row[task.model] = row

    def _finish(self, task: Task) -> None:
        self._word()
        self.queue.remove(task)
        self.wrong += self.work.answer(task)
        self.images += task.n
        latency = self.now - task.at_ms
        self.done.append((task.at_ms, latency, task.due_ms - task.at_ms))
        self.agent.answered(task.model, latency, self.now)
        self._look = True

    def _ask(self, level: int | None, cause: str) -> None:
        """Ask for a clock, which acts after its delay."""
        if level is None:
            return
        level = min(level, self._allowed)
        if level == (self.asked if self.asked >= 0 else self.level):
            return
        self.causes[cause] += 1
        if level == self.level:
            self.asked, self.acts_ms = -1, NEVER
            return
        thought_ms = self._owed_ms / (1 - self.share)
        self.asked = level
        self.acts_ms = self.now + thought_ms + self.delay_ms[self.level][level]

    def _result(self, seconds: float) -> Result:
        at, latency, target = np.array(self.done).reshape(-1, 3).T
        idle = float(self.board.idle_w[0]) * seconds
        overdue = sum(task.due_ms + CLOSE_MS < self.now for task in self.queue)
        images = self.images + sum(task.answered for task in self.queue)  # as `wrong` has them
        return Result(
            *(seconds, self.joules, idle, images, self.wrong, at, latency, target),
            *(self.causes, self.busy_ms, self.spans, overdue),
        )
