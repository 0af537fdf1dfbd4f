"""The governor on a board: frames through the engine, clocks and sensors as arguments.

What goes wrong has a stated answer and a counter:
  lost sensor      power is taken from the table, the last heat cap stays; asked again next period
  refused clock    the clock that the board runs at is reckoned with; asked again at the next frame
  foreign writer   noticed within a period; hands off the clocks for `HANDS_OFF_S`, subnets and
                   exits go on; then again
  lost state       said once, tried again every second
  throttling       no faster clock than images run at is planned with, until it cools
  overload         of a model `MAX_WAITING` frames wait; one more drops the oldest
"""

from __future__ import annotations

import time
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Protocol, Sequence

import numpy as np

from .controller import Job
from .foresight import foreseen
from .governor import Governor
from .metrics import Metrics
from .waiting import Arrival, Frame

PERIOD_S, STATE_S, HANDS_OFF_S, CHECK_S = 0.1, 1.0, 10.0, 0.003
SILENCE_S = 1.0  # without the frame that was due: wait at the lowest clock
AHEAD = 4  # frames that a decision looks at
MAX_WAITING = 64  # frames of a model that have not begun; more would fill the memory, ever later


class Clocks(Protocol):
    """What moves the clock between levels; `set` answers "", "refused" or "foreign"."""

    level: int

    def set(self, level: int) -> str: ...
    def read(self) -> int: ...
    def foreign(self) -> bool: ...
    def take_back(self) -> None: ...


class Sensors(Protocol):
    """What the board says of itself; None where it does not."""

    def power_w(self) -> float | None: ...
    def temperature_c(self) -> float | None: ...


def _nothing(asked: Any) -> None:
    """For networks that need no preparation."""


class Network(NamedTuple):
    """What runs one model of the governor."""

    name: str
    run_image: Callable[[int, np.ndarray], Any]  # row, image: the exit that answered
    prepare: Callable[[int], None] = _nothing  # makes a row ready; no part of its image's time
    foresee: Callable[[list[int]], None] = _nothing  # rows that may run next, the likeliest first


