"""`nas measure`: rows of real or simulated cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from nas.devices import Device
    from nas.measure import Job, Run
    from nas.measure.noise import Noise
    from nas.measure.table import Table


def measure(
    out: Annotated[Path, typer.Option(help="CSV of rows; a file that exists is continued.")],
    device: Annotated[
        str | None, typer.Option(help="`host`, or a profile that `nas devices` lists.")
    ] = None,
    space: Annotated[
        str | None, typer.Option(help="Search space; `nas spaces` lists them.")
    ] = None,
    of: Annotated[
        Path | None,
        typer.Option(help="Measure what this asks for: a plan, or a pareto.json to verify."),
    ] = None,
    points: Annotated[
        int | None, typer.Option(help="Points per level, spread over the front (--of pareto.json).")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(help="Subnets, from small to large.", show_default="320")
    ] = None,
    levels: Annotated[
        str | None,
        typer.Option(
            "--levels",
            "--level",
            help="DVFS levels: `all`, or `0,3,-1` (-1: fastest).",
            show_default="-1; those of --of",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="On host pytorch, pytorch-compiled, onnxruntime, tensorrt; `a,b`: both."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp16, int8; `a,b`: both.")] = None,
    batch: Annotated[
        str | None, typer.Option(help="Images per call; `1,8`: both.", show_default="1")
    ] = None,
    power_mode: Annotated[str | None, typer.Option(help="Power mode of a profile.")] = None,
    remote: Annotated[
        str | None, typer.Option(help="USER@HOST: measure on this board over ssh.")
    ] = None,
    sudo: Annotated[
        bool, typer.Option("--sudo", help="Root on the board by `sudo -n`, to set clocks.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(metavar="auto|HOST:PORT|local", help="Nodes of a Ray cluster measure (host)."),
    ] = None,
    repeat: Annotated[int, typer.Option(help="Times that every row is measured.")] = 1,
    per_operator: Annotated[
        bool, typer.Option("--per-operator", help="Measure operators alone: a look-up table.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(help="Rows of whole programs to compare the table with (--per-operator)."),
    ] = None,
    ofa_lut: Annotated[
        Path | None,
        typer.Option(help="Measure once-for-all's blocks; write DIR/224_lookup_table.yaml."),
    ] = None,
    redo_noisy: Annotated[
        bool, typer.Option("--redo-noisy", help="Measure noisy rows of the file again.")
    ] = False,
    seconds: Annotated[float, typer.Option(help="Timed seconds per row (host).")] = 0.3,
    threads: Annotated[int, typer.Option(help="CPU threads (host).")] = 1,
    seed: Annotated[int, typer.Option(help="Which subnets are drawn, in which order.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    json: Annotated[bool, typer.Option("--json", help="The noise as JSON on stdout.")] = False,
) -> None:
    """Measure programs of sampled subnets: every single exit, and all exits together.

    Rows are appended as they are measured, in random order; a killed run goes on where it stopped.
    Ends with how noisy the rows are, and which to measure again.

    With `--of` the programs are those of a file, on its device: of a plan (`nas search --plan`),
    for `nas search --measurements`; or what the points of a pareto.json run, whose costs are then
    put beside the predicted ones, on the screen, in the file and in its report.html.

    Example: `nas measure --device host --space resnet-cifar --repeat 2 --out rows.csv`

    Example: `nas measure --of runs/nx/pareto.json --remote me@board --points 5 --out rows.csv`
    """
    from dataclasses import asdict
    from itertools import product

    from nas.cli.measure_devices import level_numbers, names, numbers, remote_devices
    from nas.cli.output import console, print_json
    from nas.devices import get_device
    from nas.measure import operator_jobs, program_jobs, programs
    from nas.measure.ofa_table import block_jobs, write_table
    from nas.measure.per_operator import lut_error, machines, operators_and_programs
    from nas.measure.table import Table
    from search_spaces import InputError, get_space

    for name, value in (("samples", samples), ("repeat", repeat)):
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    if against is not None and not per_operator:
        raise InputError("--against compares a table of operators: give --per-operator too")
    log = console(quiet=quiet)
    if of is not None:
        if samples is not None or per_operator or ofa_lut is not None:
            raise InputError("--of says what is measured: leave out --samples and look-up tables")
        from nas.cli.measure_of import measure_of

        told = measure_of(
            of,
            out,
            log,
            device=device,
            space=space,
            points=points,
            levels=levels,
            backend=backend,
            precision=precision,
            batch=batch,
            power_mode=power_mode,
            remote=remote,
            sudo=sudo,
            repeat=repeat,
            redo_noisy=redo_noisy,
            seconds=seconds,
            threads=threads,
            seed=seed,
            ray=ray,
        )
        if json:
            print_json(told)
        return
    if points is not None:
        raise InputError("--points chooses points of a result: name its pareto.json with --of")
    if device is None or space is None:
        raise InputError("give --device and --space, or a plan or a pareto.json with --of")
    if ray is not None and (device != "host" or remote is not None):
        raise InputError("--ray measures on nodes of a cluster: give --device host, no --remote")
    found, samples = get_space(space), samples or 320
    common = {"power_mode": power_mode, "threads": threads, "seconds": seconds}
    kinds = list(product(names(backend), names(precision), numbers("batch", batch or "1")))
    devices: list[Device] = (
        [get_device(device, backend=b, precision=p, batch=n, **common) for b, p, n in kinds]  # type: ignore[arg-type]
        if remote is None
        else remote_devices(remote, device, kinds, log, power_mode=power_mode, sudo=sudo)
    )
    hosts = machines(devices) if per_operator or ofa_lut else []
    order: dict[str, int] = {"repeats": repeat, "seed": seed}
    whole: list[pd.DataFrame] = []
    if ofa_lut is not None:
        jobs = block_jobs(hosts, found, ofa_lut, **order)
    elif per_operator:
        sampled = programs(found, samples, seed)
        operators, whole = operators_and_programs(hosts, found, sampled, against)
        jobs = operator_jobs(hosts, found, operators, **order)
    else:
        at = level_numbers(levels or "-1", devices[0])
        jobs = program_jobs(devices, found, programs(found, samples, seed), levels=at, **order)
    table = Table(out)
    nodes = None if ray is None else cluster_nodes(ray, out, log, threads=threads)
    result = described(run_jobs(jobs, table, log, redo_noisy=redo_noisy, nodes=nodes))
    if ofa_lut is not None:
        write_table(ofa_lut, jobs, table.rows, hosts[0])
        log.print(f"the table is in {ofa_lut}")
    for host, rows in zip(hosts, whole, strict=False):
        error = lut_error(found, table.rows, rows, host, seed=seed)
        result.setdefault("lut", []).append(asdict(error))
        log.print(error.line())
    if json:
        print_json(result)


def cluster_nodes(address: str, out: Path, log: Console, *, threads: int) -> Run:
    """The nodes that measure, of the Ray cluster at `address`."""
    from functools import partial

    from nas.measure.nodes import run_on_nodes

    tell = partial(log.print, markup=False, soft_wrap=True)
    scratch = out.with_name(out.name + ".tune")
    return partial(run_on_nodes, address, threads=threads, scratch=scratch, tell=tell)


def run_jobs(
    jobs: list[Job], table: Table, log: Console, *, redo_noisy: bool, nodes: Run | None = None
) -> Noise:
    """Measure what is missing, here or by `nodes`, with progress; then say how noisy it is."""
    from nas.cli.output import command_line, progress
    from nas.files import prepare_folder
    from nas.measure import check_sources, measure_rows, one_by_one, row_key
    from nas.measure.noise import mixed_processors, noise

    check_sources(jobs, table)
    if nodes is None:
        warn_if_busy(jobs, log)
    prepare_folder(table.path.parent)
    wanted = {row_key(job.about) for job in jobs}
    if redo_noisy:
        again = noise([row for row in table.rows if row_key(row) in wanted]).noisy
        dropped = table.keep(lambda row: row_key(row) not in again)
        log.print(f"{dropped} noisy rows are measured again")
    done = len(wanted & {row_key(row) for row in table.rows})
    with progress(log) as bar:
        task = bar.add_task("measure", total=len(jobs), completed=done, note="")
        for done, row in measure_rows(jobs, table, nodes or one_by_one):
            note = f"{row['latency_ms']:.4g} ms {row['source']}"
            bar.update(task, completed=done, note=note)
    log.print(f"{len(jobs)} rows in {table.path}")
    rows = [row for row in table.rows if row_key(row) in wanted]
    found = noise(rows)
    for line in (*found.lines(), *mixed_processors(rows)):
        log.print(line)
    if found.noisy:
        command = command_line().removesuffix(" --redo-noisy")
        log.print(f"{len(found.noisy)} rows are noisy; to measure them again:")
        log.print(f"{command} --redo-noisy", soft_wrap=True, markup=False)
    return found


def described(found: Noise) -> dict[str, Any]:
    """The noise and the noisy rows as a script reads them."""
    from search_spaces import ROW_KEY

    noisy = [dict(zip(ROW_KEY, key, strict=True)) for key in sorted(found.noisy)]
    return {"noise": found.figures(), "noisy": noisy}


def warn_if_busy(jobs: list[Job], log: Console) -> None:
    from nas.devices.host import busy_cores

    load = busy_cores()
    if any(job.about["device"] == "host" for job in jobs) and load is not None and load > 0.5:
        log.print(f"warning: {load:.1f} processes are running; stop them for rows one can trust")
