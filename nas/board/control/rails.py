"""Which power rails a board has: INA3221 and INA238 (Jetson), INA231 (Odroid XU3), RAPL (x86)."""

from __future__ import annotations

from typing import NamedTuple

from .journal import Journal
from .sysfs import BoardError, Description, Sysfs

WHOLE = ("VDD_IN", "POM_5V_IN", "VIN")  # rails that measure a whole module; VIN: Thor's INA238
RAPL = "/sys/class/powercap"


class Rail(NamedTuple):
    """Files whose product, times `scale`, is watts."""

    name: str
    files: tuple[str, ...]
    scale: float


def total_of(rails: list[Rail], board: Description) -> list[str]:
    """The rails that add up to the whole board; BoardError where they are not known."""
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


def ina_rails(fs: Sysfs) -> tuple[list[Rail], list[str]]:
    """Rails of every INA3221 and INA238 on I2C, and words about those that cannot be read."""
    rails: list[Rail] = []
    unread: list[str] = []
    for file in fs.find("/sys/bus/i2c/devices/*/name"):
        device = file[: -len("/name")]
        try:
            kind = fs.read(file)
        except BoardError:  # any other chip on the bus
            continue
        if kind.startswith("ina3221"):
            found = fs.find(f"{device}/hwmon/hwmon*/in[123]_label")
            look_up = _hwmon_rail if found else _iio_rail
            found = found or fs.find(f"{device}/iio:device*/rail_name_*")
        elif kind.startswith("ina238"):
            found, look_up = fs.find(f"{device}/hwmon/hwmon*/power1_input"), _ina238_rail
        else:
            continue
        for path in found:
            try:
                rails += look_up(fs, path)
            except BoardError as error:
                unread.append(f"a rail is left out: {error}")
    return rails, unread


def _hwmon_rail(fs: Sysfs, path: str) -> list[Rail]:
    """A channel of JetPack 5 and later, mV and mA; in4 to in6 are shunt voltages, in7 their sum.

    (Linux ina3221.c)
    """
    channel, folder = path[-len("1_label")], path.rsplit("/", 1)[0]
    label, enable = fs.read(path), f"{folder}/in{channel}_enable"
    if "NC" in label.split("_") or (fs.exists(enable) and fs.read(enable) == "0"):
        return []
    return [Rail(label, (f"{folder}/in{channel}_input", f"{folder}/curr{channel}_input"), 1e-6)]


def _iio_rail(fs: Sysfs, path: str) -> list[Rail]:
    """A channel of JetPack 4, mW."""
    folder, channel = path.rsplit("/", 1)[0], path.rsplit("_", 1)[1]
    label = fs.read(path)
    if "NC" in label.split("_"):
        return []
    return [Rail(label, (f"{folder}/in_power{channel}_input",), 1e-3)]


def _ina238_rail(fs: Sysfs, path: str) -> list[Rail]:
    """The input of Thor's carrier board, uW (Linux ina238.c; jetson_stats 900)."""
    label = f"{path.rsplit('/', 1)[0]}/label"
    return [Rail(fs.read(label) if fs.exists(label) else "VIN", (path,), 1e-6)]


def ina231_rails(fs: Sysfs, journal: Journal | None) -> list[Rail]:
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


def rapl_zones(fs: Sysfs) -> dict[str, str]:
    """Zones by name; those inside a package carry its name in front: `package-0/dram`.

    A zone whose name cannot be read counts by its number, as no package.
    """
    zones: dict[str, str] = {}
    for path in fs.find(f"{RAPL}/intel-rapl:*"):
        try:
            inner = path.count(":") == 2
            outer = f"{fs.read(path.rsplit(':', 1)[0] + '/name')}/" if inner else ""
            zones[outer + fs.read(f"{path}/name")] = path
        except BoardError:
            zones[path.rsplit("/", 1)[1]] = path
    return zones
