"""Clocks and levels of rows from outside, held against the table of their board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from nas.devices import SAME_CLOCK, AnalyticDevice, Device
from nas.transfer.levels import clocks_mhz
from predictors import TableError
from search_spaces import Floats

OTHER_UNIT = 30.0  # times beyond a board's clocks: no clock of it that we do not know
OTHER_CLOCKS = {1e-3: "GHz", 1e3: "kHz", 1e6: "Hz"}  # how a clock of 1 MHz is then written
Say = Callable[[str], None]


def with_board_clocks(path: Path, rows: pd.DataFrame, device: Device, say: Say) -> pd.DataFrame:
    """Rows with the clock of the board's table that theirs means; TableError where it means none.

    A clock within half a step is set to the board's, and `say` is told where it was not the same.
    """
    if isinstance(device, AnalyticDevice):
        _check_others(path, rows, device)
    column = "gpu_mhz" if device.levels[0].gpu_mhz is not None else "cpu_mhz"
    if column not in rows:
        return rows
    table = clocks_mhz(device.levels)
    if isinstance(device, AnalyticDevice):  # of every power mode
        table = np.array(getattr(device.profile, column))
    elif len(table) < 2:  # a machine whose clock nobody lists
        return rows
    known = rows[column].dropna()
    own: list[float] = []
    moved = []
    for line, mhz in known.items():
        near = int(np.abs(table - mhz).argmin())
        if abs(table[near] - mhz) > SAME_CLOCK * table[near]:
            if not _within_half_a_step(table, near, mhz):
                raise TableError(
                    f"{path} line {line}: {column} {_strange(mhz, table, device.name)}"
                )
            moved.append(f"{mhz:g} to {table[near]:g}")
        own.append(float(table[near]))  # one of all rows of a level, however it was read back
        _check_level(path, rows, line, near, table, column)
    if moved:
        shown = ", ".join(dict.fromkeys(moved))
        say(f"{path}: {column} is set to the board's own clocks: {shown[:200]}")
    return rows.assign(**{column: pd.Series(own, index=known.index, dtype=float)})


def _check_others(path: Path, rows: pd.DataFrame, device: AnalyticDevice) -> None:
    """TableError where a clock beside the level's can only be in another unit."""
    for column in ("gpu_mhz", "cpu_mhz", "emc_mhz"):
        table = np.array(getattr(device.profile, column), dtype=float)
        if column not in rows or not len(table):
            continue
        for line, mhz in rows[column].dropna().items():
            if not table.min() / OTHER_UNIT < mhz < table.max() * OTHER_UNIT:
                found = _strange(mhz, table, device.name)
                raise TableError(f"{path} line {line}: {column} {found}")


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
