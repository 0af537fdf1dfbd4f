"""What is known of the device that rows are of: how long programs take, which power it draws.

Of a device with a profile its model says it; of this machine the profile of an x86 CPU; of a device
that nobody knows, the fastest and the slowest of all profiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nas.devices import AnalyticDevice, Device, Simulates, load_profile, profile_names
from nas.transfer.levels import simulated_at, with_clock
from nas.transfer.programs import Programs
from search_spaces import Floats, InputError, Space

HOST = "x86-cpu"  # the profile that stands for this machine
LEAST_W, MOST_W = 0.001, 3000.0  # of any computer: a microcontroller, a server with several GPUs
LEAST_MS, MOST_MS = 1e-3, 1e5  # of programs that no model knows: a microsecond, minutes
N_ROWS = 40  # that every profile is asked about


@dataclass(frozen=True)
class Known:
    """Latency `low_ms` to `high_ms` and power `row_w` (n,) of the rows' programs; whose figures."""

    whose: str
    low_ms: Floats
    high_ms: Floats
    row_w: Floats  # 1 where no model says it
    power_w: tuple[float, float]  # the least and the most that the device can draw
    is_this_device: bool  # a model of the device itself, not of its like

    def times_off(self, latency_ms: Floats) -> Floats:
        """How many times above (below 1: under) the known range every latency is."""
        above = np.maximum(latency_ms / self.high_ms, 1)
        return np.where(latency_ms < self.low_ms, latency_ms / self.low_ms, above)


def known_of(rows: pd.DataFrame, space: Space, device: Device | None) -> Known:
    """What is known of checked `rows` of `device`; None: of one that no profile describes."""
    programs = Programs.of_rows(rows, space)
    if space.measured_alone:
        unknown, least = np.ones(len(rows)), np.full(len(rows), LEAST_MS)
        return Known("no model", least, unknown * MOST_MS, unknown, (LEAST_W, MOST_W), False)
    if isinstance(device, Simulates):
        clock = with_clock(rows, device.levels)["clock_mhz"].to_numpy()
        own, energy = simulated_at(device, programs.operators, clock)
        power = _power_w(device) if isinstance(device, AnalyticDevice) else (LEAST_W, MOST_W)
        return Known(f"the model of {device.name}", own, own, energy / own, power, True)
    batch, unknown = the_one(rows, "batch") or 1, np.ones(len(rows))
    if _is_this_machine(rows):
        host = AnalyticDevice(load_profile(HOST), batch=int(batch))
        own = host.cost(programs.operators)[0][:, -1]
        return Known(f"the model of {HOST}", own, own, unknown, (LEAST_W, MOST_W), False)
    some = Programs.of_rows(rows.iloc[:: max(1, len(rows) // N_ROWS)], space)
    ends = []
    for name in profile_names():
        model = AnalyticDevice(load_profile(name), batch=int(batch)).cost(some.operators)[0]
        ends.append([float(np.median(model[:, -1])), float(np.median(model[:, 0]))])
    least, most = np.full(len(rows), min(ends)[0]), np.full(len(rows), max(e for _, e in ends))
    whose = "the models of all devices known here"
    return Known(whose, least, most, unknown, (LEAST_W, MOST_W), False)


def device_of_rows(rows: pd.DataFrame) -> Device | None:
    """The model of the device that `rows` name, with their backend and batch, if one is known."""
    name = the_one(rows, "device")
    if name not in profile_names():
        return None
    profile, batch = load_profile(str(name)), int(the_one(rows, "batch") or 1)
    try:
        return AnalyticDevice(profile, backend=the_one(rows, "backend"), batch=batch)
    except InputError:  # a backend that the profile does not model
        return AnalyticDevice(profile, batch=batch)


def the_one(rows: pd.DataFrame, column: str) -> str | None:
    """The one value that all rows have in `column`, None where there is none, or several."""
    values: list[object] = rows[column].dropna().unique().tolist() if column in rows else []
    return str(values[0]).removesuffix(".0") if len(values) == 1 and values[0] != "" else None


def _is_this_machine(rows: pd.DataFrame) -> bool:
    return the_one(rows, "device") == "host" and the_one(rows, "processor") in (None, "cpu")


def _power_w(device: AnalyticDevice) -> tuple[float, float]:
    return device.profile.power.idle_w, device.profile.power.max_w
