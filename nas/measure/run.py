"""What every kind of `nas measure` does with its jobs: run them, then say how noisy they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
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

    scratch = settings.out.with_name(settings.out.name + ".tune")
    return partial(
        run_on_nodes, settings.ray, threads=settings.threads, scratch=scratch, tell=listener.say
    )


def run_jobs(settings: MeasureSettings, jobs: list[Job], table: Table, listener: Listener) -> Noise:
    """Measure what is missing, here or by nodes, with progress; then say how noisy it is."""
    from nas.files import prepare_folder
    from nas.measure import check_sources, measure_rows, one_by_one, row_key
    from nas.measure.noise import mixed_processors, noise

    check_sources(jobs, table)
    nodes = cluster_nodes(settings, listener)
    if nodes is None:
        warn_if_busy(jobs, listener)
    prepare_folder(table.path.parent)
    wanted = {row_key(job.about) for job in jobs}
    if settings.redo_noisy:
        again = noise([row for row in table.rows if row_key(row) in wanted]).noisy
        dropped = table.keep(lambda row: row_key(row) not in again)
        listener.say(f"{dropped} noisy rows are measured again")
    done = len(wanted & {row_key(row) for row in table.rows})
    listener.row(done, len(jobs), "")
    for done, row in measure_rows(jobs, table, nodes or one_by_one):
        listener.row(done, len(jobs), f"{row['latency_ms']:.4g} ms {row['source']}")
    listener.say(f"{len(jobs)} rows in {table.path}")
    rows = [row for row in table.rows if row_key(row) in wanted]
    found = noise(rows)
    for line in (*found.lines(), *mixed_processors(rows)):
        listener.say(line)
    if found.noisy:
        told = "redo_noisy=True"
        if settings.command:
            told = f"{settings.command.removesuffix(' --redo-noisy')} --redo-noisy"
        listener.say(f"{len(found.noisy)} rows are noisy; to measure them again:")
        listener.say(told)
    return found


def described(found: Noise) -> Told:
    """The noise and the noisy rows as a script reads them."""
    from search_spaces import ROW_KEY

    noisy = [dict(zip(ROW_KEY, key, strict=True)) for key in sorted(found.noisy)]
    return {"noise": found.figures(), "noisy": noisy}


def warn_if_busy(jobs: list[Job], listener: Listener) -> None:
    from nas.devices.host import busy_cores

    load = busy_cores()
    if any(job.about["device"] == "host" for job in jobs) and load is not None and load > 0.5:
        listener.say(f"warning: {load:.1f} processes are running; stop them for rows one can trust")
