"""The clock of one processor moved between the levels of a table, many times a second."""

from __future__ import annotations

import contextlib
from typing import Sequence

from .clocks import Clock, Cores, Range, same
from .journal import FastWrites, Journal
from .sysfs import BoardError, Sysfs


class LevelClock:
    """The clocks of `kind` (`gpu` or `cpu`), set to a level without a sync and without settling.

    Every call answers in a word: empty where all is well, `refused` where the kernel does not take
    the clock, `foreign` where another program (nvpmodel, jetson_clocks) wrote the limits since.
    BoardError: a level's clock is no point of this board, or the clock may not be written.
    """

    def __init__(
        self, journal: Journal, clocks: dict[str, list[Clock]], kind: str, mhz: Sequence[float]
    ) -> None:
        self.fs: Sysfs = journal.fs
        self.fast = FastWrites(journal)
        self.clocks = [clock for clock in clocks.get(kind, []) if isinstance(clock, Range)]
        self.clocks = [clock for clock in self.clocks if self._reaches(clock, mhz[-1])]
        if not self.clocks:
            raise BoardError(
                f"this board has no {kind} clock that reaches {mhz[-1]:g} MHz, as the table has: "
                "it was made for another board"
            )
        # an idle core of a PC shows its lowest clock
        pc = kind == "cpu" and not self.clocks[0].table_hz()
        self._shown = Cores(list(self.clocks)) if pc else self.clocks[0]
        self.hz = [[clock.choose_hz(value) for clock in self.clocks] for value in mhz]
        self.level = len(mhz) - 1
        self._write(self.level)

    def set(self, level: int) -> str:
        """Ask for a level."""
        try:
            if self._limits() != self._wrote:
                return "foreign"
            self._write(level)
        except BoardError:
            self.take_back()  # what was written until then was written by us
            return "refused"
        return ""

    def foreign(self) -> bool:
        """Whether another program wrote the limits since; not where they cannot be read."""
        try:
            return self._limits() != self._wrote
        except BoardError:
            return False

    def take_back(self) -> None:
        """The limits as they are now are ours again."""
        with contextlib.suppress(BoardError):
            self._wrote = self._limits()

    def read(self) -> int:
        """The level whose clock is nearest to what the board runs at now; else what was asked."""
        try:
            now = self._shown.hz()
        except BoardError:
            return self.level
        return min(range(len(self.hz)), key=lambda level: abs(self.hz[level][0] - now))

    def _write(self, level: int) -> None:
        for clock, hz in zip(self.clocks, self.hz[level]):
            clock.pin(self.fast, hz)
        self.level, self._wrote = level, self._limits()

    def _limits(self) -> list[str]:
        return [self.fs.read(path) for clock in self.clocks for path in (clock.low, clock.high)]

    @staticmethod
    def _reaches(clock: Range, mhz: float) -> bool:
        table = clock.table_hz()
        return not table or any(same(hz, mhz * 1e6) for hz in table)


class BoardSensors:
    """Power, temperature and signs of throttling, None where a sensor is lost."""

    def __init__(self, fs: Sysfs, sensor: object | None) -> None:
        self.fs, self.sensor = fs, sensor

    def power_w(self) -> float | None:
        """The whole board now; None without a sensor of watts."""
        sensor = self.sensor
        if sensor is None or getattr(sensor, "counts", True):
            return None
        try:
            return float(sensor.whole(sensor.read()))  # type: ignore[attr-defined]
        except BoardError:
            return None

    def temperature_c(self) -> float | None:
        """The hottest zone; None where none can be read."""
        found = []
        for zone in self.fs.find("/sys/class/thermal/thermal_zone*"):
            try:
                if self.fs.read(f"{zone}/type") != "PMIC-Die":  # a constant 100 C on Jetsons
                    found.append(self.fs.number(f"{zone}/temp") / 1e3)
            except BoardError:
                continue
        return max(found) if found else None
