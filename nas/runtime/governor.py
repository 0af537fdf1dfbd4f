"""The governor: one decision on subnet, exits and clock for the frames that wait.

A frame of n images, begun at clock j and continued at l, which acts d ms later, takes

    finish = n t_l + d (1 - t_l / t_j)        cost = finish (P_l - P_idle) + d (P_high - P_l)

milliseconds and millijoules above the idle board: until the clock acts the frame goes on at the
old one, and power is that of the higher. Both are four operations on arrays (configurations,
levels), so that all of them are tried at every decision and nothing has to be searched.

Times are those of the table, corrected by a running ratio of what was measured: one for the board
as it is now (a neighbour that takes its share), and one per level (a table that is wrong there).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, Sequence

import numpy as np

from .manifest import ManifestError
from .policies import Demands, check_demands, relaxed
from .table import CostTable

SAFETY = 0.99  # of the time left: what may be planned
SPREADS = 1.3  # standard deviations of a frame's exits that a plan leaves room for
GAIN = 0.03  # a change of configuration must save this much
DWELL_MS = 200.0  # and comes no sooner after the last one
RISE, FALL, OWN = 0.6, 0.2, 0.1  # weight of one measurement in the ratios
COOL_C = 3.0  # below the cap, the next level is allowed again
RECENT, LONG = 12, 256  # gaps and frames that are remembered
LIKE, OFTEN = 24, 32  # frames whose next ones say what comes next, asked again after so many
DRIFT, PLAN_DRIFT = (
    0.01,
    0.1,
)  # of the ratio: until times, and what a next frame costs, are made anew
LATE = 3.0  # times the dearest choice: what a late frame is planned to cost


class Job(NamedTuple):
    """A frame that waits or runs."""

    model: int
    n: int  # images still to answer
    left_ms: float  # until its deadline


class Decision(NamedTuple):
    """What to run: a clock for all, a configuration for each job."""

    level: int
    rows: list[int]
    fits: bool
    yielded: str  # what could not be had, in words; empty where everything is


class Controller:
    """One model: its table, what is asked of it, what was measured of it."""

    def __init__(self, table: CostTable, demands: Demands, delay_ms: np.ndarray) -> None:
        self.table, self.delay_ms = table, delay_ms
        self.now, self.board = 1.0, np.ones(table.n_levels)  # ratios measured / table
        self._sizes, self.n_plans = np.ones((2, LONG)), 0  # images of a frame and of its next
        self.gaps_ms: deque[float] = deque(maxlen=RECENT)
        self.row, self.changed_ms = -1, -np.inf  # what runs, and since when
        self._arrived_ms, self._size, self._n_frames = -1.0, 0, 0
        self._mean_ms, self._std_ms = table.mean_ms, table.std_ms
        self._watts = table.mean_mj / self._mean_ms
        self._above = self._watts - table.idle_w[0]
        self._timed = self._planned = 1.0  # the ratio with which times and plans were made
        self._extra: dict[int, np.ndarray] = {}
        self.want(demands)

    def want(self, demands: Demands) -> None:
        """New demands, from the next decision on."""
        check_demands(self.table, demands)
        self.demands, self.steps = demands, relaxed(self.table, demands)
        self._time()
        self._plan()

    @property
    def ratio(self) -> np.ndarray:
        """Measured time / the table's, (L,)."""
        return self.now * self.board

    def observe(self, level: int, table_ms: float, took_ms: float) -> None:
        """Images at `level` that the table, given their exits, has at `table_ms` took `took_ms`."""
        seen = took_ms / (table_ms * self.board[level])
        self.now += (RISE if seen > self.now else FALL) * (seen - self.now)
        self.board[level] *= (took_ms / table_ms / self.ratio[level]) ** OWN
        if abs(self._timed / self.now - 1) > DRIFT:
            self._time()
        if abs(self._planned / self.now - 1) > PLAN_DRIFT:
            self._plan()

    def arrived(self, n: int, now_ms: float) -> None:
        """A frame of `n` images came: known from now on, not before."""
        if self._arrived_ms >= 0:
            self.gaps_ms.append(now_ms - self._arrived_ms)
            self._sizes[:, (self._n_frames - 1) % LONG] = self._size, n
        self._arrived_ms, self._size = now_ms, n
        self._n_frames += 1

    @property
    def gap_ms(self) -> float:
        """The usual time between two frames."""
        gaps = sorted(self.gaps_ms)
        return gaps[len(gaps) // 2] if gaps else 0.0

    @property
    def due_ms(self) -> float:
        """When the next frame is likely to come."""
        return self._arrived_ms + self.gap_ms

    def costs(self, n: int, level: int, *, first: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Finish (ms) and cost (mJ above idle), both (C, L).

        Only the first of several jobs pays for the switch.
        """
        if not first:
            return n * self._ms, n * self._mj
        late, extra, fastest = self._switch(level)
        finish = np.maximum(n * self._ms + late, n * fastest)
        return finish, finish * self._above + extra

    def expected(self, cap: int) -> np.ndarray:
        """mJ of the next frame from each clock (L,): the mean over those that followed its like.

        What was found for a size serves for the next `OFTEN` frames.
        """
        n = min(self._n_frames - 1, LONG)
        if n < 1:
            return np.zeros(self.table.n_levels)
        since, mean = self._expected.get((self._size, cap), (-OFTEN, self._ms[0]))
        if self._n_frames >= since + OFTEN:
            before, after = self._sizes[:, :n]
            like = after[np.abs(np.log(before / self._size)).argsort(kind="stable")[:LIKE]]
            mean = np.array([self._from_all(k, cap) for k in like.tolist()]).mean(axis=0)
            self._expected[self._size, cap] = self._n_frames, mean
            self.n_plans += 1
        found: np.ndarray = mean
        return found

    def _from_all(self, n: int, cap: int) -> np.ndarray:
        """Least mJ of `n` images from each clock (L,); a late frame costs `LATE` of the dearest."""
        if (n, cap) not in self._frames:
            allowed, _, _ = self.steps[0]
            rows = np.flatnonzero(allowed.any(axis=1))
            there, here = self._ms[rows], self._ms[rows].T[:, :, None]
            watts, delay = self._watts[rows], self.delay_ms[:, None, :]
            high = np.maximum(watts, watts.T[:, :, None])
            finish = np.maximum(n * there + delay * (1 - there / here), n * np.minimum(there, here))
            cost = finish * self._above[rows] + delay * (high - watts)
            late = finish + n**0.5 * self.spread[rows] > SAFETY * self.demands.target_ms
            cost = np.where(late, LATE * cost.max(), cost)
            cost = np.where(allowed[rows], cost, np.inf)[:, :, : cap + 1]
            self._frames[n, cap] = cost.reshape(len(cost), -1).min(axis=1)
        return self._frames[n, cap]

    def finish_ms(self, n: int, level: int) -> float:
        """Milliseconds of `n` images of what runs, with room for the exits' spread."""
        return float(n * self._ms[self.row, level] + n**0.5 * self.spread[self.row, level])

    def late(self, job: Job, finish: np.ndarray, limit: np.ndarray, change_ms: float) -> np.ndarray:
        """Which choices end after `limit` (L,), with room for the exits' spread, (C, L) bool.

        `change_ms`: what a configuration takes more that is not the one that runs.
        """
        ends = job.n**0.5 * self.spread
        ends += finish
        ends += change_ms
        if self.row >= 0:
            ends[self.row] -= change_ms
        found: np.ndarray = ends > limit
        return found

    def prefer(self, cost: np.ndarray, now_ms: float, running: bool) -> np.ndarray:
        """`cost` with a price on a change: others must save `GAIN`, or half in the dwell time.

        So they must within a frame (`running`), where the clock can help as well.
        """
        if self.row < 0:
            return cost
        stays = running or now_ms - self.changed_ms < DWELL_MS
        priced: np.ndarray = cost / (0.5 if stays else 1 - GAIN)
        priced[self.row] = cost[self.row]
        return priced

    def take(self, row: int, now_ms: float) -> None:
        """Run `row` from now on."""
        if row != self.row:
            self.row, self.changed_ms = row, now_ms

    def _time(self) -> None:
        """Times and energies of an image as they are now."""
        self._timed = self.now
        self._ms = self._mean_ms * self.ratio
        self._mj = self._ms * self._above
        self.spread = SPREADS * self._std_ms * self.ratio
        self._switches: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def _plan(self) -> None:
        """What frames to come cost is found anew."""
        self._planned = self.now
        self._frames: dict[tuple[int, int], np.ndarray] = {}
        self._expected: dict[tuple[int, int], tuple[int, np.ndarray]] = {}

    def _switch(self, level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What beginning at `level` adds: ms, mJ, and the ms of an image at the faster clock."""
        if level not in self._extra:
            high = np.maximum(self._watts, self._watts[:, level : level + 1])
            self._extra[level] = self.delay_ms[level] * (high - self._watts)
        if level not in self._switches:
            here = self._ms[:, level : level + 1]
            late = self.delay_ms[level] * (1 - self._ms / here)
            self._switches[level] = late, np.minimum(self._ms, here)
        late, fastest = self._switches[level]
        return late, self._extra[level], fastest


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
        self._due_ms = min(m.due_ms for m in self.models)

    def rest(self, level: int, now_ms: float) -> int:
        """The clock to wait at, now that nothing runs at `level`."""
        return int(self._pauses(np.full(self.n_levels, now_ms))[level].argmin())

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
