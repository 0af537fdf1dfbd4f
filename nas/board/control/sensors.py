"""Power sensors of boards: INA3221 and INA238 (Jetson), INA231 (Odroid XU3), RAPL (x86), Pi 5.

A sensor reads all its rails at once. `total` names the rails that add up to the whole board: on a
Jetson VDD_IN holds the other rails already. What the total needs and cannot be read is an error,
never a zero; what it does not need is left out, and `left_out` says why.
"""

from __future__ import annotations

import math
import os
import re
from typing import Union

from .journal import Journal
from .rails import RAPL, Rail, ina231_rails, ina_rails, rapl_zones, total_of
from .sysfs import BoardError, DeniedError, Description, MissingError, Sysfs

MAX_W = 2000.0  # of one rail; more is no power, but a fault of the sensor
VCIO = ("/dev/vcio", "/dev/vchiq")  # what vcgencmd opens
# fit of a wall meter to the sum of the rails (public, Pi 5)
PMIC_SLOPE, PMIC_BASE_W = 1.1451, 0.5879


class RailSensor:
    """Rails that say their power now: INA3221 through hwmon or iio, INA231."""

    counts = False  # watts now, not joules so far

    def __init__(self, fs: Sysfs, name: str, rails: list[Rail], total: list[str]) -> None:
        self.fs, self.name, self.total = fs, name, total
        self.rails: list[Rail] = []
        self.left_out: list[str] = []
        for rail in rails:
            try:
                self._watts(rail)
                self.rails.append(rail)
            except BoardError as error:
                if rail.name in total:
                    raise
                self.left_out.append(f"rail {rail.name} is left out: {error}")

    def read(self) -> dict[str, float]:
        """Watts of every rail."""
        return {rail.name: self._watts(rail) for rail in self.rails}

    def _watts(self, rail: Rail) -> float:
        watts = rail.scale
        for path in rail.files:
            watts *= self._value(path)
        if abs(watts) > MAX_W:
            raise BoardError(f"{rail.files[-1]} makes {watts:.3g} W of {rail.name}: no power")
        return watts

    def whole(self, values: dict[str, float]) -> float:
        """The board's power, from what `read` gave."""
        return sum(values[name] for name in self.total)

    def _value(self, path: str) -> float:
        text = self.fs.read(path)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise BoardError(f"{path} holds {text[:80]!r}, expected a number")
        return value


class RaplSensor:
    """Energy counters of x86 packages; they wrap at `max_energy_range_uj`.

    Only the packages are needed: they are added up.
    """

    counts, name = True, "RAPL"

    def __init__(self, fs: Sysfs, zones: dict[str, str]) -> None:
        self.fs = fs
        self.total = [name for name in zones if name.startswith("package") and "/" not in name]
        if not self.total:
            raise BoardError(f"RAPL has no counter of a package; it has {', '.join(zones)}")
        self.zones: dict[str, str] = {}
        self.left_out: list[str] = []
        self._range: dict[str, int] = {}
        self._last: dict[str, int] = {}
        for name, path in zones.items():
            try:
                last = self._counter(path)
                self._range[name] = fs.number(f"{path}/max_energy_range_uj")
            except BoardError as error:
                if name in self.total:
                    raise
                self.left_out.append(f"RAPL zone {name} is left out: {error}")
                continue
            self.zones[name], self._last[name] = path, last
        self._joules = dict.fromkeys(self.zones, 0.0)

    def read(self) -> dict[str, float]:
        """Joules of every zone since the sensor was opened."""
        for name, path in self.zones.items():
            now = self._counter(path)
            step = now - self._last[name]
            self._joules[name] += (step + self._range[name] if step < 0 else step) / 1e6
            self._last[name] = now
        return dict(self._joules)

    def whole(self, values: dict[str, float]) -> float:
        return sum(values[name] for name in self.total)

    def _counter(self, path: str) -> int:
        now = self.fs.number(f"{path}/energy_uj")
        if now < 0:
            raise BoardError(f"{path}/energy_uj holds {now}, expected a counter")
        return now


class PmicSensor:
    """The Raspberry Pi 5's power chip, through `vcgencmd pmic_read_adc` (some 10 ms each)."""

    counts, name = False, "Pi 5 PMIC"

    def __init__(self, fs: Sysfs) -> None:
        self.fs = fs
        self.left_out: list[str] = []
        self.total = sorted(self.read())

    def read(self) -> dict[str, float]:
        """Watts of every rail that has both a current and a voltage."""
        text = vcgencmd(self.fs, "pmic_read_adc")
        found = {
            (name, kind): float(value)
            for name, kind, value in re.findall(r"(\S+)_([AV]) \w+\(\d+\)=(\d+\.?\d*)[AV]", text)
        }
        rails = {
            name: amps * found[name, "V"]
            for (name, kind), amps in found.items()
            if kind == "A" and (name, "V") in found
        }
        if not rails:
            said = " ".join(text.split())[:200] or "it printed nothing"
            raise BoardError(f"`vcgencmd pmic_read_adc` shows no rail: {said}")
        return rails

    def whole(self, values: dict[str, float]) -> float:
        """Board power from the sum of the rails: an estimate, for it lacks what 5 V feeds."""
        return PMIC_SLOPE * sum(values.values()) + PMIC_BASE_W


Sensor = Union[RailSensor, RaplSensor, PmicSensor]


def open_sensor(fs: Sysfs, board: Description, journal: Journal | None = None) -> Sensor:
    """The sensor of this board, read once.

    MissingError: no sensor; DeniedError or BoardError: one that cannot be read, with its path.
    `journal` is needed where a sensor has to be switched on (Odroid XU3).
    """
    rails, unread = ina_rails(fs)
    rails = rails or ina231_rails(fs, journal)
    if rails:
        sensor: Sensor = RailSensor(fs, "INA", rails, total_of(rails, board))
        sensor.left_out += unread
    elif unread:
        raise BoardError(f"no rail of the power sensor can be read: {unread[0]}")
    elif fs.find(f"{RAPL}/intel-rapl:*"):
        sensor = RaplSensor(fs, rapl_zones(fs))
    elif fs.program("vcgencmd") and "Raspberry Pi 5" in _model(fs):
        sensor = PmicSensor(fs)
    else:
        raise MissingError(
            "no power sensor on this board (looked for ina3221 and INA231 on I2C, "
            f"{RAPL}/intel-rapl:*, the Pi 5's PMIC); measure energy with an external meter"
        )
    values = sensor.read()
    if not sensor.counts and sensor.whole(values) <= 0:
        raise BoardError(f"{sensor.name} reads 0 W for the whole board ({', '.join(sensor.total)})")
    return sensor


def vcgencmd(fs: Sysfs, question: str) -> str:
    """What a Raspberry Pi's firmware answers; the error names the group that may ask it."""
    try:
        answer = fs.run("vcgencmd", question)
    except MissingError:
        raise
    except BoardError as error:
        known = filter(None, (fs.join_group(path, os.R_OK | os.W_OK) for path in VCIO))
        usual = "where it lacks rights: `sudo usermod -aG video USER`, then log in again"
        raise DeniedError(f"{error}; {next(known, usual)}") from None
    if not answer.strip() or "error" in answer.lower():
        said = " ".join(answer.split())[:200] or "nothing"
        raise BoardError(f"`vcgencmd {question}` said: {said}")
    return answer


def _model(fs: Sysfs) -> str:
    path = "/proc/device-tree/model"
    return fs.read(path) if fs.exists(path) else ""
