"""Clocks held at a value: found, pinned, settled, checked."""

from __future__ import annotations

import os
import time
from typing import Callable, NamedTuple

from .clocks import Clock, Cores, Emc, Range, same
from .journal import Journal
from .sysfs import BoardError, Description, MissingError, Sysfs

GPU_NAMES = ("gv11b", "gp10b", "ga10b", "gb10b", "gpu", "gm20b")
TEGRA = "/etc/nv_tegra_release"
EMC_FOLDER = "/sys/kernel/debug/bpmp/debug/clk/emc"
POLL_S, N_EQUAL, TIMEOUT_S, REST_S = 0.01, 3, 2.0, 0.1


class Pin(NamedTuple):
    """A clock and what it is held at."""

    clock: Clock | Cores
    hz: int


def find_clocks(fs: Sysfs, board: Description) -> dict[str, list[Clock]]:
    """What can be pinned here, under `gpu`, `cpu` and `emc`; a board without one lacks the key.

    The memory clock is listed on every Jetson: only root can see whether it is there.
    """
    found: dict[str, list[Clock]] = {}
    sysfs = board.get("sysfs", {})
    gpu = find_gpu(fs, sysfs.get("gpu_devfreq", []))
    if gpu is not None:
        found["gpu"] = [Range(fs, "gpu", gpu, "", 1)]
        if "emc_debug" in sysfs or fs.exists(TEGRA):
            found["emc"] = [Emc(fs, sysfs.get("emc_debug", EMC_FOLDER))]
    policies = fs.find("/sys/devices/system/cpu/cpufreq/policy*")
    policies = policies or fs.find("/sys/devices/system/cpu/cpu[0-9]*/cpufreq")
    if policies:
        found["cpu"] = [Range(fs, _policy_name(path), path, "scaling_", 1000) for path in policies]
    return found


def find_gpu(fs: Sysfs, candidates: list[str]) -> str | None:
    """The GPU's devfreq folder: the first candidate that is there, else by its device tree name."""
    for path in candidates:
        if fs.exists(f"{path}/cur_freq"):
            return path
    for path in fs.find("/sys/class/devfreq/*"):
        name = f"{path}/device/of_node/name"
        if fs.exists(name) and fs.read(name) in GPU_NAMES:
            return path
    return None


def limits(clocks: dict[str, list[Clock]]) -> list[str]:
    """Files that hold the lowest and highest clocks allowed: what a power mode writes too."""
    ranges = [clock for members in clocks.values() for clock in members if isinstance(clock, Range)]
    return [path for clock in ranges for path in (clock.low, clock.high)]


def pin_all(
    journal: Journal, clocks: dict[str, list[Clock]], wanted_mhz: dict[str, float | None]
) -> list[Pin]:
    """Pin every clock that `wanted_mhz` gives a value, under `gpu`, `cpu`, `emc`."""
    pins = []
    for kind, mhz in wanted_mhz.items():
        if mhz is None:
            continue
        if kind not in clocks:
            raise MissingError(
                f"{kind}_mhz = {mhz:g} was asked, but this board has no {kind} clock to set"
            )
        chosen = _choose(clocks[kind], mhz)
        for clock, hz in chosen:
            clock.pin(journal, hz)
        together = kind == "cpu" and not clocks[kind][0].table_hz()
        pins += [Pin(Cores(clocks[kind]), chosen[0][1])] if together else [Pin(*c) for c in chosen]
    return pins


def _choose(clocks: list[Clock], mhz: float) -> list[tuple[Clock, int]]:
    """One point each. Small cores that do not reach what the big ones can take their own top."""
    tops = [max(clock.table_hz() or [round(mhz * 1e6)]) for clock in clocks]
    reach = [same(top, mhz * 1e6) or top > mhz * 1e6 for top in tops]
    if not any(reach):
        raise BoardError(f"{clocks[0].name}: {mhz:g} MHz is above its top, {max(tops) / 1e6:g} MHz")
    chosen = zip(clocks, tops, reach)
    return [(clock, clock.choose_hz(mhz) if can else top) for clock, top, can in chosen]


def settle(pins: list[Pin], work: Callable[[], object] | None = None) -> None:
    """Wait until every pinned clock reads its value three times in a row, then 100 ms more.

    `work` runs between the polls, because an idle GPU may report its lowest clock. Polls go on for
    two seconds (arXiv 2606.16106 saw at most 8 ms on Orin). BoardError: it never came.
    """
    equal, end = 0, time.monotonic() + TIMEOUT_S
    while pins and equal < N_EQUAL:
        late = next(((pin, hz) for pin, hz in _read(pins) if not same(hz, pin.hz)), None)
        equal = 0 if late else equal + 1
        if late and time.monotonic() > end:
            pin, hz = late
            raise BoardError(
                f"{pin.clock.name} was set to {pin.hz / 1e6:g} MHz and stays at {hz / 1e6:g} MHz "
                f"({pin.clock.now}; {pin.clock.state()}); a power mode, a thermal limit or another "
                "program holds it"
            )
        if work is not None:
            work()
        time.sleep(POLL_S)
    if pins:
        time.sleep(REST_S)


def moved(pins: list[Pin]) -> list[str]:
    """What left its value, in words; empty where all is as pinned."""
    return [
        f"{pin.clock.name} was pinned to {pin.hz / 1e6:g} MHz and ran at {hz / 1e6:g} MHz"
        for pin, hz in _read(pins)
        if not same(hz, pin.hz)
    ]


def _read(pins: list[Pin]) -> list[tuple[Pin, int]]:
    return [(pin, pin.clock.hz()) for pin in pins]


def present_mhz(clocks: dict[str, list[Clock]]) -> dict[str, float | None]:
    """The clocks now, the fastest policy for `cpu`; None for one that this user cannot read."""
    found: dict[str, float | None] = {}
    for kind, members in clocks.items():
        try:
            found[kind] = max(clock.hz() for clock in members) / 1e6
        except BoardError:
            found[kind] = None
    return found


def _policy_name(path: str) -> str:
    folder = os.path.basename(path if "policy" in path else os.path.dirname(path))
    return "cpu " + folder