class Live:
    """Runs frames of one or several models, the most urgent first, an image at a time.

    `say` gets a line when a demand has to yield, and when all are met again.
    """

    def __init__(
        self,
        governor: Governor,
        networks: Sequence[Network],
        clocks: Clocks,
        sensors: Sensors,
        state: str = "",
        say: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.governor, self.networks, self.clocks = governor, networks, clocks
        self.sensors, self.state, self.say = sensors, state, say
        self.metrics = Metrics([network.name for network in networks])
        self.level, self.hands_off, self._other = clocks.level, -np.inf, False
        self.waiting: list[Frame] = []
        self._ran: Frame | None = None
        self._seen_ms = self._took_ms = 0.0  # of images of `_ran` since the governor was told
        self._source: Iterator[Arrival] = iter(())
        self._next: Arrival | None = None
        self._begin = time.monotonic()
        self._period = self._looked = self._written = self._now()
        self._watts, self._measured = float(governor.idle_w[self.level]), False

    def run(self, arrivals: Iterable[Arrival]) -> None:
        """Answer frames as they arrive."""
        self._begin = time.monotonic()
        self._period = self._looked = self._written = 0.0
        self._source = iter(arrivals)
        self._next = next(self._source, None)
        try:
            while self.waiting or self._next is not None:
                if not self.waiting:
                    assert self._next is not None
                    self._wait(self._next[0])
                now = self._come()
                self._image(min(self.waiting, key=self._due_s), now)
        finally:
            self._count(self._now())
            self._write()

    def _due_s(self, frame: Frame) -> float:
        return frame.at_s + self.governor.models[frame.model].demands.target_ms / 1e3

    def _image(self, frame: Frame, now: float) -> None:
        """Answer the next image of `frame`; with the last one it is done."""
        network, model = self.networks[frame.model], self.governor.models[frame.model]
        changed = frame is not self._ran
        if changed or now - frame.looked_s >= CHECK_S:
            self._tell()
            frame.looked_s = now
            if changed or len(self.waiting) > 1 or not self._holds(frame, now):
                self._decide(frame, now)
        self._ran = frame
        network.prepare(frame.row)
        start, level = self._now(), self.level
        found = network.run_image(frame.row, frame.images[len(frame.answers)])
        self._took_ms += (self._now() - start) * 1e3
        exits = model.table.exits[frame.row]
        at = exits.index(found) if found in exits else len(exits) - 1
        self._seen_ms += float(model.table.time_ms[frame.row, at, level])
        frame.answers.append(found)
        self._control(frame)
        if not frame.n_left:
            self._finish(frame)

    def _finish(self, frame: Frame) -> None:
        """Count the frame, and go to the clock to wait at."""
        self._tell()
        self.waiting.remove(frame)
        self._ran, n = None, len(frame.images)
        target = self.governor.models[frame.model].demands.target_ms
        self.metrics.frame(frame.model, (self._now() - frame.at_s) * 1e3, target, n)
        if not self.waiting:
            now_ms = self._now() * 1e3
            self._set(self.governor.rest(self.level, now_ms), "idle")
            rows = foreseen(self.governor, n, self.level, now_ms, frame.model)
            self.networks[frame.model].foresee(rows)

    def _come(self) -> float:
        """Take in the frames that have arrived; returns now."""
        now = self._now()
        while self._next is not None and self._next[0] <= now:
            at_s, model, images = self._next
            self.governor.arrived(model, len(images), at_s * 1e3)
            self.waiting.append(Frame(at_s, model, images))
            self._keep_up(model)
            self._next = next(self._source, None)
        return now

    def _keep_up(self, model: int) -> None:
        """Drop the oldest frame of a model that falls ever further behind."""
        fresh = [frame for frame in self.waiting if frame.model == model and frame.row < 0]
        if len(fresh) <= MAX_WAITING:
            return
        self.waiting.remove(fresh[0])
        served = self.metrics.models[model]
        served.dropped_frames += 1
        if served.dropped_frames == 1:
            self.say(
                f"{served.name}: frames come faster than they are answered; {MAX_WAITING} wait, "
                "the oldest are dropped and counted"
            )

    def _job(self, frame: Frame, now: float) -> Job:
        return Job(frame.model, frame.n_left, (self._due_s(frame) - now) * 1e3)

    def _holds(self, frame: Frame, now: float) -> bool:
        return self.governor.holds(self._job(frame, now), self.level)

    def _tell(self) -> None:
        """Tell the governor what the images since the last word took at the present clock."""
        if self._ran is not None and self._seen_ms:
            model = self.governor.models[self._ran.model]
            model.observe(self.level, self._seen_ms, self._took_ms)
        self._seen_ms = self._took_ms = 0.0

    def _decide(self, frame: Frame, now: float) -> None:
        """A configuration for `frame`, which runs next; the clock is asked for."""
        urgent = sorted(self.waiting, key=self._due_s)[:AHEAD]
        jobs = [self._job(one, now) for one in urgent]
        running = bool(frame.answers)
        found = self.governor.decide(jobs, self.level, now * 1e3, running)
        thought_ms = (self._now() - now) * 1e3
        self.governor.thought_ms += 0.1 * (thought_ms - self.governor.thought_ms)
        self._say(found.yielded)
        frame.row = found.rows[0]
        wanted = max(found.level, self.level) if running and found.fits else found.level
        self._set(wanted, "within" if running else "begin")

    def _set(self, level: int, cause: str) -> None:
        if level == self.level or self._now() < self.hands_off:
            return
        if self.hands_off > -np.inf:
            self.hands_off = -np.inf
            self.clocks.take_back()
        said = self.clocks.set(level)
        if said == "foreign":
            self._leave()
        elif said == "refused":
            self.metrics.board["refused_clock"] += 1
            self.level = self.clocks.read()
        else:
            self.metrics.switches[cause] += 1
            self.level = level

    def _control(self, frame: Frame | None) -> None:
        """Once per period: energy, heat, what the clock really is, with and without a frame."""
        now, idle = self._now(), frame is None
        if not idle and now - self._looked >= PERIOD_S:
            self._looked = now
            self._check_clock(idle=False)
        if now - self._period < PERIOD_S:
            return
        power, temperature = self.sensors.power_w(), self.sensors.temperature_c()
        if power is None or temperature is None:
            self.metrics.board["lost_sensor"] += 1
        self._watts = self._table_w(frame) if power is None else power
        self._measured = power is not None
        self._count(now)
        if temperature is not None:
            self.governor.heat(temperature)
            self.metrics.gauges["temperature_c"] = temperature
        else:
            self.metrics.gauges.pop("temperature_c", None)
        if idle:
            self._check_clock(idle=True)
        if self.level > self.governor.cap:  # at once, not with the next frame
            self._tell()
            self._set(self.governor.cap, "cap")
        mhz = float(self.governor.models[0].table.mhz[self.level])
        self.metrics.gauges.update(clock_mhz=mhz, power_w=self._watts)
        self.metrics.gauges["power_measured"] = float(power is not None)
        for served, model in zip(self.metrics.models, self.governor.models):
            served.time_ratio = float(model.ratio[self.level])
            served.configuration = model.table.ids[model.row] if model.row >= 0 else ""
        if self.state and now - self._written >= STATE_S:
            self._write()

    def _count(self, now: float) -> None:
        """The energy since the last count, and how much of it a sensor said."""
        joules, self._period = self._watts * (now - self._period), now
        self.metrics.board["joules"] += joules
        self.metrics.board["joules_measured"] += joules * self._measured

    def _table_w(self, frame: Frame | None) -> float:
        """Watts of the whole board now, by the table."""
        if frame is None:
            return float(self.governor.idle_w[self.level])
        table, at = self.governor.models[frame.model].table, (frame.row, self.level)
        return float(table.mean_mj[at] / table.mean_ms[at])

    def _leave(self) -> None:
        """Another program moves the clocks: hands off, and reckon with what it does."""
        self.metrics.board["foreign_writer"] += 1
        self.hands_off = self._now() + HANDS_OFF_S
        self.level = self.clocks.read()

    def _check_clock(self, *, idle: bool) -> None:
        """The clock that the board really runs at counts, whatever was asked.

        An idle GPU may report its lowest clock, whichever it is held at: that says nothing.
        """
        real = self.clocks.read()
        asleep = idle and real < self.level
        if self._now() < self.hands_off:
            self.level = self.level if asleep else real
            return
        if self.hands_off == -np.inf and self.clocks.foreign():
            self._leave()
            return
        if asleep:
            return
        other = real != self.level
        if other and self._other:  # twice: no clock that is still on its way
            slower = real < self.level
            self.metrics.board["throttled" if slower else "refused_clock"] += 1
            if slower:
                self.governor.cap = min(self.governor.cap, max(real, 0))
            self.level = real
        self._other = other

    def _wait(self, due: float) -> None:
        since, gap_s = self._now(), max(m.gap_ms for m in self.governor.models) / 1e3
        while self._now() < due:
            time.sleep(min(PERIOD_S, max(due - self._now(), 0.0)))
            self._control(None)
            if self._now() - since > SILENCE_S + gap_s:
                self._set(0, "idle")

    def _say(self, yielded: str) -> None:
        self.metrics.board["unmet"] += bool(yielded)
        said = f"{yielded} had to yield: not all demands can be met" if yielded else ""
        if said != self.metrics.said:
            self.say(said or "all demands are met again")
        self.metrics.said = said

    def _write(self) -> None:
        self._written = self._now()
        if not self.state:
            return
        try:
            self.metrics.write(self.state)
        except OSError as error:  # a full disk ends no governor
            self.metrics.board["lost_state"] += 1
            if self.metrics.board["lost_state"] == 1:
                self.say(f"the state cannot be written: {error}")

    def _now(self) -> float:
        return time.monotonic() - self._begin
