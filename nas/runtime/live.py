"""The governor on a board: frames through the engine, clocks and sensors as arguments.

What goes wrong has a stated answer and a counter:
  lost sensor      power is taken from the table, the last heat cap stays; asked again next period
  refused clock    the clock that the board runs at is reckoned with; asked again at the next frame
  foreign writer   hands off the clocks for `HANDS_OFF_S`, subnets and exits go on; then again
  throttling       no faster clock than the board runs at is planned with, until it cools
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Callable, Iterable, Iterator, Protocol, Tuple

import numpy as np

from .foresight import foreseen
from .governor import Governor, Job
from .metrics import Metrics

PERIOD_S, STATE_S, HANDS_OFF_S, CHECK_S = 0.1, 1.0, 10.0, 0.003
SILENCE_S = 1.0  # without the frame that was due: wait at the lowest clock
AHEAD = 3  # waiting frames that a decision looks at

Arrival = Tuple[float, np.ndarray]  # second, images


class Clocks(Protocol):
    """What moves the clock between levels; `set` answers "", "refused" or "foreign"."""

    level: int

    def set(self, level: int) -> str: ...
    def read(self) -> int: ...
    def take_back(self) -> None: ...


class Sensors(Protocol):
    """What the board says of itself; None where it does not."""

    def power_w(self) -> float | None: ...
    def temperature_c(self) -> float | None: ...


def every(period_s: float, frames: Iterable[np.ndarray], seconds: float = 0.0) -> Iterator[Arrival]:
    """A frame every `period_s`, from now until they end, or for `seconds` if that is not 0."""
    for i, images in enumerate(frames):
        if seconds and i * period_s >= seconds:
            return
        yield i * period_s, images


class Live:
    """Runs frames of one model; `run_image(row, image)` answers one image with its exit.

    `say` gets a line when a demand has to yield, and when all are met again.

    `prepare(row)` makes a row ready, which is not counted as the time of its image; `foresee(rows)`
    is told what may run next, the likeliest first.
    """

    def __init__(
        self,
        governor: Governor,
        run_image: Callable[[int, np.ndarray], Any],
        clocks: Clocks,
        sensors: Sensors,
        state: str = "",
        say: Callable[[str], object] = lambda line: None,
        prepare: Callable[[int], None] = lambda row: None,
        foresee: Callable[[list[int]], None] = lambda rows: None,
    ) -> None:
        self.governor, self.run_image, self.clocks = governor, run_image, clocks
        self.sensors, self.state, self.say, self.metrics = sensors, state, say, Metrics()
        self.prepare, self.foresee = prepare, foresee
        self.model = governor.models[0]
        self.level, self.hands_off, self.slowed = clocks.level, -np.inf, False
        self.waiting: deque[Arrival] = deque()
        self._source: Iterator[Arrival] = iter(())
        self._next: Arrival | None = None
        self._begin = time.monotonic()
        self._period = self._written = self._now()
        self._watts = float(governor.idle_w[self.level])

    def run(self, arrivals: Iterable[Arrival]) -> None:
        """Answer frames in order of arrival; one that comes while another runs waits its turn."""
        self._begin = time.monotonic()
        self._period = self._written = 0.0
        self._source = iter(arrivals)
        self._next = next(self._source, None)
        try:
            while self.waiting or self._next is not None:
                if not self.waiting:
                    assert self._next is not None
                    self._wait(self._next[0])
                    self._come()
                at_s, images = self.waiting.popleft()
                self.frame(images, at_s)
        finally:
            self._write()

    def frame(self, images: np.ndarray, arrived_s: float) -> list[Any]:
        """Answer one frame that arrived then, and go to the clock to wait at."""
        answers: list[Any] = []
        row, looked, seen_ms, took_ms = -1, -np.inf, 0.0, 0.0
        target = self.model.demands.target_ms
        for i, image in enumerate(images):
            now = self._come()
            job = Job(0, len(images) - i, target - (now - arrived_s) * 1e3)
            if now - looked >= CHECK_S:
                if seen_ms:
                    self.model.observe(self.level, seen_ms, took_ms)
                    seen_ms = took_ms = 0.0
                if not i or self.waiting or not self.governor.holds(job, self.level):
                    row = self._decide(job, now, running=i > 0)
                looked = now
            self.prepare(row)
            start, level = self._now(), self.level
            answers.append(self.run_image(row, image))
            took_ms += (self._now() - start) * 1e3
            seen_ms += self._table_ms(row, answers[-1], level)
            self._control(row)
        if seen_ms:
            self.model.observe(self.level, seen_ms, took_ms)
        self.metrics.frame((self._now() - arrived_s) * 1e3, target, len(images))
        if not self.waiting:
            self._set(self.governor.rest(self.level, self._now() * 1e3), "idle")
            self.foresee(foreseen(self.governor, len(images), self.level, self._now() * 1e3))
        return answers

    def _come(self) -> float:
        """Take in the frames that have arrived; returns now."""
        now = self._now()
        while self._next is not None and self._next[0] <= now:
            at_s, images = self._next
            self.governor.arrived(0, len(images), at_s * 1e3)
            self.waiting.append(self._next)
            self._next = next(self._source, None)
        return now

    def _decide(self, job: Job, now: float, *, running: bool) -> int:
        """A configuration for the frame that runs; the clock is asked for."""
        target = self.model.demands.target_ms
        queue = [(at, images) for at, images in self.waiting][:AHEAD]
        jobs = [job, *(Job(0, len(x), target - (now - at) * 1e3) for at, x in queue)]
        found = self.governor.decide(jobs, self.level, now * 1e3)
        thought_ms = (self._now() - now) * 1e3
        self.governor.thought_ms += 0.1 * (thought_ms - self.governor.thought_ms)
        self._say(found.yielded)
        wanted = max(found.level, self.level) if running and found.fits else found.level
        self._set(wanted, "within" if running else "begin")
        return found.rows[0]

    def _table_ms(self, row: int, answer: Any, level: int) -> float:
        """The table's time for the exit that answered."""
        exits = self.model.table.exits[row]
        at = exits.index(answer) if answer in exits else len(exits) - 1
        return float(self.model.table.time_ms[row, at, level])

    def _set(self, level: int, cause: str) -> None:
        if level == self.level or self._now() < self.hands_off:
            return
        if self.hands_off > -np.inf:
            self.hands_off = -np.inf
            self.clocks.take_back()
        said = self.clocks.set(level)
        if said == "foreign":
            self.metrics.counters["foreign_writer"] += 1
            self.hands_off = self._now() + HANDS_OFF_S
            self.level = self.clocks.read()
        elif said == "refused":
            self.metrics.counters["refused_clock"] += 1
            self.level = self.clocks.read()
        else:
            self.metrics.switches[cause] += 1
            self.level = level

    def _control(self, row: int) -> None:
        """Once per period: energy, heat, what the clock really is."""
        now = self._now()
        if now - self._period < PERIOD_S:
            return
        passed, self._period = now - self._period, now
        power, temperature = self.sensors.power_w(), self.sensors.temperature_c()
        if power is None or temperature is None:
            self.metrics.counters["lost_sensor"] += 1
        table = self.model.table
        busy = table.mean_mj[row, self.level] / table.mean_ms[row, self.level] if row >= 0 else None
        self._watts = power if power is not None else float(busy or table.idle_w[self.level])
        self.metrics.counters["joules"] += self._watts * passed
        if temperature is not None:
            self.governor.heat(temperature)
        self._check_clock()
        gauges = {"clock_mhz": float(table.mhz[self.level]), "power_w": self._watts}
        gauges["power_measured"] = float(power is not None)
        if temperature is not None:
            gauges["temperature_c"] = temperature
        self.metrics.gauges.update(gauges, time_ratio=float(self.model.ratio[self.level]))
        if self.state and now - self._written >= STATE_S:
            self._write()

    def _check_clock(self) -> None:
        real = self.clocks.read()
        slower = real < self.level
        if slower and self.slowed:  # twice: no clock that is still on its way
            self.metrics.counters["throttled"] += 1
            self.level = real
            self.governor.cap = min(self.governor.cap, max(real, 0))
        self.slowed = slower

    def _wait(self, due: float) -> None:
        since = self._now()
        while self._now() < due:
            time.sleep(min(PERIOD_S, max(due - self._now(), 0.0)))
            self._control(-1)
            if self._now() - since > SILENCE_S + self.model.gap_ms / 1e3:
                self._set(0, "idle")

    def _say(self, yielded: str) -> None:
        self.metrics.counters["unmet"] += bool(yielded)
        said = f"{yielded} had to yield: not all demands can be met" if yielded else ""
        if said != self.metrics.said:
            self.say(said or "all demands are met again")
        self.metrics.said = said

    def _write(self) -> None:
        self._written = self._now()
        if self.state:
            self.metrics.write(self.state)

    def _now(self) -> float:
        return time.monotonic() - self._begin
