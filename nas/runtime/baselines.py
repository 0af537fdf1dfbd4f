"""Governors to compare with: the kernels' own by their formulas, and a published rule for subnets.

Sources: Linux drivers/cpufreq/cpufreq_ondemand.c, cpufreq_conservative.c,
kernel/sched/cpufreq_schedutil.c, drivers/devfreq/governor_simpleondemand.c; NVIDIA's
nvhost_podgov. They see how busy the processor was, and know nothing of frames or networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Sequence

import numpy as np

from .agents import Agent
from .policies import Demands
from .table import CostTable


class Kernel(ABC):
    """Chooses the next clock from the share of time that was busy since the last look."""

    period_ms = 10.0
    processors: tuple[str, ...] = ("cpu", "gpu")

    def __init__(self, mhz: Sequence[float]) -> None:
        self.mhz = np.asarray(mhz, dtype=float)

    @abstractmethod
    def next(self, busy: float, level: int) -> int:
        """The level for the next period."""

    def at_least(self, mhz: float) -> int:
        """The lowest point not below `mhz`, the top where there is none."""
        return min(int(np.searchsorted(self.mhz, mhz - 1e-6)), len(self.mhz) - 1)

    def at_most(self, mhz: float) -> int:
        return max(int(np.searchsorted(self.mhz, mhz + 1e-6)) - 1, 0)

    def closest(self, mhz: float) -> int:
        return int(np.abs(self.mhz - mhz).argmin())


class Performance(Kernel):
    """Always the fastest clock."""

    def next(self, busy: float, level: int) -> int:
        return len(self.mhz) - 1


class Powersave(Kernel):
    """Always the slowest clock."""

    def next(self, busy: float, level: int) -> int:
        return 0


class Ondemand(Kernel):
    """Above 95 % load the top, else a clock proportional to the load (micro-accounting's 95)."""

    processors = ("cpu",)
    up = 0.95

    def next(self, busy: float, level: int) -> int:
        if busy > self.up:
            return len(self.mhz) - 1
        low, high = self.mhz[0], self.mhz[-1]
        return self.closest(low + busy * (high - low))


class Conservative(Kernel):
    """Steps of 5 % of the top: up above 80 % load, down below 20 %."""

    processors = ("cpu",)
    up, down, step = 0.8, 0.2, 0.05

    def __init__(self, mhz: Sequence[float]) -> None:
        super().__init__(mhz)
        self.asked: float | None = None

    def next(self, busy: float, level: int) -> int:
        asked = self.mhz[level] if self.asked is None else self.asked
        step = self.step * self.mhz[-1]
        if busy > self.up:
            self.asked = min(asked + step, self.mhz[-1])
            return self.at_most(self.asked)
        if busy < self.down:
            self.asked = max(asked - step, self.mhz[0])
            return self.at_least(self.asked)
        return level


class Schedutil(Kernel):
    """1.25 f_max util, util by PELT (half of it from the last 32 ms), invariant to the clock.

    A CPU that was not idle since the last look is not slowed.
    """

    processors, period_ms = ("cpu",), 4.0
    HALF_MS, MARGIN = 32 * 1.024, 1.25

    def __init__(self, mhz: Sequence[float]) -> None:
        super().__init__(mhz)
        self.util = 0.0

    def next(self, busy: float, level: int) -> int:
        kept = 0.5 ** (self.period_ms / self.HALF_MS)
        self.util = kept * self.util + (1 - kept) * busy * self.mhz[level] / self.mhz[-1]
        found = self.at_least(self.MARGIN * self.mhz[-1] * self.util)
        return max(found, level) if busy > 1 - 1e-9 else found


class SimpleOndemand(Kernel):
    """devfreq: above 90 % busy the top, above 85 % as it is, else f busy / 0.88."""

    processors, period_ms = ("gpu",), 50.0

    def next(self, busy: float, level: int) -> int:
        if busy > 0.90:
            return len(self.mhz) - 1
        if busy > 0.85:
            return level
        return self.at_least(self.mhz[level] * busy * 100 / 88)


class Podgov(Kernel):
    """nvhost_podgov: the load's mean over ten looks decides how far the clock is pushed."""

    processors, period_ms = ("gpu",), 50.0

    def __init__(self, mhz: Sequence[float]) -> None:
        super().__init__(mhz)
        self.cycles = self.mean_mhz = 0.0

    def next(self, busy: float, level: int) -> int:
        mhz, top = self.mhz[level], self.mhz[-1]
        self.cycles = (9 * self.cycles + busy * mhz) / 10
        if busy > 0.9:
            push, damp = top / 3, 10
        else:
            push = 0.8 * mhz * (1000 * self.cycles / mhz - 700) / 700
            push, damp = float(np.clip(push, -top / 3, top / 3)), 7
        wanted = mhz + push
        self.mean_mhz = (10 * self.mean_mhz + wanted) / 11
        return self.at_least((damp * wanted + (10 - damp) * self.mean_mhz) / 10)


KERNELS: dict[str, type[Kernel]] = {
    "performance": Performance,
    "powersave": Powersave,
    "ondemand": Ondemand,
    "conservative": Conservative,
    "schedutil": Schedutil,
    "simple_ondemand": SimpleOndemand,
    "nvhost_podgov": Podgov,
}


def kernels_of(processor: str) -> dict[str, type[Kernel]]:
    """Those that a processor can have: a GPU never has schedutil."""
    return {name: kind for name, kind in KERNELS.items() if processor in kind.processors}


class Clocked(Agent):
    """One configuration for each model; the kernel's governor moves the clock."""

    def __init__(self, rows: Sequence[int], kernel: Kernel) -> None:
        super().__init__(rows, len(kernel.mhz) - 1)
        self.kernel, self.period_ms = kernel, kernel.period_ms

    def tick(self, busy: float, level: int, now_ms: float, temperature_c: float) -> int | None:
        return self.kernel.next(busy, level)


class DynamicOfa(Agent):
    """Subnets alone, at the top clock, by the published rule of Dynamic-OFA's demonstration.

    Mean latency of the last 20 frames above the target: a smaller subnet. Error above the floor,
    after 20 frames: a larger one. Where both would take turns it stays.
    """

    N = 20

    def __init__(self, library: Sequence[int], table: CostTable, n_models: int = 1) -> None:
        """`library`: rows without exits, the largest first."""
        super().__init__([library[0]] * n_models, table.n_levels - 1)
        self.library, self.table = list(library), table
        self.demands: dict[int, Demands] = {}
        self.seen: dict[int, deque[float]] = {m: deque(maxlen=self.N) for m in range(n_models)}
        self.left: dict[int, int] = {}  # the subnet that was given up last

    def want(self, model: int, demands: Demands) -> None:
        self.demands[model] = demands
        self.left.pop(model, None)

    def answered(self, model: int, latency_ms: float, now_ms: float) -> None:
        self.seen[model].append(latency_ms)
        if len(self.seen[model]) < self.N:
            return
        at, demands = self.library.index(self.rows[model]), self.demands[model]
        if np.mean(self.seen[model]) > demands.target_ms:
            to = at + 1
        elif self.table.error_pct[self.rows[model]] > demands.floor_error_pct:
            to = at - 1
        else:
            return
        if 0 <= to < len(self.library) and self.left.get(model) != to:
            self.left[model] = at
            self.rows[model] = self.library[to]
            self.seen[model].clear()


def largest_first(table: CostTable) -> Sequence[int]:
    """Rows without exits from the slowest, each more accurate than all faster ones."""
    rows = [int(r) for r in np.flatnonzero(~table.has_exits)]
    rows.sort(key=lambda r: -float(table.mean_ms[r, -1]))
    return [
        r
        for i, r in enumerate(rows)
        if all(table.error_pct[r] < table.error_pct[other] for other in rows[i + 1 :])
    ]


def cheapest(table: CostTable, floor_pct: float, *, exits: bool) -> int:
    """The row within the floor that takes the least energy above idle at the middle clock."""
    level = table.n_levels // 2
    cost = table.mean_mj[:, level] - table.mean_ms[:, level] * table.idle_w[0]
    allowed = table.error_pct <= floor_pct
    if not exits:
        allowed = allowed & ~table.has_exits
    return int(np.where(allowed, cost, np.inf).argmin())


def fixed(rows: Sequence[int], level: int, rest: int | None) -> Agent:
    """One configuration for each model at one clock, or at `rest` while nothing runs."""
    return Agent(rows, level, rest)
