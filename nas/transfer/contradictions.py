"""Rows of one program that contradict each other: slower at a faster clock, or measured twice."""

from __future__ import annotations

import pandas as pd

NOISE = 1.05  # a faster clock that is slower by less says nothing
SPREAD = 1.2  # between values of one measurement
PROGRAM = ("subnet", "heads", "backend", "precision", "batch", "threads", "power_mode", "clocks")


def throttled(rows: pd.DataFrame) -> list[object]:
    """Lines whose program is slower than at a slower clock, beyond noise."""
    at = pd.DataFrame({"program": program_numbers(rows), "clock": rows["clock_mhz"]})
    best = rows["latency_ms"].groupby([at["program"], at["clock"]]).min()  # by rising clock
    before = best.groupby(level="program").cummin().groupby(level="program").shift()
    slower = best.index[best > NOISE * before]  # NaN before the slowest clock compares false
    keys = pd.MultiIndex.from_frame(at)
    return rows.index[keys.isin(slower)].tolist()


def twice(rows: pd.DataFrame) -> list[object]:
    """Lines of one measurement whose values differ by more than noise."""
    same = rows["latency_ms"].groupby([program_numbers(rows), rows["clock_mhz"]])
    return rows.index[same.transform("max") > SPREAD * same.transform("min")].tolist()


def program_numbers(rows: pd.DataFrame) -> pd.Series:
    """A number for every row, the same for all of one program in one setting but the clock."""
    columns = [column for column in PROGRAM if column in rows]
    return rows.groupby(columns, sort=False, dropna=False).ngroup()
