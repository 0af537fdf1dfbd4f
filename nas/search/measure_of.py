"""`nas measure --of`: what a plan or a result asks for, and how far its predictions were off."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from nas.words import counted

if TYPE_CHECKING:
    from nas.devices import Device
    from nas.measure import Job
    from nas.measure.listener import Listener
    from nas.measure.run import Told
    from nas.measure.settings import MeasureSettings
    from nas.measure.table import Table, TextRow
    from nas.measure.wanted import Asked, Wanted
    from nas.pareto.records import VerifiedCosts


Held = TypeVar("Held", str, int)


def measure_of(settings: MeasureSettings, listener: Listener) -> Told:
    """Measure what `settings.of` asks for into `settings.out`; returns what `--json` prints.

    Device, space, power mode and batch are those of the file: settings that say otherwise are an
    InputError. Backend and precision may differ, and it is said.
    """
    from nas.devices import level_numbers
    from nas.files import prepare_folder
    from nas.measure.run import described, run_jobs
    from nas.measure.table import Table, held_table
    from nas.measure.wanted import read_wanted, wanted_jobs
    from nas.remote.session import FailedRowsError
    from search_spaces import InputError

    s = settings
    assert s.of is not None
    wanted = read_wanted(s.of, device=s.device, space=s.space, n_points=s.n_points)
    if wanted.table is not None:
        try:  # the costs go there: better said before hours than after them
            prepare_folder(s.of.parent, "of")
        except InputError as error:
            raise InputError(f"{error}: costs are written back into its folder") from None
    on = _device(s, wanted, listener)
    wanted.check_device(on)
    if s.levels is not None:
        wanted = wanted.only(level_numbers(on, s.levels))
    jobs, of = wanted_jobs(wanted, on, repeats=s.repeats, seed=s.seed)
    listener.say(_announced(wanted, on))
    with held_table(s.out):
        table = Table(s.out)
        if s.redo_noisy:
            _drop_doubtful(wanted, on, table, listener)
        try:
            told = described(run_jobs(s, jobs, table, listener))
        except FailedRowsError:
            if wanted.table is not None:
                with suppress(InputError):  # what did run is of use; then the failure is said
                    _verify(wanted, on, of, table, s.command, listener)
            raise
    if wanted.table is not None:
        return told | {"verified_cost": _verify(wanted, on, of, table, s.command, listener)}
    _say_clocks(table.rows, of, on, listener)
    listener.say(f"search with them: nas search ... --measurements {s.out}")
    return told


def _drop_doubtful(wanted: Wanted, device: Device, table: Table, listener: Listener) -> None:
    """Take rows that contradict the others out of the file, so that they are measured again."""
    from nas.transfer.doubtful import doubtful_rows
    from nas.transfer.levels import with_clock
    from nas.transfer.proxy import load_proxy
    from predictors import read_rows

    if not table.rows:
        return
    rows = with_clock(read_rows(table.path, wanted.space), device.levels)
    found = doubtful_rows(wanted.space, load_proxy(wanted.space, "auto"), rows, device)
    bad = [row for row, out in zip(table.rows, found.rows.tolist(), strict=False) if out]
    for words in found.words:
        listener.say(f"measured again: {words}")
    table.keep(lambda row: row not in bad)


def _device(settings: MeasureSettings, wanted: Wanted, listener: Listener) -> Device:
    """The one device that the file is for, as the settings reach it."""
    from nas.measure.open_devices import open_devices
    from search_spaces import InputError

    s = settings
    backend, precision = _chosen(s, wanted, listener)
    batch = _agreed(wanted, "batch", wanted.about["batch"], s.batches[0])
    mode = _agreed(wanted, "power_mode", wanted.about["power_mode"], s.power_mode)
    kind, name = (backend, precision, batch), s.device or wanted.device
    (on,) = open_devices(s, name, [kind], listener, power_mode=mode, model=wanted.about["backend"])
    if s.ray is not None and on.name != "host":
        raise InputError(f"`ray` measures on nodes of a cluster; {s.of} is for {on.name}")
    return on


def _agreed(wanted: Wanted, name: str, held: Held | None, given: Held | None) -> Held | None:
    """What the file holds; InputError where an option says something else."""
    from search_spaces import InputError

    if held is not None and given not in (None, held):
        raise InputError(
            f"{wanted.path} is for `{name}` {held}, got {given}; its costs hold for that alone"
        )
    return given if held is None else held


def _chosen(
    settings: MeasureSettings, wanted: Wanted, listener: Listener
) -> tuple[str | None, str | None]:
    """Backend and precision: the file's, or the user's with a remark."""
    from nas.remote.device import RUNNER_OF
    from search_spaces import InputError

    held = {"backend": wanted.about["backend"], "precision": wanted.about["precision"]}
    given = {"backend": settings.backends[0], "precision": settings.precisions[0]}
    kind = {name: given[name] or held[name] for name in held}
    on_board = settings.remote is not None
    if on_board and given["backend"] is None and held["backend"] not in (None, *RUNNER_OF):
        raise InputError(
            f"{wanted.path} is for backend {held['backend']}, a board measures with "
            f"{' or '.join(RUNNER_OF)}; choose one with `backend`"
        )
    for name in held:
        if held[name] not in (None, kind[name]):
            listener.say(
                f"warning: {wanted.path} is for {name} {held[name]}, measured with {kind[name]}",
            )
    return kind["backend"], kind["precision"]


def _announced(wanted: Wanted, device: Device) -> str:
    """What is going to be measured, before it takes its time."""
    levels = {asked.level for asked in wanted.asked}
    of = f" of {counted(len(wanted.points), 'point')}" if wanted.points else ""
    return (
        f"{wanted.path}: {counted(len(wanted.asked), 'program')}{of} at "
        f"{counted(len(levels), 'level')} of {device.name} {device.power_mode or ''} "
        f"{device.backend} {device.precision}, {device.source}"
    )


def _verify(
    wanted: Wanted,
    device: Device,
    jobs: dict[Asked, list[Job]],
    table: Table,
    command: str,
    listener: Listener,
) -> VerifiedCosts:
    """Costs of the points into the result and its report; on the screen how they compare."""
    from nas.pareto import read_pareto
    from nas.report import write_report
    from nas.report.verified import verified_cost_lines
    from nas.search.verify_cost import verify_cost
    from search_spaces import InputError

    assert wanted.table is not None
    if read_pareto(wanted.path).content != wanted.table.content:  # hours may have passed
        raise InputError(
            f"{wanted.path} was replaced while its points were measured, and stays as it is; the "
            f"rows are in {table.path}: the same command goes on with what it holds now"
        )
    told = verify_cost(wanted, device, jobs, table.rows, file=table.path, command=command)
    wanted.table.write_json(wanted.path)
    report = wanted.path.with_name("report.html")
    write_report([wanted.table], [wanted.path], report)
    for line in verified_cost_lines(wanted.table.content):
        listener.say(line)
    listener.say(f"written into {wanted.path} and {report}")
    return told


def _say_clocks(
    rows: list[TextRow], jobs: dict[Asked, list[Job]], device: Device, listener: Listener
) -> None:
    """A remark where a board measured at the clocks it had."""
    from nas.measure import row_key
    from nas.measure.wanted import off_clock

    keys = {row_key(job.about): asked for asked, own in jobs.items() for job in own}
    off = [row for row in rows if (a := keys.get(row_key(row))) and off_clock(row, a, device)]
    if off:
        listener.say(
            f"warning: at the clocks found, not at their level's: {counted(len(off), 'row')} "
            "(column `notes`; --sudo sets clocks as root)"
        )
