"""What is found on this board: model, release, clocks, modes, sensor, zones, runners."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
from typing import Any

from ..control.clocks import Clock
from ..control.modes import current_mode, list_modes
from ..control.pins import find_clocks, off_clusters, present_mhz
from ..control.sensors import open_sensor
from ..control.sysfs import BoardError, Description, Sysfs

JETPACK = ((38, 7), (36, 6), (34, 5), (28, 4))  # from which L4T release on


def discover(fs: Sysfs, board: Description | None = None) -> dict[str, Any]:
    """A plain dict for the screen and for JSON; nothing on the board is changed.

    What cannot be read is named under `faults` with its path and permission.
    """
    about = board or {}
    faults: list[str] = []
    clocks = find_clocks(fs, about)
    release = _release(fs)
    found: dict[str, Any] = {
        "model": _text(fs, "/proc/device-tree/model") or _cpu(fs),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "l4t": release,
        "jetpack": _jetpack(release),
        "clocks": {kind: _clock(fs, members, faults) for kind, members in clocks.items()},
        "power_modes": sorted(list_modes(fs), key=list_modes(fs).__getitem__),
        "power_mode": current_mode(fs),
        "sensor": _sensor(fs, about, faults),
        "zones_c": _zones(fs),
        "runners": _runners(fs),
    }
    found["clocks"] = {kind: clock for kind, clock in found["clocks"].items() if clock}
    for kind, mhz in present_mhz(clocks).items():
        if kind in found["clocks"]:
            found["clocks"][kind]["now_mhz"] = mhz
    return {**found, "faults": faults + off_clusters(fs)}


def _clock(fs: Sysfs, members: list[Clock], faults: list[str]) -> dict[str, Any] | None:
    """One kind of clock, by its first member: cores of a kind are pinned together."""
    clock = members[-1]
    try:
        clock.hz()
        points = [hz / 1e6 for hz in clock.table_hz()]
    except BoardError as error:
        faults.append(str(error))
        return None
    path = fs.path(getattr(clock, "high", clock.now))
    return {
        "path": clock.now,
        "n": len(members),
        "points_mhz": points,
        "settable": os.access(path, os.W_OK, effective_ids=True),
    }


def _sensor(fs: Sysfs, board: Description, faults: list[str]) -> dict[str, Any] | None:
    try:
        sensor: Any = open_sensor(fs, board)
    except BoardError as error:
        faults.append(str(error))
        return None
    faults += sensor.left_out
    values = sensor.read()
    found = {"name": sensor.name, "rails": sorted(values), "total": sensor.total}
    return found if sensor.counts else {**found, "now_w": round(sensor.whole(values), 3)}


def _zones(fs: Sysfs) -> dict[str, float]:
    zones = {}
    for zone in fs.find("/sys/class/thermal/thermal_zone*"):
        try:
            zones[fs.read(f"{zone}/type")] = fs.number(f"{zone}/temp") / 1e3
        except BoardError:  # a zone that is off
            continue
    return zones


def _release(fs: Sysfs) -> str | None:
    """`# R35 (release), REVISION: 4.1, ...` as `R35.4.1`."""
    text = _text(fs, "/etc/nv_tegra_release")
    match = re.search(r"(R\d+) \(release\), REVISION: ([\d.]+)", text) if text else None
    return f"{match.group(1)}.{match.group(2)}" if match else None


def _jetpack(release: str | None) -> int | None:
    """Of a Jetson's release; one that is newer than this table is of the last JetPack known."""
    number = int(release[1:].split(".")[0]) if release else 0
    return next((jetpack for first, jetpack in JETPACK if number >= first), None)


def _runners(fs: Sysfs) -> list[str]:
    found = [name for name in ("onnxruntime", "torch") if importlib.util.find_spec(name)]
    return found + [name for name in ("trtexec",) if fs.program(name)]


def _cpu(fs: Sysfs) -> str | None:
    text = _text(fs, "/proc/cpuinfo") or ""
    match = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return match.group(1) if match else None


def _text(fs: Sysfs, path: str) -> str | None:
    return fs.read(path) if fs.exists(path) else None
