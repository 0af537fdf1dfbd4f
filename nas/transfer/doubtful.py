"""Measured rows that are far off a fit to all of them, in latency or in power.

They are few, and do not count in a fit: one row that is 500 times off would move a whole level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nas.devices import Device, Simulates
from nas.transfer.contradictions import slow_part
from nas.transfer.known import known_of
from nas.transfer.programs import Programs
from nas.transfer.proxy import Proxy
from predictors import MIN_TARGET_ROWS, MIN_TARGET_SUBNETS, MonotoneTransfer
from search_spaces import Bools, Floats, Space

FAR = 1.6  # times off the fit at least, and
SCATTERS = 6.0  # times the scatter of the others, before a row is doubted
MOST = 0.25  # share of doubtful rows; where there are more, the fit is what is wrong


@dataclass(frozen=True)
class Doubtful:
    """Which rows (n,) do not count, and why in words, one for each."""

    rows: Bools
    words: tuple[str, ...]


def doubtful_rows(
    space: Space, proxy: Proxy, rows: pd.DataFrame, device: Device | None = None
) -> Doubtful:
    """Rows (with `clock_mhz`) that are far off a fit to all of them, in latency or in power.

    With a `device` that has a model, also those that were slow while others of their clock were
    not. None where they are too many, or where what is left would not be enough for a fit.
    """
    none = Doubtful(np.zeros(len(rows), dtype=bool), ())
    if len(rows) <= MIN_TARGET_ROWS:
        return none
    programs = Programs.of_rows(rows, space)
    h, clock, kernels = proxy.latency_ms(programs), rows["clock_mhz"].to_numpy(), programs.kernels
    latency = rows["latency_ms"].to_numpy(dtype=float)
    fit = MonotoneTransfer().fit(h, clock, latency, kernels=kernels)
    out, off = _far_out(np.log(latency / fit.predict(h, clock, kernels)))
    power_out, power_off = _power_out(rows, out, clock)
    both = out | power_out
    if isinstance(device, Simulates) and not space.measured_alone:
        both |= slow_part(rows, known_of(rows, space, device).low_ms)
    left = rows[~both]
    enough = len(left) >= MIN_TARGET_ROWS and left["subnet"].nunique() >= MIN_TARGET_SUBNETS
    if not both.any() or both.mean() > MOST or not enough:
        return none
    where = np.flatnonzero(both)
    words = [_words(rows.iloc[i], off[i], power_off[i] if power_out[i] else None) for i in where]
    return Doubtful(both, tuple(words))


def _words(row: pd.Series, off: float, power_off: float | None) -> str:
    """What contradicts the others: the row's power where that is far out, else its latency."""
    if power_off is None:
        figure = f"{row['latency_ms']:.4g} ms"
    else:
        figure, off = f"{row['energy_mj'] / row['latency_ms']:.3g} W", power_off
    times = np.exp(abs(off))
    return (
        f"{row['subnet']} at {row['clock_mhz']:g} MHz: {figure}, {times:.1f} times off the others"
    )


def _far_out(off: Floats) -> tuple[Bools, Floats]:
    """Which log errors are far from the others, and all of them about their median."""
    centred: Floats = off - np.median(off)
    scatter = 1.4826 * np.median(np.abs(centred))
    out: Bools = np.abs(centred) > max(np.log(FAR), SCATTERS * scatter)
    return out, centred


def _power_out(rows: pd.DataFrame, known_out: Bools, clock: Floats) -> tuple[Bools, Floats]:
    """The same of power, about its median at every clock."""
    if "energy_mj" not in rows or rows["energy_mj"].isna().all():
        return np.zeros(len(rows), dtype=bool), np.zeros(len(rows))
    power = np.log((rows["energy_mj"] / rows["latency_ms"]).to_numpy(dtype=float))
    seen = np.isfinite(power) & ~known_out
    off = np.zeros(len(rows))
    for mhz in np.unique(clock):
        here = (clock == mhz) & seen
        if here.sum() >= 3:
            off[here] = power[here] - np.median(power[here])
    out, centred = _far_out(off)
    return out & seen, centred
