"""Rows from outside, held against what is known of their device before anything rests on them.

A figure in another unit ranks programs as well as the right one: only its size gives it away. So
latency is compared with the device's model, energy over latency with the power that the board can
draw, and clocks with the board's table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nas.devices import AnalyticDevice, Device, Simulates, load_profile, profile_names
from nas.transfer.levels import clocks_mhz, own_level, with_clock
from nas.transfer.programs import Programs
from predictors import TableError
from search_spaces import Floats, InputError, Space

REFUSED, WARNED = 100.0, 5.0  # times off the model; no model here is off by as much as the first
SAME_CLOCK = 0.01
OTHER_CLOCKS = {1e-3: "GHz", 1e3: "kHz", 1e6: "Hz"}  # how a clock of 1 MHz is then written
OTHER_TIMES = {1e-3: "seconds", 1e3: "microseconds", 1e6: "nanoseconds"}
OTHER_ENERGIES = {1e-3: "joules", 1e3: "microjoules", 1e6: "nanojoules"}
COLUMNS = {"seconds": "latency_s", "microseconds": "latency_us", "nanoseconds": "latency_ns"}
COLUMNS |= {"joules": "energy_j", "microjoules": "energy_uj"}
NOISE = 1.05  # a faster clock that is slower by less says nothing
Say = Callable[[str], None]


def warn(line: str) -> None:
    """A marked line beside a command's output."""
    print(f"warning: {line}", file=sys.stderr)


def check_rows(
    path: Path, rows: pd.DataFrame, space: Space, device: Device | None, say: Say = warn
) -> pd.DataFrame:
    """Checked `rows` of one device, whose index are lines of `path`; clocks as the board has them.

    TableError: a clock that the board does not have, figures that can only be in another unit.
    `say` gets a line for what is merely odd. Without a device that is known there is no check.
    """
    if device is None:
        return rows
    rows = _snapped(path, rows, device, say)
    clocked = with_clock(rows, device.levels)
    if isinstance(device, Simulates):
        model = device.cost(Programs.of_rows(rows, space).operators)
        own = own_level(clocked["clock_mhz"].to_numpy(), clocks_mhz(device.levels))
        _check_latency(path, rows, model[0][own], device, say)
    if isinstance(device, AnalyticDevice):
        _check_power(path, rows, device, say)
    _say_contradictions(path, clocked, say)
    return rows


def device_of_rows(rows: pd.DataFrame) -> Device | None:
    """The model of the device that `rows` name, with their backend and batch, if one is known."""
    names = rows["device"].unique()
    if len(names) != 1 or names[0] not in profile_names():
        return None
    profile = load_profile(names[0])
    asked = {}
    backends = rows["backend"].unique() if "backend" in rows else np.array([])
    if len(backends) == 1:
        asked["backend"] = str(backends[0])
    batches = _batches(rows)
    try:
        return AnalyticDevice(profile, **asked, batch=batches[0] if len(batches) == 1 else 1)
    except InputError:  # a backend that the profile does not model
        return AnalyticDevice(profile)


def check_rows_alone(path: Path, rows: pd.DataFrame, space: Space, say: Say = warn) -> pd.DataFrame:
    """`check_rows` against the device that the rows themselves name."""
    device = device_of_rows(rows)
    try:
        return check_rows(path, rows, space, device, say)
    except TableError:
        raise
    except InputError:  # levels of another power mode: no level to compare with
        return rows


def _snapped(path: Path, rows: pd.DataFrame, device: Device, say: Say) -> pd.DataFrame:
    """Rows with the clock of the board's table that theirs means; by line where it means none."""
    column = "gpu_mhz" if device.levels[0].gpu_mhz is not None else "cpu_mhz"
    if column not in rows:
        return rows
    table = clocks_mhz(device.levels)
    if isinstance(device, AnalyticDevice):  # of every power mode
        table = np.array(getattr(device.profile, column))
    elif len(table) < 2:  # a machine whose clock nobody lists
        return rows
    found = rows[column].copy()
    moved = []
    for line, mhz in rows[column].dropna().items():
        near = int(np.abs(table - mhz).argmin())
        if abs(table[near] - mhz) > SAME_CLOCK * table[near]:
            if not _within_half_a_step(table, near, mhz):
                raise TableError(
                    f"{path} line {line}: {column} {_strange(mhz, table, device.name)}"
                )
            moved.append(f"{mhz:g} to {table[near]:g}")
            found = found.mask(found.index == line, table[near])
        _check_level(path, rows, line, near, table, column)
    if moved:
        shown = ", ".join(dict.fromkeys(moved))
        say(f"{path}: {column} is set to the board's own clocks: {shown[:200]}")
    return rows.assign(**{column: found})


def _within_half_a_step(table: Floats, near: int, mhz: float) -> bool:
    """Whether `mhz` lies between two points of the table, or as far beyond its ends."""
    steps = np.diff(table) if len(table) > 1 else np.array([0.0])
    above = mhz > table[near]
    step = steps[min(near, len(steps) - 1) if above else max(near - 1, 0)]
    return bool(abs(table[near] - mhz) <= step / 2)


