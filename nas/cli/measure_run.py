"""What every kind of `nas measure` does with its jobs: run them, then say how noisy they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from rich.console import Console

    from nas.measure import Job, Run
    from nas.measure.noise import Noise
    from nas.measure.settings import MeasureSettings
    from nas.measure.table import Table
    from nas.pareto.records import VerifiedCosts


class Told(TypedDict, total=False):
    """What `--json` prints."""

    noise: dict[str, float | int | None]
    noisy: list[dict[str, str]]  # the columns that name a row
    lut: list[dict[str, object]]  # of each host: the error of sums of operators
    verified_cost: VerifiedCosts


def cluster_nodes(settings: MeasureSettings, log: Console) -> Run | None:
    """The nodes that measure, of the Ray cluster that `settings` name; None without one."""
    if settings.ray is None:
        return None
    from functools import partial

    from nas.measure.nodes import run_on_nodes  # which needs Ray

    tell = partial(log.print, markup=False, soft_wrap=True)
    scratch = settings.out.with_name(settings.out.name + ".tune")
    return partial(run_on_nodes, settings.ray, threads=settings.threads, scratch=scratch, tell=tell)


def run_jobs(settings: MeasureSettings, jobs: list[Job], table: Table, log: Console) -> Noise:
    """Measure what is missing, here or by nodes, with progress; then say how noisy it is."""
    from nas.cli.output import command_line, progress
    from nas.files import prepare_folder
    from nas.measure import check_sources, measure_rows, one_by_one, row_key
    from nas.measure.noise import mixed_processors, noise

    check_sources(jobs, table)
    nodes = cluster_nodes(settings, log)
    if nodes is None:
        warn_if_busy(jobs, log)
    prepare_folder(table.path.parent)
    wanted = {row_key(job.about) for job in jobs}
    if settings.redo_noisy:
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


def described(found: Noise) -> Told:
    """The noise and the noisy rows as a script reads them."""
    from search_spaces import ROW_KEY

    noisy = [dict(zip(ROW_KEY, key, strict=True)) for key in sorted(found.noisy)]
    return {"noise": found.figures(), "noisy": noisy}


def warn_if_busy(jobs: list[Job], log: Console) -> None:
    from nas.devices.host import busy_cores

    load = busy_cores()
    if any(job.about["device"] == "host" for job in jobs) and load is not None and load > 0.5:
        log.print(f"warning: {load:.1f} processes are running; stop them for rows one can trust")
