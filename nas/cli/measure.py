"""`nas measure`: rows of real or simulated cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def measure(
    out: Annotated[Path, typer.Option(help="CSV of rows; a file that exists is continued.")],
    device: Annotated[str, typer.Option(help="`host`, or a profile that `nas devices` lists.")],
    space: Annotated[str, typer.Option(help="Search space; `nas spaces` lists them.")],
    samples: Annotated[int, typer.Option(help="Subnets, from small to large.")] = 320,
    level: Annotated[int, typer.Option(help="DVFS level, 0 = slowest; -1 = fastest.")] = -1,
    seconds: Annotated[float, typer.Option(help="Timed seconds per row (host).")] = 0.3,
    threads: Annotated[int, typer.Option(help="CPU threads (host).")] = 1,
    seed: Annotated[int, typer.Option(help="Which subnets are drawn.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Measure programs of sampled subnets: every single exit, and all exits together.

    Example: `nas measure --device host --space resnet-cifar --out rows.csv`
    """
    from nas.cli.output import console, progress
    from nas.devices import HostDevice, get_device
    from nas.devices.host import busy_cores
    from nas.files import prepare_folder
    from nas.measure import measure_rows, programs
    from search_spaces import InputError, get_space

    if samples < 1:
        raise InputError(f"--samples must be at least 1, got {samples}")
    log = console(quiet=quiet)
    load = busy_cores()
    target = HostDevice(threads=threads, seconds=seconds) if device == "host" else None
    if target is not None and load is not None and load > 0.5:
        log.print(f"warning: {load:.1f} processes are running; stop them for rows one can trust")
    found = get_space(space)
    chosen = target or get_device(device)
    if not -len(chosen.levels) <= level < len(chosen.levels):
        raise InputError(f"{device} has levels 0 to {len(chosen.levels) - 1}, got --level {level}")
    level = range(len(chosen.levels))[level]
    prepare_folder(out.parent)
    todo = programs(found, samples, seed)
    with progress(log) as bar:
        task = bar.add_task("measure", total=len(todo), note="")
        for done, row in measure_rows(chosen, found, todo, out, level=level):
            note = f"{row['latency_ms']:.4g} ms {row['source']}"
            bar.update(task, completed=done, note=note)
    log.print(f"{len(todo)} rows in {out}")
