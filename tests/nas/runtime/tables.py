"""A small board whose every figure can be computed by hand, for tests of the governor."""

from __future__ import annotations

import numpy as np

from nas.runtime.arrivals import Frames
from nas.runtime.policies import Demands
from nas.runtime.simulated import Board, Model
from nas.runtime.table import CostTable


def small_table(n_levels: int = 4, n_rows: int = 5, seed: int = 0) -> CostTable:
    """Clocks 300, 600, ... MHz; row 0 is the largest and most accurate; two exits but for row 0."""
    rng = np.random.default_rng(seed)
    mhz = 300.0 * np.arange(1, n_levels + 1)
    work = np.sort(rng.uniform(1, 4, n_rows))[::-1] * 1500  # thousand cycles of the whole network
    whole = work[:, None] / mhz + 0.3
    time_ms = np.stack([0.4 * whole, whole], axis=1)
    time_ms[0, 0] = time_ms[0, 1]  # no exits: the first entry is the last
    rates = np.tile([0.6, 0.4], (n_rows, 1))
    rates[0] = [1, 0]
    idle_w = 2 + 0.5 * (mhz / mhz[-1]) ** 2
    active = idle_w + 4 * (mhz / mhz[-1]) ** 2.2
    power_w = np.broadcast_to(active, time_ms.shape) * np.array([0.95, 1.0])[None, :, None]
    return CostTable(
        [f"c{i}" for i in range(n_rows)],
        [f"s{i}" for i in range(n_rows)],
        [[1], *[[0, 1]] * (n_rows - 1)],
        [[], *[[0.9]] * (n_rows - 1)],
        np.linspace(6, 10, n_rows),
        rates,
        time_ms,
        power_w,
        idle_w,
        mhz,
        "simulated",
    )


def small_board(table: CostTable, delay_ms: float = 1.0, **more: object) -> Board:
    delays = np.full((table.n_levels, table.n_levels), delay_ms)
    np.fill_diagonal(delays, 0)
    return Board(table.idle_w, delays, **more)  # type: ignore[arg-type]


def load(
    table: CostTable,
    *,
    n: int = 5,
    period_ms: float = 100.0,
    seconds: float = 10.0,
    demands: Demands | None = None,
    varied: bool = False,
    seed: int = 0,
    factor: float = 1.0,
) -> Model:
    """Periodic frames of `n` images (1 to 2n - 1 if varied) whose exits are drawn at the rates."""
    rng = np.random.default_rng(seed)
    at = np.arange(period_ms, 1e3 * seconds, period_ms)
    sizes = rng.integers(1, 2 * n, len(at)) if varied else np.full(len(at), n)
    hard = rng.random(1000)
    leave = (hard[None, :] > table.rates[:, :1]).astype(int)
    correct = rng.random((len(table.ids), 1000)) * 100 > table.error_pct[:, None]
    frames = Frames(at, sizes, [rng.integers(0, 1000, k) for k in sizes])
    asked = demands or Demands(0.9 * period_ms, 10.0)
    return Model(table, leave, correct, frames, [(0.0, asked)], factor)
