"""The few rows that are measured on each target: which programs, where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nas.files import write_text
from nas.pareto import normalised
from nas.search.costs import kernel_counts
from nas.search.proxy import Proxy
from nas.search.settings import SearchSettings
from predictors import check_target_rows, read_rows
from search_spaces import DvfsLevel, Genes, InputError, Space, format_heads, parse_heads

MIN_PROGRAMS = 5  # fewer cannot be ranked
PLAN_COLUMNS = ("power_w", "energy_mj", "latency_ms", "latency_p95_ms", "n_runs", "source")


def choose_levels(levels: list[DvfsLevel]) -> list[DvfsLevel]:
    """The lowest, the top and the middle level: the law of the clocks is fitted between them."""
    indices = dict.fromkeys((0, len(levels) - 1, len(levels) // 2))
    return [levels[i] for i in indices]


def choose_programs(
    space: Space, proxy: Proxy, n: int, rng: np.random.Generator
) -> tuple[Genes, NDArray[np.bool_]]:
    """`n` programs of different subnets, far apart in proxy latency and number of kernels.

    One is the largest subnet without exits, which savings are told against; each further one is the
    farthest from those chosen (Gonzalez, 1985). They are sorted by their latency on the proxy.
    """
    genes = np.unique(space.sample_spread(max(256, 8 * n), rng), axis=0)
    genes = genes[rng.permutation(len(genes))]
    genes = np.concatenate([space.largest, genes[(genes != space.largest).any(axis=1)]])
    heads = np.zeros((len(genes), space.n_exits + 1), dtype=bool)
    deepest = rng.integers(0, space.n_exits + 1, len(genes))
    deepest[0] = space.n_exits
    heads[np.arange(len(genes)), deepest] = True
    heads[1::2] = np.arange(space.n_exits + 1) <= deepest[1::2, None]
    known: NDArray[np.float64] = np.log(
        [proxy.latency_ms(genes, heads), kernel_counts(space, genes, heads)]
    )
    place = normalised(known.T)
    chosen, distance = [0], np.full(len(genes), np.inf)
    while len(chosen) < min(n, len(genes)):
        distance = np.minimum(distance, ((place - place[chosen[-1]]) ** 2).sum(axis=1))
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
    chosen.sort(key=lambda i: float(known[0, i]))
    return genes[chosen], heads[chosen]


def plan_rows(
    space: Space, device: Any, proxy: Proxy, n_rows: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """`n_rows` to measure, with empty cost cells: the same programs at every chosen level."""
    levels = choose_levels(device.levels)
    n_programs = max(MIN_PROGRAMS, -(-n_rows // len(levels)))
    genes, heads = choose_programs(space, proxy, n_programs, rng)
    return [
        {
            "space": space.name,
            "subnet": str(subnet),
            "heads": format_heads(np.flatnonzero(asked).tolist()),
            "device": device.name,
            "level": level.level,
            "gpu_mhz": level.gpu_mhz,
            "cpu_mhz": level.cpu_mhz,
            "emc_mhz": level.emc_mhz,
            "power_mode": device.power_mode,
            "processor": device.processor,
            "backend": device.backend,
            "precision": device.precision,
            "batch": device.batch,
            **dict.fromkeys(PLAN_COLUMNS),
        }
        for level in levels
        for subnet, asked in zip(space.subnets(genes), heads, strict=True)
    ][:n_rows]


def write_plan(rows: list[dict[str, Any]], path: Path) -> None:
    """Write planned rows as CSV."""
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def measure_plan(space: Space, device: Any, planned: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The planned rows with the costs that `device` measures or simulates."""
    rows = []
    for plan in planned:
        heads = parse_heads(plan["heads"], space.n_exits)
        subnet = space.parse(plan["subnet"])
        rows.append(plan | device.measure(space, subnet, heads, plan["level"]))
    return rows


def planned_rows(
    settings: SearchSettings, space: Space, device: Any, proxy: Proxy
) -> list[dict[str, Any]]:
    """The rows that a search of `settings` wants of one device."""
    rng = np.random.default_rng(settings.seed)
    return plan_rows(space, device, proxy, settings.n_target_rows, rng)


def target_rows(
    settings: SearchSettings,
    space: Space,
    devices: Sequence[Any],
    proxy: Proxy,
    paths: Mapping[str, Path],
) -> list[pd.DataFrame]:
    """The rows of every device: at its path, the user's, measured or simulated, in this order."""
    given = None
    if settings.measurements is not None and not all(p.exists() for p in paths.values()):
        given = _measured_rows(settings.measurements, space, list(paths))
    for device in devices:
        path = paths[device.name]
        if path.exists():
            continue
        if given is not None and (given["device"] == device.name).any():
            own = given[given["device"] == device.name]
            write_text(path, own.to_csv(index=False, lineterminator="\n"))
        else:
            write_plan(
                measure_plan(space, device, planned_rows(settings, space, device, proxy)), path
            )
    return [read_rows(paths[device.name], space) for device in devices]


def _measured_rows(path: Path, space: Space, targets: Sequence[str]) -> pd.DataFrame:
    """The user's rows, enough of every target that they hold."""
    rows = read_rows(path, space)
    check_target_rows(rows)
    others = sorted(set(rows["device"]) - set(targets))
    if others:
        named = "the target is" if len(targets) == 1 else "the targets are"
        raise InputError(
            f"{path} holds rows of {', '.join(others)}, "
            f"{named} {', '.join(targets)}; give rows of the target alone"
        )
    for _, own in rows.groupby("device"):
        check_target_rows(own)
    return rows
