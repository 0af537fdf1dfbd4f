"""Clocks of a board: GPU (devfreq), CPU (cpufreq), memory (EMC); how each is read and set."""

from __future__ import annotations

import os
from typing import Union

from .journal import FastWrites, Journal
from .sysfs import BoardError, Sysfs

Changes = Union[Journal, FastWrites]
MOST_HZ = 10**11  # no clock of a board; 0 is one that is off
TOLERANCE = 0.01  # of a clock read back; neighbouring points are at least 2 % apart


class Range:
    """A clock that min = max pins: a devfreq device or a cpufreq policy.

    `unit`: Hz per unit of its files, 1 in devfreq and 1000 in cpufreq.
    """

    def __init__(self, fs: Sysfs, name: str, folder: str, prefix: str, unit: int) -> None:
        self.fs, self.name, self.unit = fs, name, unit
        self.low, self.high = f"{folder}/{prefix}min_freq", f"{folder}/{prefix}max_freq"
        self.now = f"{folder}/{prefix}cur_freq"
        self._table = f"{folder}/{prefix}available_frequencies"
        self._bounds = [f"{folder}/cpuinfo_{end}_freq" for end in ("min", "max")]

    def hz(self) -> int:
        return _sane(self.now, self.fs.number(self.now) * self.unit)

    def table_hz(self) -> list[int]:
        """All points, slowest first; empty where the driver takes any value (intel_pstate)."""
        bounded = self.fs.exists(self._bounds[0])
        if bounded and not self.fs.exists(self._table):
            return []
        points = self.fs.read(self._table).split()
        if not points and not bounded:
            raise BoardError(
                f"{self._table} is empty: the driver names no clock that could be set; "
                "measure with the clocks as they are"
            )
        if not all(point.isdecimal() and int(point) for point in points):
            raise BoardError(
                f"{self._table} holds {' '.join(points)[:80]!r}, expected clocks, whole numbers"
            )
        return sorted({_sane(self._table, int(point) * self.unit) for point in points})

    def choose_hz(self, mhz: float) -> int:
        """The point of the table that `mhz` names."""
        wanted, table = mhz * 1e6, self.table_hz()
        if not table:
            low, high = (self.fs.number(path) * self.unit for path in self._bounds)
            if not low <= wanted <= high:
                raise BoardError(
                    f"{self.name}: {mhz:g} MHz is not in {low / 1e6:g} to {high / 1e6:g}"
                )
            return round(wanted)
        nearest = min(table, key=lambda hz: abs(hz - wanted))
        if not same(nearest, wanted):
            points = ", ".join(f"{hz / 1e6:g}" for hz in table)
            raise BoardError(f"{self.name}: {mhz:g} MHz is not a point of {self._table} ({points})")
        return nearest

    def pin(self, journal: Changes, hz: int) -> None:
        """min = max = `hz`, in the order that keeps min <= max at every step."""
        value = hz // self.unit
        raising = value > self.fs.number(self.high)
        for path in (self.high, self.low) if raising else (self.low, self.high):
            journal.change(path, value)

    def state(self) -> str:
        """Its files' words, for an error."""
        files = (self.now, self.low, self.high)
        return ", ".join(f"{os.path.basename(path)} {self.fs.read(path)}" for path in files)


class Emc:
    """The memory clock of a Jetson, locked through BPMP's debug files (root)."""

    def __init__(self, fs: Sysfs, folder: str) -> None:
        self.fs, self.name, self.folder = fs, "emc", folder
        self.now = f"{folder}/rate"

    def hz(self) -> int:
        return _sane(self.now, self.fs.number(self.now))

    def table_hz(self) -> list[int]:
        """Points of the memory tables, whose files are named in kHz; empty without them."""
        debug = os.path.dirname(os.path.dirname(self.folder))
        files = self.fs.find(f"{debug}/emc/tables/regular/*")
        return sorted(int(os.path.basename(path)) * 1000 for path in files if path[-1].isdigit())

    def choose_hz(self, mhz: float) -> int:
        wanted, low, high = (
            mhz * 1e6,
            *(self.fs.number(f"{self.folder}/{end}_rate") for end in ("min", "max")),
        )
        near = [hz for hz in self.table_hz() if same(hz, wanted)]
        if not low * (1 - TOLERANCE) <= wanted <= high * (1 + TOLERANCE):
            raise BoardError(f"emc: {mhz:g} MHz is not in {low / 1e6:g} to {high / 1e6:g}")
        return near[0] if near else round(min(max(wanted, low), high))

    def pin(self, journal: Changes, hz: int) -> None:
        """Lock the rate against requests, set it, switch it on."""
        for file, value in (("mrq_rate_locked", 1), ("rate", hz), ("state", 1)):
            journal.change(f"{self.folder}/{file}", value)

    def state(self) -> str:
        return f"rate {self.fs.read(self.now)}"


class Cores:
    """Cores of a PC pinned together: an idle one shows its lowest clock, so the top counts."""

    name = "cpu"

    def __init__(self, members: list[Clock]) -> None:
        self.members, self.now = members, members[0].now

    def hz(self) -> int:
        return max(clock.hz() for clock in self.members)

    def state(self) -> str:
        return self.members[0].state()


Clock = Union[Range, Emc]


def same(found_hz: float, wanted_hz: float) -> bool:
    """Whether a clock is the one asked for, up to what drivers round."""
    return abs(found_hz - wanted_hz) <= TOLERANCE * wanted_hz


def _sane(path: str, hz: int) -> int:
    """`hz` as `path` says it; BoardError where it is none of any clock."""
    if not 0 <= hz < MOST_HZ:
        raise BoardError(f"{path} says {hz / 1e6:g} MHz, which is no clock")
    return hz
