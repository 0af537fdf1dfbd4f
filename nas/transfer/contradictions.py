"""Rows that contradict each other: slower at a faster clock, part of a clock, measured twice."""

from __future__ import annotations

import numpy as np
import pandas as pd

from search_spaces import Bools, Floats

NOISE = 1.05  # a faster clock that is slower by less says nothing
SPREAD = 1.2  # between values of one measurement
PART = 1.1  # times by which a part of one clock's rows is slower than all its others, and
SCATTERS = 5.0  # times the scatter of rows about their program and their clock
PROGRAM = ("subnet", "heads", "backend", "precision", "batch", "threads", "power_mode", "clocks")


def throttled(rows: pd.DataFrame) -> list[object]:
    """Lines whose program is slower than at a slower clock, beyond noise."""
    at = pd.DataFrame({"program": program_numbers(rows), "clock": rows["clock_mhz"]})
    best = rows["latency_ms"].groupby([at["program"], at["clock"]]).min()  # by rising clock
    before = best.groupby(level="program").cummin().groupby(level="program").shift()
    slower = best.index[best > NOISE * before]  # NaN before the slowest clock compares false
    keys = pd.MultiIndex.from_frame(at)
    return rows.index[keys.isin(slower)].tolist()


def slow_part(rows: pd.DataFrame, expected_ms: Floats) -> Bools:
    """Rows (n,) of the slower part, where those of one clock fall into two.

    The board was throttled while it measured them. `expected_ms` (n,) is what a model of the device
    says; errors of it that are a program's or a clock's own do not matter.
    """
    clock = rows["clock_mhz"].to_numpy()
    off = _beyond_own(rows["latency_ms"].to_numpy(dtype=float) / expected_ms, rows)
    slow = np.zeros(len(rows), dtype=bool)
    for mhz in np.unique(clock):
        order = np.flatnonzero(clock == mhz)
        order = order[np.argsort(off[order])]
        gaps = np.diff(off[order])[1:-1]  # a row that is alone is no part
        if not len(gaps):
            continue
        cut = 2 + int(gaps.argmax())
        fast, late = off[order[:cut]], off[order[cut:]]
        about = [fast - np.median(fast), late - np.median(late), off[clock != mhz]]
        scatter = 1.4826 * np.median(np.abs(np.concatenate(about)))
        if gaps.max() > max(np.log(PART), SCATTERS * scatter):
            slow[order[cut:]] = True
    return slow


def _beyond_own(ratio: Floats, rows: pd.DataFrame) -> Floats:
    """Log ratios (n,) without what a clock has in common, and a program: what is slow is above."""
    off = pd.Series(np.log(ratio))
    off -= off.groupby(rows["clock_mhz"].to_numpy()).transform("quantile", 0.25)
    off -= off.groupby(program_numbers(rows).to_numpy()).transform("min")
    found: Floats = off.to_numpy()
    return found


def twice(rows: pd.DataFrame) -> list[object]:
    """Lines of one measurement whose values differ by more than noise."""
    same = rows["latency_ms"].groupby([program_numbers(rows), rows["clock_mhz"]])
    return rows.index[same.transform("max") > SPREAD * same.transform("min")].tolist()


def program_numbers(rows: pd.DataFrame) -> pd.Series:
    """A number for every row, the same for all of one program in one setting but the clock."""
    columns = [column for column in PROGRAM if column in rows]
    return rows.groupby(columns, sort=False, dropna=False).ngroup()
