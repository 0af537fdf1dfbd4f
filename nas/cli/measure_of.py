"""`nas measure --of`: what a plan or a result asks for, and how far its predictions were off."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from nas.devices import Device
    from nas.measure import Job
    from nas.measure.table import TextRow
    from nas.measure.wanted import Asked, Wanted
    from nas.pareto.records import VerifiedCosts


def measure_of(
    path: Path,
    out: Path,
    log: Console,
    *,
    device: str | None,
    space: str | None,
    points: int | None,
    levels: str | None,
    backend: str | None,
    precision: str | None,
    batch: str | None,
    power_mode: str | None,
    remote: str | None,
    sudo: bool,
    repeat: int,
    redo_noisy: bool,
    seconds: float,
    threads: int,
    seed: int,
    ray: str | None,
) -> dict[str, Any]:
    """Measure what `path` asks for into `out`; returns what `--json` prints.

    Device, space, power mode and batch are those of the file: an option that says otherwise is an
    InputError. Backend and precision may differ, and it is said.
    """
    from nas.cli.measure import cluster_nodes, described, run_jobs
    from nas.cli.measure_devices import level_numbers, remote_devices
    from nas.devices import get_device
    from nas.files import prepare_folder
    from nas.measure.table import Table
    from nas.measure.wanted import read_wanted, wanted_jobs
    from nas.remote.session import FailedRowsError
    from search_spaces import InputError

    if out.resolve() == path.resolve():
        raise InputError(f"--out is the file that --of reads, {path}; name another for the rows")
    wanted = read_wanted(path, device=device, space=space, n_points=points)
    if wanted.table is not None:
        prepare_folder(path.parent)  # the costs go there: better said before hours than after them
    kind = _chosen(wanted, backend, precision, log, on_board=remote is not None)
    kind |= {"batch": _agreed(wanted, "batch", batch)}
    mode, name = _agreed(wanted, "power_mode", power_mode), device or wanted.device
    if remote is None:
        on = get_device(name, power_mode=mode, threads=threads, seconds=seconds, **kind)
    else:
        common = {"power_mode": mode, "sudo": sudo, "model": wanted.about["backend"]}
        (on,) = remote_devices(remote, name, [tuple(kind.values())], log, **common)
    if ray is not None and on.name != "host":
        raise InputError(f"--ray measures on nodes of a cluster; {path} is for {on.name}")
    wanted.check_device(on)
    if levels is not None:
        wanted = wanted.only(level_numbers(levels, on))
    jobs, of = wanted_jobs(wanted, on, repeats=repeat, seed=seed)
    log.print(_announced(wanted, on), markup=False)
    table = Table(out)
    nodes = None if ray is None else cluster_nodes(ray, out, log, threads=threads)
    try:
        told = described(run_jobs(jobs, table, log, redo_noisy=redo_noisy, nodes=nodes))
    except FailedRowsError:
        if wanted.table is not None:
            with suppress(InputError):  # what did run is of use; then the failure is said
                _verify(wanted, on, of, table, log)
        raise
    if wanted.table is not None:
        return told | {"verified_cost": _verify(wanted, on, of, table, log)}
    _say_clocks(table.rows, of, on, log)
    log.print(
        f"search with them: nas search ... --measurements {out}", soft_wrap=True, markup=False
    )
    return told


def _agreed(wanted: Wanted, name: str, given: Any) -> Any:
    """What the file says; InputError where an option says something else."""
    from search_spaces import InputError

    held = wanted.about[name]
    if held is not None and given not in (None, str(held)):
        option = name.replace("_", "-")
        raise InputError(
            f"{wanted.path} is for --{option} {held}, got {given}; its costs hold for that alone"
        )
    return given if held is None else held


def _chosen(
    wanted: Wanted, backend: str | None, precision: str | None, log: Console, *, on_board: bool
) -> dict[str, Any]:
    """Backend and precision: the file's, or the user's with a remark."""
    from nas.remote.device import RUNNERS
    from search_spaces import InputError

    held = {name: wanted.about[name] for name in ("backend", "precision")}
    given = {"backend": backend, "precision": precision}
    kind = {name: given[name] or held[name] for name in held}
    if on_board and backend is None and held["backend"] not in (None, *RUNNERS):
        raise InputError(
            f"{wanted.path} is for backend {held['backend']}, a board measures with "
            f"{' or '.join(RUNNERS)}; choose one with --backend"
        )
    for name in held:
        if held[name] not in (None, kind[name]):
            log.print(
                f"warning: {wanted.path} is for {name} {held[name]}, measured with {kind[name]}",
                markup=False,
            )
    return kind


def _announced(wanted: Wanted, device: Device) -> str:
    """What is going to be measured, before it takes its time."""
    levels = {asked.level for asked in wanted.asked}
    of = f" of {len(wanted.points)} points" if wanted.points else ""
    return (
        f"{wanted.path}: {len(wanted.asked)} programs{of} at {len(levels)} "
        f"level{'s' * (len(levels) > 1)} of {device.name} {device.power_mode or ''} "
        f"{device.backend} {device.precision}, {device.source}"
    )


def _verify(
    wanted: Wanted, device: Device, jobs: dict[Asked, list[Job]], table: Any, log: Console
) -> VerifiedCosts:
    """Costs of the points into the result and its report; on the screen how they compare."""
    from nas.cli.output import command_line
    from nas.cli.verified import verified_cost_lines
    from nas.report import write_report
    from nas.search.verify_cost import verify_cost

    assert wanted.table is not None
    told = verify_cost(wanted, device, jobs, table.rows, file=table.path, command=command_line())
    wanted.table.write_json(wanted.path)
    report = wanted.path.with_name("report.html")
    write_report(wanted.table.content, report, knees=wanted.table.knees())
    for line in verified_cost_lines(wanted.table.content):
        log.print(line, markup=False)
    log.print(f"written into {wanted.path} and {report}", soft_wrap=True, markup=False)
    return told


def _say_clocks(
    rows: list[TextRow], jobs: dict[Asked, list[Job]], device: Device, log: Console
) -> None:
    """A remark where a board measured at the clocks it had."""
    from nas.measure import row_key
    from nas.measure.wanted import off_clock

    keys = {row_key(job.about): asked for asked, own in jobs.items() for job in own}
    off = [row for row in rows if (a := keys.get(row_key(row))) and off_clock(row, a, device)]
    if off:
        log.print(
            f"warning: {len(off)} rows were measured at the clocks found, not at their level's "
            "(column `notes`; --sudo sets clocks as root)"
        )
