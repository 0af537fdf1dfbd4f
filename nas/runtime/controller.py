"""One model under the governor: what its frames would take and cost, in every configuration.

A frame of n images, begun at clock j and continued at l, which acts d ms later, takes

    finish = n t_l + d (1 - t_l / t_j)        cost = finish (P_l - P_idle) + d (P_high - P_l)

milliseconds and millijoules above the idle board: until the clock acts the frame goes on at the
old one, and power is that of the higher. Both are four operations on arrays (configurations,
levels).

Times are those of the table, corrected by a running ratio of what was measured: one for the board
as it is now (a neighbour that takes its share), and one per level (a table that is wrong there).
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from .policies import Demands, check_demands, relaxed
from .table import CostTable

SAFETY = 0.99  # of the time left: what may be planned
SPREADS = 1.3  # standard deviations of a frame's exits that a plan leaves room for
GAIN = 0.03  # a change of configuration must save this much
DWELL_MS = 200.0  # and comes no sooner after the last one
RISE, FALL, OWN = 0.6, 0.2, 0.1  # weight of one measurement in the ratios
RECENT, LONG = 12, 256  # gaps and frames that are remembered
LIKE, OFTEN = 24, 32  # frames whose next ones say what comes next, asked again after so many
DRIFT = 0.01  # of the ratio: until times are made anew
PLAN_DRIFT = 0.1  # and what a next frame costs
LATE = 3.0  # times the dearest choice: what a late frame is planned to cost


class Job(NamedTuple):
    """A frame that waits or runs."""

    model: int
    n: int  # images still to answer
    left_ms: float  # until its deadline


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
            least = cost.reshape(len(cost), -1).min(axis=1)
            # where heat leaves no clock within the budgets, no clock is the better one
            self._frames[n, cap] = np.where(np.isfinite(least), least, 0.0)
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
