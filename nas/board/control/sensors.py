"""Power sensors of boards: INA3221 (Jetson), INA231 (Odroid XU3), RAPL (x86), the Pi 5's PMIC.

A sensor reads all its rails at once. `total` names the rails that add up to the whole board: on a
Jetson VDD_IN holds the other rails already. What cannot be read is an error, never a zero.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Union

from .journal import Journal
from .sysfs import BoardError, Description, MissingError, Sysfs

WHOLE = ("VDD_IN", "POM_5V_IN")  # rails that measure a whole module
RAPL = "/sys/class/powercap"
PMIC_SLOPE, PMIC_BASE_W = (
    1.1451,
    0.5879,
)  # fit of a wall meter to the sum of the rails (public, Pi 5)


class Rail(NamedTuple):
    """Files whose product, times `scale`, is watts."""

    name: str
    files: tuple[str, ...]
    scale: float


class RailSensor:
    """Rails that say their power now: INA3221 through hwmon or iio, INA231."""

    counts = False  # watts now, not joules so far

    def __init__(self, fs: Sysfs, name: str, rails: list[Rail], total: list[str]) -> None:
        self.fs, self.name, self.rails, self.total = fs, name, rails, total

    def read(self) -> dict[str, float]:
        """Watts of every rail."""
        found = {}
        for rail in self.rails:
            watts = rail.scale
            for path in rail.files:
                watts *= self._value(path)
            found[rail.name] = watts
        return found

    def whole(self, values: dict[str, float]) -> float:
        """The board's power, from what `read` gave."""
        return sum(values[name] for name in self.total)

    def _value(self, path: str) -> float:
        text = self.fs.read(path)
        try:
            return float(text)
        except ValueError:
            raise BoardError(f"{path} holds {text!r}, expected a number") from None


class RaplSensor:
    """Energy counters of x86 packages; they wrap at `max_energy_range_uj`."""

    counts, name = True, "RAPL"

    def __init__(self, fs: Sysfs, zones: dict[str, str]) -> None:
        self.fs, self.zones = fs, zones
        self.total = [name for name in zones if name.startswith("package") and "/" not in name]
        self._range = {
            name: fs.number(f"{path}/max_energy_range_uj") for name, path in zones.items()
        }
        self._last = {name: fs.number(f"{path}/energy_uj") for name, path in zones.items()}
        self._joules = dict.fromkeys(zones, 0.0)

    def read(self) -> dict[str, float]:
        """Joules of every zone since the sensor was opened."""
        for name, path in self.zones.items():
            now = self.fs.number(f"{path}/energy_uj")
            step = now - self._last[name]
            self._joules[name] += (step + self._range[name] if step < 0 else step) / 1e6
            self._last[name] = now
        return dict(self._joules)

    def whole(self, values: dict[str, float]) -> float:
        return sum(values[name] for name in self.total)


class PmicSensor:
    """The Raspberry Pi 5's power chip, through `vcgencmd pmic_read_adc` (some 10 ms each)."""

    counts, name = False, "Pi 5 PMIC"

    def __init__(self, fs: Sysfs) -> None:
        self.fs = fs
        self.total = sorted(self.read())

    def read(self) -> dict[str, float]:
        """Watts of every rail that has both a current and a voltage."""
        text = self.fs.run("vcgencmd", "pmic_read_adc")
        found = {
            (name, kind): float(value)
            for name, kind, value in re.findall(r"(\S+)_([AV]) \w+\(\d+\)=([\d.]+)[AV]", text)
        }
        rails = {
            name: amps * found[name, "V"] for (name, kind), amps in found.items() if kind == "A"
        }
        if not rails:
            raise BoardError(f"`vcgencmd pmic_read_adc` shows no rail: {text.strip()[:200]}")
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
    rails = _ina3221(fs) or _ina231(fs, journal)
    if rails:
        sensor: Sensor = RailSensor(fs, "INA", rails, _total(rails, board))
    elif fs.find(f"{RAPL}/intel-rapl:*"):
        sensor = RaplSensor(fs, _rapl_zones(fs))
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


def _total(rails: list[Rail], board: Description) -> list[str]:
    names = [rail.name for rail in rails]
    if rails[0].scale == 1:  # INA231: one address per rail, on whichever bus
        return names
    whole = [name for name in WHOLE if name in names]
    total = whole or board.get("rails", {}).get("total") or []
    absent = [name for name in total if name not in names]
    if absent or not total:
        lacks = f"lacks {', '.join(absent)}" if absent else "has no rail for the whole board"
        raise BoardError(
            f"the sensor {lacks}; it has {', '.join(names)}: name under [rails] total those that "
            "add up to the board"
        )
    return list(total)


def _ina3221(fs: Sysfs) -> list[Rail]:
    """Rails of every INA3221: hwmon (JetPack 5 and 6, mV and mA), else iio (JetPack 4, mW)."""
    rails = []
    for file in fs.find("/sys/bus/i2c/devices/*/name"):
        if not fs.read(file).startswith("ina3221"):
            continue
        device = file[: -len("/name")]
        rails += _hwmon_rails(fs, device) or _iio_rails(fs, device)
    return rails


def _hwmon_rails(fs: Sysfs, device: str) -> list[Rail]:
    """Channels 1 to 3; in4 to in6 are shunt voltages and in7 their sum (Linux ina3221.c)."""
    rails = []
    for path in fs.find(f"{device}/hwmon/hwmon*/in[123]_label"):
        channel, folder = path[-len("1_label")], path.rsplit("/", 1)[0]
        label, enable = fs.read(path), f"{folder}/in{channel}_enable"
        if "NC" in label.split("_") or (fs.exists(enable) and fs.read(enable) == "0"):
            continue
        files = (f"{folder}/in{channel}_input", f"{folder}/curr{channel}_input")
        rails.append(Rail(label, files, 1e-6))
    return rails


def _iio_rails(fs: Sysfs, device: str) -> list[Rail]:
    rails = []
    for path in fs.find(f"{device}/iio:device*/rail_name_*"):
        folder, channel = path.rsplit("/", 1)[0], path.rsplit("_", 1)[1]
        label = fs.read(path)
        if "NC" not in label.split("_"):
            rails.append(Rail(label, (f"{folder}/in_power{channel}_input",), 1e-3))
    return rails


def _ina231(fs: Sysfs, journal: Journal | None) -> list[Rail]:
    """The four rails of an Odroid XU3 (A15, A7, memory, GPU), switched on first."""
    rails = []
    for path in fs.find("/sys/bus/i2c/drivers/INA231/*/sensor_W"):
        device = path[: -len("/sensor_W")]
        if fs.read(f"{device}/enable") == "0":
            if journal is None:
                raise BoardError(
                    f"{device}/enable is 0: the sensor is off until something is measured"
                )
            journal.change(f"{device}/enable", 1)
        rails.append(Rail(device.rsplit("/", 1)[1], (path,), 1.0))
    return rails


def _rapl_zones(fs: Sysfs) -> dict[str, str]:
    """Zones by name; those inside a package carry its name in front: `package-0/dram`."""
    zones: dict[str, str] = {}
    for path in fs.find(f"{RAPL}/intel-rapl:*"):
        inner = path.count(":") == 2
        outer = f"{fs.read(path.rsplit(':', 1)[0] + '/name')}/" if inner else ""
        zones[outer + fs.read(f"{path}/name")] = path
    return zones


def _model(fs: Sysfs) -> str:
    path = "/proc/device-tree/model"
    return fs.read(path) if fs.exists(path) else ""
