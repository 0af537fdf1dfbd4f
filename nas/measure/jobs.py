"""What to measure, in random order, and the rows of it: a run that was killed goes on."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from nas.devices import Device, MachineDevice
from nas.measure.table import Table
from nas.remote.session import FailedRowsError
from predictors import Operator, programs_of
from search_spaces import InputError, Row, Space, Subnet
from search_spaces.rows import ROW_KEY, asked_row, operator_columns, program_columns

GIVE_UP = 5  # failures in a row: the board, not the program
Program = tuple[Subnet, tuple[int, ...]]


@dataclass(frozen=True)
class Job:
    """One row to measure: `about` holds what is known of it before."""

    about: Row
    run: Callable[[], Row]


Run = Callable[[Sequence[Job]], Generator[tuple[Job, Row]]]


def programs(space: Space, n_subnets: int, seed: int) -> list[Program]:
    """For `n_subnets` each single exit, and all exits together; in random order.

    Random order keeps a slow drift of the machine from looking like an effect of size.
    """
    rng = np.random.default_rng(seed)
    last = space.n_exits
    sets = [(k,) for k in range(last + 1)] + [tuple(range(last + 1))] * (last > 0)
    subnets = dict.fromkeys(space.subnets(space.sample_spread(n_subnets, rng)))
    listed = [(subnet, heads) for subnet in subnets for heads in sets]
    return [listed[i] for i in rng.permutation(len(listed))]


def unique_operators(space: Space, todo: Sequence[Program]) -> list[Operator]:
    """Every operator that the programs consist of, once, in a fixed order."""
    heads = np.zeros((len(todo), space.n_exits + 1), dtype=bool)
    for i, (_, asked) in enumerate(todo):
        heads[i, list(asked)] = True
    listed = programs_of(space.operators(space.genes([s for s, _ in todo]), heads))
    return sorted({operator for program in listed for operator in program})


def program_jobs(
    devices: Sequence[Device],
    space: Space,
    todo: Sequence[Program],
    *,
    levels: Sequence[int],
    repeats: int = 1,
    seed: int = 0,
) -> list[Job]:
    """All programs on all devices at all levels, `repeats` times, in one random order."""
    jobs = [
        program_job(device, space, program, level, repeat)
        for device in devices
        for program in todo
        for level in levels
        for repeat in range(repeats)
    ]
    return shuffled(jobs, seed)


def program_job(device: Device, space: Space, program: Program, level: int, repeat: int = 0) -> Job:
    """One row of a program; `level` counts the levels of `device`."""
    subnet, heads = program
    about = job_row(program_columns(space, subnet, heads), device, level, repeat)
    return Job(about, lambda: device.measure(space, subnet, heads, level))


def operator_jobs(
    devices: Sequence[MachineDevice],
    space: Space,
    operators: Sequence[Operator],
    *,
    repeats: int = 1,
    seed: int = 0,
) -> list[Job]:
    """All operators alone on all devices, `repeats` times, in one random order."""

    def job(device: MachineDevice, operator: Operator, repeat: int) -> Job:
        about = job_row(operator_columns(space, str(operator)), device, 0, repeat)
        return Job(about, lambda: device.measure_operator(space, operator))

    jobs = [
        job(device, operator, repeat)
        for device in devices
        for operator in operators
        for repeat in range(repeats)
    ]
    return shuffled(jobs, seed)


def job_row(what: Row, device: Device, level: int, repeat: int) -> Row:
    """Which row a job is to bring, and whether it is really measured."""
    return asked_row(what, device, device.levels[level]) | {
        "source": device.source,
        "repeat": repeat,
    }


def shuffled(jobs: list[Job], seed: int) -> list[Job]:
    """`jobs` in the random order of `seed`."""
    return [jobs[i] for i in np.random.default_rng([seed, 1]).permutation(len(jobs))]


def row_key(row: Mapping[str, Any] | Row) -> tuple[str, ...]:
    """Which measurement a row of a file, or of a job, is."""
    values = {name: row.get(name) for name in ROW_KEY}
    values["repeat"] = values["repeat"] or "0"  # rows from before repeats were counted
    return tuple("" if v is None else str(v) for v in values.values())


def check_sources(jobs: Sequence[Job], table: Table) -> None:
    """InputError where rows of another space, or a simulated one for a measured, would be mixed."""
    spaces = {job.about.get("space") for job in jobs}
    others = {row.get("space") for row in table.rows} - spaces if spaces else set()
    if named := sorted(space for space in others if space):
        raise InputError(
            f"{table.path} holds rows of the space {named[0]}, which one table cannot mix; choose "
            "another `out`"
        )
    sources = {row_key(job.about): job.about.get("source") for job in jobs}
    for row in table.rows:
        wanted, found = sources.get(row_key(row)), row.get("source")
        if wanted and found and wanted != found:
            raise InputError(
                f"{table.path} holds {found} rows of what is to be {wanted}; choose another `out`"
            )


def one_by_one(jobs: Sequence[Job]) -> Generator[tuple[Job, Row]]:
    """Jobs with their rows, in this process.

    A row that a board rejects does not keep the others from being measured: FailedRowsError comes
    after them, or after GIVE_UP failures in a row.
    """
    failed: dict[str, str] = {}
    in_a_row = 0
    for job in jobs:
        try:
            row = job.run()
        except FailedRowsError as error:
            failed |= error.failed
            in_a_row += 1
            if in_a_row == GIVE_UP:
                break
            continue
        in_a_row = 0
        yield job, row
    if failed:
        raise FailedRowsError(failed, len(jobs))


def measure_rows(
    jobs: Sequence[Job], table: Table, run: Run = one_by_one
) -> Iterator[tuple[int, Row]]:
    """Measure what `table` does not hold yet; yields (rows done, row), each row already written.

    `run` may give the rows in any order.
    """
    done = {row_key(row) for row in table.rows}
    left = [job for job in jobs if row_key(job.about) not in done]
    with closing(run(left)) as found:
        for n, (job, measured) in enumerate(found, start=1 + len(jobs) - len(left)):
            row = cast(Row, {**measured, **{k: v for k, v in job.about.items() if v is not None}})
            table.append(row)
            yield n, row
