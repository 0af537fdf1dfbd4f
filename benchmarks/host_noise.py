"""How well this machine agrees with itself: the ceiling of every predictor of its rows.

    python benchmarks/host_noise.py --rows runs/host_noise.csv

30 subnets of the zoo's space, each single exit and all exits, five times, in one random order: what
`nas measure` does, with its settings. The rank correlation between two repeats is what a perfect
predictor would reach. Rows are kept in `--rows`: a killed run goes on. Stop everything else first.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from nas.devices import HostDevice
from nas.devices.host import busy_cores, cpu_name
from nas.files import prepare_folder
from nas.measure import measure_rows, program_jobs, programs
from nas.measure.noise import noise
from nas.measure.table import Table
from search_spaces import get_space, write_text

RESULTS = Path(__file__).parent / "results" / "host_noise.json"
SPACE = "resnet-cifar"


def parsed() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--rows", type=Path, required=True, help="CSV of the rows; continued")
    options.add_argument("--out", type=Path, default=RESULTS)
    options.add_argument("--subnets", type=int, default=30)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--seconds", type=float, default=0.3)
    options.add_argument("--backend", default="pytorch")
    return options.parse_args()


def main() -> None:
    asked = parsed()
    prepare_folder(asked.rows.parent)
    space, load = get_space(SPACE), busy_cores()
    device = HostDevice(backend=asked.backend, seconds=asked.seconds)
    todo = programs(space, asked.subnets, 0)
    jobs = program_jobs([device], space, todo, levels=[0], repeats=asked.repeats)
    table = Table(asked.rows)
    for n, row in measure_rows(jobs, table):
        print(f"\r{n} of {len(jobs)}: {row['latency_ms']:.3f} ms ", end="", flush=True)
    print()
    by_heads = {h: [r for r in table.rows if r["heads"] == h] for _, h in sorted_heads(table.rows)}
    result = {
        "command": "python benchmarks/host_noise.py --rows runs/host_noise.csv",
        "host": f"{cpu_name()}, {device.threads} thread",
        "source": "measured",
        "space": space.name,
        "backend": device.backend,
        "n_subnets": asked.subnets,
        "n_repeats": asked.repeats,
        "seconds": asked.seconds,
        "busy_processes_at_start": load,
        "all_programs": noise(table.rows).figures(),
        "by_heads": {heads: noise(rows).figures() for heads, rows in by_heads.items()},
    }
    write_text(asked.out, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def sorted_heads(rows: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """The sets of exits in `rows`, small ones first."""
    return sorted({(len(row["heads"]), row["heads"]) for row in rows})


if __name__ == "__main__":
    main()
