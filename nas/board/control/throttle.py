"""Signs of throttling: counters before and after a run, and zones that passed their trip."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from .sensors import vcgencmd
from .sysfs import BoardError, Sysfs

COUNTERS = (
    "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/*_throttle_count",  # x86
    "/sys/class/hwmon/hwmon*/oc*_event_cnt",  # Orin: under-voltage and over-current
)
PASSIVE = ("passive", "hot", "critical")  # an `active` trip starts a fan and slows nothing
ALWAYS_HOT = "PMIC-Die"  # a constant 100 C on Jetsons
PI_NOW = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}


THROTTLED = "vcgencmd get_throttled"


class Snapshot(NamedTuple):
    """Everything that moves when the board is slowed, by path, and what cannot be asked, why."""

    counts: dict[str, int]
    blind: list[str]


def snapshot(fs: Sysfs) -> Snapshot:
    """The counters now; what cannot be read is left out."""
    paths = [path for pattern in COUNTERS for path in fs.find(pattern)]
    paths += [f"{device}/cur_state" for device in _coolers(fs)]
    found: dict[str, int] = {}
    for path in paths:
        try:
            found[path] = fs.number(path)
        except BoardError:
            continue
    if not fs.program("vcgencmd"):
        return Snapshot(found, [])
    try:
        answer = vcgencmd(fs, "get_throttled")
        flags = re.fullmatch(r"throttled=(0x[0-9a-fA-F]{1,8})", answer.strip())
        if flags is None:
            raise BoardError(f"`{THROTTLED}` said: {' '.join(answer.split())[:200]}")
    except BoardError as error:
        return Snapshot(found, [f"the firmware's signs of throttling are not seen: {error}"])
    return Snapshot({**found, THROTTLED: int(flags.group(1), 16)}, [])


def signs(fs: Sysfs, start: Snapshot, end: Snapshot) -> list[str]:
    """What says that the board was slowed between two snapshots, in words."""
    before, after = start.counts, end.counts
    found = [
        f"{path} went from {before[path]} to {value}"
        for path, value in after.items()
        if path in before and value > before[path] and path != THROTTLED
    ]
    flags = after.get(THROTTLED, 0)
    since = flags & ~before.get(THROTTLED, flags)  # bits 16 to 19 stay set until a boot
    found += [
        f"vcgencmd get_throttled says {word}"
        for bit, word in PI_NOW.items()
        if flags >> bit & 1 or since >> (16 + bit) & 1
    ]
    return found + hot_zones(fs)


def hot_zones(fs: Sysfs) -> list[str]:
    """Thermal zones at or above a trip that slows the board."""
    found = []
    for zone in fs.find("/sys/class/thermal/thermal_zone*"):
        try:
            name, temp = fs.read(f"{zone}/type"), fs.number(f"{zone}/temp")
        except BoardError:  # a zone that is switched off answers EAGAIN or EINVAL
            continue
        for trip in _trips_mc(fs, zone) if name != ALWAYS_HOT else []:
            if temp >= trip:
                found.append(f"{name} is at {temp / 1e3:g} C, its trip is at {trip / 1e3:g} C")
                break
    return found


def _trips_mc(fs: Sysfs, zone: str) -> list[int]:
    trips = []
    for path in fs.find(f"{zone}/trip_point_*_type"):
        try:
            if fs.read(path) in PASSIVE:
                trips.append(fs.number(path[: -len("type")] + "temp"))
        except BoardError:
            continue
    return [trip for trip in trips if trip > 0]


def _coolers(fs: Sysfs) -> list[str]:
    """Cooling devices that slow something: all but fans."""
    found = []
    for device in fs.find("/sys/class/thermal/cooling_device*"):
        try:
            kind = fs.read(os.path.join(device, "type")).lower()
        except BoardError:
            continue
        if "fan" not in kind:
            found.append(device)
    return found
