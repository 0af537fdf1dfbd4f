"""The governor on a board: frames through the engine, clocks and sensors as arguments.

What goes wrong has a stated answer and a counter:
  lost sensor      power is taken from the table, the last heat cap stays; asked again next period
  refused clock    the clock that the board runs at is reckoned with; asked again at the next frame
  foreign writer   hands off the clocks for `HANDS_OFF_S`, subnets and exits go on; then again
  throttling       no faster clock than the board runs at is planned with, until it cools
"""

from __future__ import annotations

import time
from typing import Any, Callable, Iterable, Protocol

import numpy as np

from .governor import Governor, Job
from .metrics import Metrics

PERIOD_S, STATE_S, HANDS_OFF_S, CHECK_S = 0.1, 1.0, 10.0, 0.003


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


class Live:
    """Runs frames of one model; `run_image(row, image)` answers one image."""

    def __init__(
        self,
        governor: Governor,
        run_image: Callable[[int, np.ndarray], Any],
        clocks: Clocks,
        sensors: Sensors,
        state: str = "",
    ) -> None:
        self.governor, self.run_image, self.clocks = governor, run_image, clocks
        self.sensors, self.state, self.metrics = sensors, state, Metrics()
        self.model = governor.models[0]
        self.level, self.hands_off, self.slowed = clocks.level, -np.inf, False
        self._begin = time.monotonic()
        self._period = self._written = self._now()
        self._watts = float(governor.idle_w[self.level])

    def run(self, frames: Iterable[np.ndarray], period_s: float, seconds: float = 0.0) -> None:
        """Answer a frame every `period_s` until they end, or for `seconds` if that is not 0."""
        due = self._now()
        try:
            for images in frames:
                if seconds and due >= seconds:
                    break
                self._wait(due)
                self.frame(images, due)
                due = max(due + period_s, self._now())
        finally:
            self._write()

    def frame(self, images: np.ndarray, arrived_s: float) -> list[Any]:
        """Answer one frame that arrived then, and go to the clock to wait at."""
        model, n = self.model, len(images)
        model.arrived(n, arrived_s * 1e3)
        target = model.demands.target_ms
        answers: list[Any] = []
        row, looked, cause = -1, -np.inf, "begin"
        for i, image in enumerate(images):
            now = self._now()
            if now - looked >= CHECK_S:
                left = target - (now - arrived_s) * 1e3
                found = self.governor.decide([Job(0, n - i, left)], self.level, now * 1e3)
                row, looked = found.rows[0], now
                self._say(found.yielded)
                wanted = max(found.level, self.level) if i and found.fits else found.level
                self._set(wanted, cause)
                cause = "within"
            start = self._now()
            answers.append(self.run_image(row, image))
            self._observe(row, answers[-1], (self._now() - start) * 1e3)
            self._control(row)
        self.metrics.frame((self._now() - arrived_s) * 1e3, target, n)
        self.governor.plan()
        self._set(self.governor.rest(self.level), "idle")
        return answers

    def _observe(self, row: int, answer: Any, took_ms: float) -> None:
        """Compare with the table's time for the exit that answered."""
        exits = self.model.table.exits[row]
        at = exits.index(answer) if answer in exits else len(exits) - 1
        self.model.observe(
            self.level, float(self.model.table.time_ms[row, at, self.level]), took_ms
        )

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
        while self._now() < due:
            time.sleep(min(PERIOD_S, max(due - self._now(), 0.0)))
            self._control(-1)

    def _say(self, yielded: str) -> None:
        self.metrics.counters["unmet"] += bool(yielded)
        self.metrics.said = f"{yielded} had to yield" if yielded else ""

    def _write(self) -> None:
        self._written = self._now()
        if self.state:
            self.metrics.write(self.state)

    def _now(self) -> float:
        return time.monotonic() - self._begin
