"""The DVFS level and the clock of measured rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from nas.devices import Clocked, Device, Simulates
from search_spaces import DvfsLevel, Floats, InputError, Ints, Operators


def clocks_mhz(levels: Sequence[DvfsLevel]) -> Floats:
    """The clock that names each level, `(L,)`."""
    return np.array([level.clock_mhz for level in levels])


def own_level(clock_mhz: Floats, clocks: Floats) -> tuple[Ints, Ints]:
    """Index of each row's own level, the nearest in clock, into costs `(rows, L)`."""
    nearest = np.abs(clocks - clock_mhz[:, None]).argmin(axis=1)
    return np.arange(len(nearest)), nearest


def simulated_at(device: Device, operators: Operators, clock_mhz: Floats) -> tuple[Floats, Floats]:
    """latency_ms and energy_mj `(n,)` of rows by the device's model, each at its own clock.

    Rows of another power mode may have a clock that no level of this one is near. A model that
    knows its levels alone is asked at the nearest.
    """
    levels = device.levels
    row, nearest = own_level(clock_mhz, clocks_mhz(levels))
    if not isinstance(device, Clocked):
        latency, energy = cast(Simulates, device).cost(operators)
        return latency[row, nearest], energy[row, nearest]
    column = "gpu_mhz" if levels[0].gpu_mhz is not None else "cpu_mhz"
    clocks, first, own = np.unique(clock_mhz, return_index=True, return_inverse=True)
    settings = [
        replace(levels[nearest[i]], **{column: float(mhz)})
        for i, mhz in zip(first, clocks, strict=True)
    ]
    latency, energy = cast(Simulates, device.at(settings)).cost(operators)
    return latency[row, own], energy[row, own]


def with_clock(rows: pd.DataFrame, levels: Sequence[DvfsLevel]) -> pd.DataFrame:
    """`rows` with a `clock_mhz` column, from their own clock or from their level's.

    A machine that is measured as it is has one level: its clock wanders from row to row, and rows
    of as many clocks could not be ranked.
    """
    clocks = clocks_mhz(levels)
    column = "gpu_mhz" if levels[0].gpu_mhz is not None else "cpu_mhz"
    clock = rows[column] if column in rows else pd.Series(np.nan, index=rows.index)
    if len(levels) == 1 and levels[0].power_mode is None:
        clock = pd.Series(clocks[0], index=rows.index)
    if "level" in rows:
        known = rows["level"].dropna().astype(int)
        if len(known) and not known.between(0, len(levels) - 1).all():
            raise InputError(
                f"the measured rows name level {known.max()}, the device has levels "
                f"0 to {len(levels) - 1} in this power mode"
            )
        clock = clock.fillna(known.map(dict(enumerate(clocks))))
    if clock.isna().any():
        raise InputError(f"measured rows need {column} or level in every row")
    return rows.assign(clock_mhz=clock.astype(float))
