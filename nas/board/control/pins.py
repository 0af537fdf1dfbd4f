"""Clocks held at a value: found, pinned, settled, checked."""

from __future__ import annotations

import os
import time
from typing import Callable, Iterator, NamedTuple

from .clocks import Clock, Cores, Emc, Range, same
from .journal import Journal
from .sysfs import BoardError, Description, MissingError, OffError, Sysfs

GPU_NAMES = ("gv11b", "gp10b", "ga10b", "gb10b", "gpu", "gm20b")
GPU_DEVFREQ = "gpu-gpc-*"  # Thor: no device tree name (jetson_stats 885); gpu-nvd-0 is its video
THOR_EMC = "/sys/class/devfreq/bwmgr"  # a devfreq device (jetson_stats 825)
TEGRA = "/etc/nv_tegra_release"
EMC_FOLDER = "/sys/kernel/debug/bpmp/debug/clk/emc"
POLL_S, N_EQUAL, TIMEOUT_S, REST_S = 0.01, 3, 2.0, 0.1
MIN_POLLS = 8  # of a clock that is late: a computer that stood still for TIMEOUT_S saw too few


class Pin(NamedTuple):
    """A clock and what it is held at; `asked_hz` where that is the next point to what was asked."""

    clock: Clock | Cores
    hz: int
    asked_hz: int | None = None


def find_clocks(fs: Sysfs, board: Description) -> dict[str, list[Clock]]:
    """What can be pinned here, under `gpu`, `cpu` and `emc`; a board without one lacks the key.

    The memory clock is listed on every Jetson: only root can see whether it is there. Clusters
    whose cores are off have no clock and are left out (`off_clusters` names them).
    """
    found: dict[str, list[Clock]] = {}
    sysfs = board.get("sysfs", {})
    gpu = find_gpu(fs, sysfs.get("gpu_devfreq", []))
    if gpu is not None:
        found["gpu"] = [Range(fs, "gpu", gpu, "", 1)]
        if fs.exists(f"{THOR_EMC}/cur_freq"):
            found["emc"] = [Range(fs, "emc", THOR_EMC, "", 1)]
        elif "emc_debug" in sysfs or fs.exists(TEGRA):
            found["emc"] = [Emc(fs, sysfs.get("emc_debug", EMC_FOLDER))]
    policies = [path for path in _policies(fs) if not _is_off(fs, path)]
    if policies:
        found["cpu"] = [Range(fs, _policy_name(path), path, "scaling_", 1000) for path in policies]
    return found


def off_clusters(fs: Sysfs) -> list[str]:
    """Words about every cluster of cores that is off and so has no clock."""
    names = [_policy_name(path) for path in _policies(fs) if _is_off(fs, path)]
    return [f"{name} is left out: its cores are off" for name in names]


def _policies(fs: Sysfs) -> list[str]:
    found = fs.find("/sys/devices/system/cpu/cpufreq/policy*")
    return found or fs.find("/sys/devices/system/cpu/cpu[0-9]*/cpufreq")


def _is_off(fs: Sysfs, policy: str) -> bool:
    """Whether no core of a policy is online: newer kernels answer EBUSY, older ones an empty list.

    What cannot be read for another reason counts as on, so that its error is seen.
    """
    try:
        fs.read(f"{policy}/scaling_cur_freq")
    except OffError:
        return True
    except BoardError:
        return False
    try:
        return not fs.read(f"{policy}/affected_cpus")
    except OffError:
        return True
    except BoardError:
        return False


def find_gpu(fs: Sysfs, candidates: list[str]) -> str | None:
    """The GPU's devfreq folder: the first candidate that is there, else by its name."""
    for path in candidates:
        if fs.exists(f"{path}/cur_freq"):
            return path
    for path in fs.find("/sys/class/devfreq/*"):
        name = f"{path}/device/of_node/name"
        if fs.exists(name) and fs.read(name) in GPU_NAMES:
            return path
    return next(iter(fs.find(f"/sys/class/devfreq/{GPU_DEVFREQ}")), None)


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


def settle(pins: list[Pin], work: Callable[[], object] | None = None) -> list[Pin]:
    """Wait until every pinned clock reads its value three times in a row, then 100 ms more.

    `work` runs between the polls, because an idle GPU may report its lowest clock. Polls go on for
    two seconds (arXiv 2606.16106 saw at most 8 ms on Orin). Returns what the clocks are held at: a
    driver that rounds may hold the next point to the one asked for. BoardError: it never came.
    """
    polls, equal, end = 0, 0, time.monotonic() + TIMEOUT_S
    while pins and equal < N_EQUAL:
        late = next(((pin, hz) for pin, hz in _read(pins) if not same(hz, pin.hz)), None)
        polls, equal = polls + 1, 0 if late else equal + 1
        if late and polls >= MIN_POLLS and time.monotonic() > end:
            pin, hz = late
            near = _next_point(pin, hz)
            if near is not None:
                pins = [Pin(p.clock, near, p.hz) if p is pin else p for p in pins]
                continue
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
    return pins


def _next_point(pin: Pin, hz: int) -> int | None:
    """The point that `hz` names, where it is a neighbour of the one asked for; once for a pin."""
    table = pin.clock.table_hz() if isinstance(pin.clock, Range) else []
    found = [n for n, point in enumerate(table) if same(point, hz)]
    asked = [n for n, point in enumerate(table) if same(point, pin.hz)]
    if pin.asked_hz is None and found and asked and abs(found[0] - asked[0]) == 1:
        return table[found[0]]
    return None


def off_by_a_step(pins: list[Pin]) -> list[str]:
    """Words about every clock that is held at the next point to the one asked for."""
    return [
        f"{pin.clock.name} was set to {pin.asked_hz / 1e6:g} MHz and runs at {pin.hz / 1e6:g} MHz, "
        "the next point: the row is of that clock"
        for pin in pins
        if pin.asked_hz is not None
    ]


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
            found[kind] = max(_hz_while_on(members)) / 1e6
        except (BoardError, ValueError):
            found[kind] = None
    return found


def _hz_while_on(members: list[Clock]) -> Iterator[int]:
    """Clocks without those of cores that went off since they were found."""
    for clock in members:
        try:
            yield clock.hz()
        except OffError:
            continue


def _policy_name(path: str) -> str:
    folder = os.path.basename(path if "policy" in path else os.path.dirname(path))
    return "cpu " + folder