def _strange(mhz: float, table: Floats, device: str) -> str:
    """What a clock that is not in the table is, and in which unit it would be one."""
    words = f"is {mhz:.10g}; the clocks of {device} are {table[0]:g} to {table[-1]:g} MHz"
    for factor, unit in OTHER_CLOCKS.items():
        if (np.abs(table * factor - mhz) <= 0.05 * table * factor).any():
            return f"{words}: it looks like {unit}; write MHz"
    return words


def _check_level(
    path: Path, rows: pd.DataFrame, line: object, near: int, table: Floats, column: str
) -> None:
    level = rows["level"].get(line) if "level" in rows else None
    if level is None or pd.isna(level) or int(level) == near:
        return
    own = f"{table[int(level)]:g} MHz" if int(level) < len(table) else "no clock"
    raise TableError(
        f"{path} line {line}: {column} {table[near]:g} is level {near}, the row says level "
        f"{int(level)}, which is {own}; remove one of the columns"
    )


def _check_latency(
    path: Path, rows: pd.DataFrame, model_ms: Floats, device: Device, say: Say
) -> None:
    """Whether the rows could be what the model of the device says of the same programs."""
    latency = rows["latency_ms"].to_numpy()
    ratio = float(np.median(latency / model_ms))
    middle = f"a median of {np.median(latency):.3g} ms, {np.median(model_ms):.3g} ms by the model"
    words = f"{path}: latency_ms has {middle} of {device.name} for the same programs"
    if not 1 / REFUSED < ratio < REFUSED:
        raise TableError(f"{words}{_likely(ratio, OTHER_TIMES)}")
    if not 1 / WARNED < ratio < WARNED:
        say(f"{words}: {max(ratio, 1 / ratio):.1f} times off{_of_batch(rows, ratio)}")


def _of_batch(rows: pd.DataFrame, ratio: float) -> str:
    batches = _batches(rows)
    if len(batches) == 1 and batches[0] > 1:
        if 0.5 < ratio * batches[0] < 2:
            return f"; is it the time of one image? batch is {batches[0]:g}, costs are of all of it"
        return f"; batch is {batches[0]:g}, costs are of the whole batch"
    return "; are unit, batch, backend and precision those that were measured?"


def _batches(rows: pd.DataFrame) -> list[int]:
    return [int(b) for b in rows["batch"].dropna().unique()] if "batch" in rows else []


def _check_power(path: Path, rows: pd.DataFrame, device: AnalyticDevice, say: Say) -> None:
    """Whether energy over latency is a power that the board can draw."""
    if "energy_mj" not in rows or rows["energy_mj"].isna().all():
        return
    power = (rows["energy_mj"] / rows["latency_ms"]).dropna()
    middle, limits = float(power.median()), device.profile.power
    words = (
        f"{path}: energy_mj over latency_ms is {middle:.3g} W in the middle row, {device.name} "
        f"draws {limits.idle_w:g} to {limits.max_w:g} W"
    )
    expected = (limits.idle_w * limits.max_w) ** 0.5
    if not limits.idle_w / 30 < middle < limits.max_w * 10:
        raise TableError(f"{words}{_likely(middle / expected, OTHER_ENERGIES)}")
    if not limits.idle_w / WARNED < middle < limits.max_w * 2:
        say(f"{words}; is it the energy of the whole board, in mJ?")


def _likely(ratio: float, units: dict[float, str]) -> str:
    """The unit that a factor speaks of, and the column's name that says so."""
    factor = min(units, key=lambda f: abs(np.log(ratio / f)))
    off = f": {max(ratio, 1 / ratio):.2g} times off"
    if abs(np.log(ratio / factor)) > np.log(30):
        return f"{off}, which no unit explains; look at the file"
    unit = units[factor]
    column = f"; name the column {COLUMNS[unit]}" if unit in COLUMNS else ""
    return f"{off}, it looks like {unit}{column}"


def _say_contradictions(path: Path, rows: pd.DataFrame, say: Say) -> None:
    """Name rows of one program that a faster clock slows down, and those measured twice."""
    program = ["subnet", *(["heads"] if "heads" in rows else [])]
    throttled: list[object] = []
    twice: list[object] = []
    for _, same in rows.groupby(program, sort=False):
        at_clock = same.sort_values("clock_mhz", kind="stable").groupby("clock_mhz")["latency_ms"]
        for clock, values in at_clock:
            if values.max() > 1.2 * values.min():
                twice += list(same.index[same["clock_mhz"] == clock])
        best = at_clock.min()
        slower = best[1:].to_numpy() > NOISE * np.minimum.accumulate(best.to_numpy())[:-1]
        for clock in best.index[1:][slower]:
            throttled += list(same.index[same["clock_mhz"] == clock])
    for lines, what in (
        (throttled, "a faster clock is slower: the board was throttled, or the clock was not held"),
        (twice, "the same measurement has several values"),
    ):
        if lines:
            say(f"{path}: {_lines(lines)}: {what}; measure again (`nas measure --of`)")


def _lines(lines: Sequence[object]) -> str:
    shown = ", ".join(map(str, lines[:8]))
    return f"line{'s' * (len(lines) > 1)} {shown}{', ...' if len(lines) > 8 else ''}"
