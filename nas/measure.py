"""Programs to measure, and their rows: appended one by one, so that a killed run goes on."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nas.devices import Device
from nas.files import write_bytes
from search_spaces import Space, Subnet, format_heads

N_ATTEMPTS = 20  # draws until so many subnets are distinct; a small space may have fewer
Program = tuple[Subnet, tuple[int, ...]]


def programs(space: Space, n_subnets: int, seed: int) -> list[Program]:
    """For `n_subnets` each single exit, and all exits together; in random order.

    Random order keeps a slow drift of the machine from looking like an effect of size.
    """
    rng = np.random.default_rng(seed)
    last = space.n_exits
    sets = [(k,) for k in range(last + 1)] + [tuple(range(last + 1))] * (last > 0)
    subnets: dict[Subnet, None] = {}
    for _ in range(N_ATTEMPTS):
        for subnet in space.subnets(space.sample_spread(n_subnets, rng)):
            if len(subnets) < n_subnets:
                subnets[subnet] = None
    listed = [(subnet, heads) for subnet in subnets for heads in sets]
    return [listed[i] for i in rng.permutation(len(listed))]


def measure_rows(
    device: Device, space: Space, todo: list[Program], out: Path, *, level: int = 0
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Measure what `out` does not hold yet; yields (rows done, row), each row already on disk."""
    done = _measured(out)
    wanted = device.levels[level].level
    left = [p for p in todo if (str(p[0]), format_heads(p[1]), str(wanted)) not in done]
    for n, (subnet, heads) in enumerate(left, start=1 + len(todo) - len(left)):
        row = device.measure(space, subnet, heads, wanted)
        _append(out, row)
        yield n, row


def _measured(out: Path) -> set[tuple[str, str, str]]:
    """Programs whose complete line is in `out`; a torn last line is cut off."""
    if not out.exists():
        return set()
    data = out.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        write_bytes(out, whole)
    rows = csv.DictReader(whole.decode().splitlines())
    return {(row["subnet"], row["heads"], row["level"]) for row in rows}


def _append(out: Path, row: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = not out.exists() or out.stat().st_size == 0
    with out.open("a", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(row), lineterminator="\n")
        if fresh:
            writer.writeheader()
        writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())
