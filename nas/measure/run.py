"""What every kind of `nas measure` does with its jobs: run them, then say how noisy they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from nas.words import counted
from search_spaces import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from nas.measure import Job, Run
    from nas.measure.listener import Listener
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


def cluster_nodes(settings: MeasureSettings, listener: Listener) -> Run | None:
    """The nodes that measure, of the Ray cluster that `settings` name; None without one."""
    if settings.ray is None:
        return None
    from functools import partial

    from nas.measure.nodes import run_on_nodes  # which needs Ray

    scratch = settings.out.with_name(f".{settings.out.name}.nas.tune")
    return partial(
        run_on_nodes,
        settings.ray,
        threads=settings.threads or 1,
        scratch=scratch,
        tell=listener.say,
    )


def run_jobs(settings: MeasureSettings, jobs: list[Job], table: Table, listener: Listener) -> Noise:
    """Measure what is missing, here or by nodes, with progress; then say how noisy it is."""
    from nas.files import prepare_folder
    from nas.measure import check_sources, measure_rows, one_by_one, row_key
    from nas.measure.noise import mixed_processors, noise

    check_sources(jobs, table)
    nodes = cluster_nodes(settings, listener)
    if nodes is None and any(job.about["device"] == "host" for job in jobs):
        check_cores(settings.threads or 1)
        warn_if_busy(listener)
    prepare_folder(table.path.parent)
    wanted = {row_key(job.about) for job in jobs}
    if settings.redo_noisy:
        again = noise([row for row in table.rows if row_key(row) in wanted]).noisy
        dropped = table.keep(lambda row: row_key(row) not in again)
        listener.say(f"measured again: {counted(dropped, 'noisy row')}")
    before = len(table.rows)
    done = len(wanted & {row_key(row) for row in table.rows})
    listener.row(done, len(jobs), "")
    for done, row in measure_rows(jobs, table, nodes or one_by_one):
        listener.row(done, len(jobs), f"{row['latency_ms']:.4g} ms {row['source']}")
    alone = len(table.rows) == len(jobs)
    added = f"{counted(len(table.rows) - before, 'row')} added, {len(table.rows)}"
    listener.say(f"{counted(len(jobs), 'row') if alone else added} in {table.path}")
    if settings.power_log is not None:
        listener.say(import_energy(table, settings.power_log))
    rows = [row for row in table.rows if row_key(row) in wanted]
    found = noise(rows)
    for line in (*found.lines(), *mixed_processors(rows)):
        listener.say(line)
    if found.noisy:
        told = "redo_noisy=True"
        if settings.command:
            told = f"{settings.command.removesuffix(' --redo-noisy')} --redo-noisy"
        listener.say(f"noisy: {counted(len(found.noisy), 'row')}; to measure again:")
        listener.say(told)
    return found


def import_energy(table: Table, path: Path) -> str:
    """Energy from the power log at `path` into the rows that lack it; says how many."""
    from nas.devices import load_profile, profile_names
    from nas.measure.power_log import read_power_log, with_energy

    names = {row["device"] for row in table.rows if row.get("device") in profile_names()}
    rails = load_profile(names.pop()).rails if len(names) == 1 else None
    log = read_power_log(path, rails.total if rails else ())
    rows, told = with_energy(table.rows, log)
    table.replace(rows)
    left = f"; too short, or outside the log: {told.n_left}" if told.n_left else ""
    zone = f", whose clock is {told.shift_s / 3600:+g} h from UTC" if told.shift_s else ""
    return f"energy of {counted(told.n_rows, 'row')} from {path} ({log.kind}{zone}){left}"


def described(found: Noise) -> Told:
    """The noise and the noisy rows as a script reads them."""
    from search_spaces.rows import ROW_KEY

    noisy = [dict(zip(ROW_KEY, key, strict=True)) for key in sorted(found.noisy)]
    return {"noise": found.figures(), "noisy": noisy}


def check_cores(threads: int) -> None:
    """InputError where threads would wait for each other: such times are of nothing."""
    cores = os.cpu_count() or threads
    if threads > cores:
        raise InputError(f"`threads` must be at most {cores}, this machine's cores, got {threads}")


def warn_if_busy(listener: Listener) -> None:
    """Say it where this machine, which is to be measured, has other work."""
    from nas.devices.host import busy_cores

    load = busy_cores()
    if load is not None and load > 0.5:
        listener.say(f"warning: {load:.1f} processes are running; stop them for rows one can trust")
