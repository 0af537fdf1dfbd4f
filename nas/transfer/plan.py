"""Which programs are worth measuring on a target, at which levels: a table to fill in."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from nas.devices import Device
from nas.files import write_for_user
from nas.pareto import farthest, normalised
from nas.transfer.programs import Programs
from nas.transfer.proxy import Proxy
from predictors import csv_text
from search_spaces import Bools, DvfsLevel, Floats, Genes, Row, Space
from search_spaces.rows import new_row, program_columns

MIN_PROGRAMS = 5  # fewer cannot be ranked
PLAN_COLUMNS = ("power_w", "energy_mj", "latency_ms", "latency_p95_ms", "n_runs", "source")


def choose_levels(levels: list[DvfsLevel]) -> list[DvfsLevel]:
    """The lowest, the top and the middle level: the law of the clocks is fitted between them."""
    indices = dict.fromkeys((0, len(levels) - 1, len(levels) // 2))
    return [levels[i] for i in indices]


def choose_programs(
    space: Space, proxy: Proxy, n: int, rng: np.random.Generator
) -> tuple[Genes, Bools]:
    """`n` programs of different subnets, far apart in proxy latency and number of kernels.

    One is the largest subnet without exits, which savings are told against; each further one is the
    farthest from those chosen. They are sorted by their latency on the proxy.
    """
    genes = np.unique(space.sample_spread(max(256, 8 * n), rng, repeats=True), axis=0)
    genes = genes[rng.permutation(len(genes))]
    genes = np.concatenate([space.largest, genes[(genes != space.largest).any(axis=1)]])
    heads = np.zeros((len(genes), space.n_exits + 1), dtype=bool)
    deepest = rng.integers(0, space.n_exits + 1, len(genes))
    deepest[0] = space.n_exits
    heads[np.arange(len(genes)), deepest] = True
    heads[1::2] = np.arange(space.n_exits + 1) <= deepest[1::2, None]
    programs = Programs(space, genes, heads)
    known: Floats = np.log([proxy.latency_ms(programs), programs.kernels])
    chosen = farthest(normalised(known.T), [0], n)
    chosen.sort(key=lambda i: float(known[0, i]))
    return genes[chosen], heads[chosen]


def plan_rows(
    space: Space, device: Device, proxy: Proxy, n_rows: int, rng: np.random.Generator
) -> list[Row]:
    """`n_rows` to measure, with empty cost cells: the same programs at every chosen level."""
    levels = choose_levels(device.levels)
    n_programs = max(MIN_PROGRAMS, -(-n_rows // len(levels)))
    genes, heads = choose_programs(space, proxy, n_programs, rng)
    programs = [
        program_columns(space, subnet, np.flatnonzero(asked).tolist())
        for subnet, asked in zip(space.subnets(genes), heads, strict=True)
    ]
    return [
        cast(Row, {**new_row(program, device, level), **dict.fromkeys(PLAN_COLUMNS)})
        for level in levels
        for program in programs
    ][:n_rows]


def write_plan(rows: list[Row], path: Path) -> None:
    """Write planned rows as CSV."""
    write_for_user(path, plan_text(rows))


def plan_text(rows: list[Row]) -> str:
    """Planned rows as CSV."""
    return csv_text(pd.DataFrame(rows))
