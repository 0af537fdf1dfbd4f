"""What a file wants measured: the rows of a plan, or the programs that a result's points run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypedDict

import pandas as pd

from nas.devices import SAME_CLOCK, Clocked, Device, load_profile
from nas.measure.jobs import Job, program_job, shuffled
from nas.measure.table import TextRow
from nas.pareto import ParetoTable, Point, read_pareto, spread
from nas.pareto.provenance import MEASURED
from predictors import TableError, in_our_units, read_cells, read_subnets
from search_spaces import ExitPolicy, InputError, Row, Space, Subnet, get_space, parse_heads

PLAN = ("space", "subnet", "device", "level")  # columns that a plan needs
OwnClock = Literal["cpu_mhz", "emc_mhz"]
OWN: tuple[OwnClock, ...] = ("cpu_mhz", "emc_mhz")  # clocks that a point may have of its own


class About(TypedDict):
    """What a plan and a result say of their device; None: the file leaves it open."""

    power_mode: str | None
    backend: str | None
    precision: str | None
    batch: int


@dataclass(frozen=True)
class Asked:
    """One program at one level; a clock that is not None differs from the level's."""

    subnet: Subnet
    heads: tuple[int, ...]
    level: int
    cpu_mhz: float | None = None
    emc_mhz: float | None = None

    @property
    def own_clocks(self) -> dict[str, float]:
        return {name: mhz for name in OWN if (mhz := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Wanted:
    """The programs that `path` asks for, each once, and the device it asks for."""

    path: Path
    space: Space
    device: str
    about: About
    asked: tuple[Asked, ...]
    table: ParetoTable | None = None  # of a result, with the chosen points
    points: tuple[Point, ...] = ()

    def only(self, levels: Sequence[int]) -> Wanted:
        """What is asked at `levels`; InputError where that is nothing."""
        asked = tuple(a for a in self.asked if a.level in levels)
        if not asked:
            known = ", ".join(map(str, sorted({a.level for a in self.asked})))
            raise InputError(
                f"{self.path} asks for nothing at `levels` {', '.join(map(str, levels))}; "
                f"it has levels {known}"
            )
        points = tuple(p for p in self.points if p["level"] in levels)
        return replace(self, asked=asked, points=points)

    def check_device(self, device: Device) -> None:
        """InputError where `device` lacks a level, or a result's levels had other clocks."""
        top = len(device.levels) - 1
        for asked in self.asked:
            if asked.level > top:
                raise InputError(
                    f"{self.path} names level {asked.level}; {device.name} has levels 0 to {top} "
                    "in this power mode"
                )
        if self.table is None or device.power_mode is None:
            return  # a machine that is measured as it is has another clock every time
        asked_at = {asked.level for asked in self.asked}
        for row in [row for row in self.table.levels if row["level"] in asked_at]:
            clock, mhz = device.levels[row["level"]].clock_mhz, row["gpu_mhz"] or row["cpu_mhz"]
            assert mhz is not None  # one of them names the level
            if abs(clock - mhz) > SAME_CLOCK * clock:
                raise InputError(
                    f"{self.path} was made with level {row['level']} at {mhz:g} MHz, "
                    f"{device.name} now has it at {clock:g} MHz; search again"
                )


def read_wanted(
    path: Path, *, device: str | None, space: str | None, n_points: int | None = None
) -> Wanted:
    """A plan of `nas search --plan`, or a pareto.json: at most `n_points` of every level.

    `device` and `space` must be those of the file where they are given; a plan for several devices
    needs a device. InputError: the file is neither, or asks for something else.
    """
    if n_points is not None and n_points < 1:
        raise InputError(f"`n_points` must be at least 1, got {n_points}")
    if path.suffix == ".json":
        return _of_result(path, device, space, n_points)
    if n_points is not None:
        raise InputError(f"`n_points` chooses among those of a pareto.json; {path} is a plan")
    return _of_plan(path, device, space)


def wanted_jobs(
    wanted: Wanted, device: Device, *, repeats: int = 1, seed: int = 0
) -> tuple[list[Job], dict[Asked, list[Job]]]:
    """All jobs in random order, and those of each program."""
    jobs: dict[Asked, list[Job]] = {}
    for asked in wanted.asked:
        program, on, level = (asked.subnet, asked.heads), device, asked.level
        own: Row = {}
        if asked.own_clocks:
            on, level = _at_own_clocks(wanted, device, asked), 0
            named = (f"{name}:{mhz:g}" for name, mhz in asked.own_clocks.items())
            own["clocks"] = "+".join(named)
        made = [program_job(on, wanted.space, program, level, r) for r in range(repeats)]
        jobs[asked] = [Job(job.about | own, job.run) for job in made]
    return shuffled([job for made in jobs.values() for job in made], seed), jobs


def _at_own_clocks(wanted: Wanted, device: Device, asked: Asked) -> Device:
    """`device` with one level: that of `asked`, with the clocks that are not the level's."""
    if not isinstance(device, Clocked):
        raise InputError(
            f"{wanted.path} has points at CPU or memory clocks of their own, which "
            f"{device.name} cannot set; measure them on a board, or search with `clocks` gpu"
        )
    level = device.levels[asked.level]
    cpu_mhz, emc_mhz = asked.cpu_mhz or level.cpu_mhz, asked.emc_mhz or level.emc_mhz
    return device.at([replace(level, cpu_mhz=cpu_mhz, emc_mhz=emc_mhz)])


def point_programs(point: Point, table: ParetoTable, space: Space) -> list[Asked]:
    """The programs that samples run at a point of `table`, from short to long, at its clocks."""
    level = next(row for row in table.levels if row["level"] == point["level"])
    own = {name: mhz for name in OWN if (mhz := point.get(name)) not in (None, level[name])}
    policy, subnet = ExitPolicy.from_dict(point["exits"]), space.parse(point["subnet"])
    if not set(policy.after) <= set(range(space.n_exits)):
        raise InputError(f"{space.name} has {space.n_exits} early exits, a point has {policy}")
    return [Asked(subnet, heads, point["level"], **own) for heads in policy.programs(space.n_exits)]


def off_clock(row: TextRow, asked: Asked, device: Device) -> bool:
    """Whether a board ran a row at the clocks it had, because the level's could not be set.

    The clock that names the level must have been held, and those that a point has of its own; where
    the memory clock alone was not, the row's `notes` say it.
    """
    if device.power_mode is None or row.get("source") != MEASURED or "pinned" not in row:
        return False
    kinds = {device.processor, *(name.removesuffix("_mhz") for name in asked.own_clocks)}
    return not kinds <= set((row["pinned"] or "").split("+"))


def _of_result(path: Path, device: str | None, space: str | None, n: int | None) -> Wanted:
    table = read_pareto(path)
    try:
        about = table.content["device"]
        found = _space(path, [table.content["space"]], space)
        name = _device(path, [about["name"]], device)
        points = _chosen(table, n)
        asked = dict.fromkeys(a for p in points for a in point_programs(p, table, found))
        if not asked:
            raise InputError(f"{path} has no points")
        kept: About = {
            "power_mode": about["power_mode"],
            "backend": about["backend"],
            "precision": about["precision"],
            "batch": about["batch"],
        }
    except InputError:
        raise
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as fault:
        reason = f"{type(fault).__name__}: {fault}"
        raise InputError(f"{path} is damaged ({reason}); search again") from None
    return Wanted(path, found, name, kept, tuple(asked), table, tuple(points))


def _chosen(table: ParetoTable, n: int | None) -> list[Point]:
    """All points of every level, or `n` that represent them."""
    chosen = []
    for level in table.levels:
        points = table.at(level["level"])
        if n is not None and len(points) > n:
            points = [points[i] for i in spread(table.costs(points), n)]
        chosen += points
    return chosen


def _of_plan(path: Path, device: str | None, space: str | None) -> Wanted:
    try:
        cells = read_cells(path, PLAN, in_our_units)
    except TableError as error:
        raise InputError(
            f"{error}; `of` takes a plan of `nas search --plan`, or a pareto.json"
        ) from None
    found = _space(path, cells["space"].unique().tolist(), space)
    rows = read_subnets(path, found)
    name = _device(path, rows["device"].unique().tolist(), device)
    own = rows[rows["device"] == name]
    if own["level"].isna().any():
        raise InputError(f"{path}: level must be given in every row")
    asked = dict.fromkeys(
        Asked(found.parse(row["subnet"]), parse_heads(row.get("heads", ""), found.n_exits), level)
        for (_, row), level in zip(own.iterrows(), own["level"].astype(int).tolist(), strict=True)
    )
    if not (batch := _one(path, own, "batch") or "1").isdecimal():
        raise InputError(f"{path}: batch must be a whole number, got {batch!r}")
    about: About = {
        "power_mode": _one(path, own, "power_mode"),
        "backend": _one(path, own, "backend"),
        "precision": _one(path, own, "precision"),
        "batch": int(batch),
    }
    return Wanted(path, found, name, about, tuple(asked))


def _one(path: Path, rows: pd.DataFrame, column: str) -> str | None:
    """The one text that a column of a plan holds, None for an empty one."""
    values = rows[column].unique() if column in rows else [""]
    if len(values) > 1:
        named = ", ".join(map(repr, values))
        raise InputError(f"{path} has rows with {column} {named}; `of` measures with one")
    return str(values[0]) or None


def _space(path: Path, found: Sequence[str], asked: str | None) -> Space:
    """The one space of a file; InputError where it has several, or another than `asked`."""
    if len(found) == 1 and asked not in (None, found[0]):
        given = get_space(str(asked))  # the folder of a supernet has a space of another name
        if given.name == found[0]:
            return given
    if len(found) != 1 or asked not in (None, found[0]):
        got = "" if asked is None else f", got `space` {asked}"
        raise InputError(f"{path} is of space {', '.join(found)}{got}; one space is measured")
    return get_space(found[0])


def _device(path: Path, found: Sequence[str], asked: str | None) -> str:
    """The name of the device to measure; `asked` may be the file of its profile."""
    if asked is None:
        if len(found) == 1:
            return found[0]
        raise InputError(f"{path} is for {', '.join(found)}; choose one of them with `device`")
    name = load_profile(asked).name if asked.endswith(".toml") else asked
    if name not in found:
        raise InputError(f"{path} is for {', '.join(found)}, got `device` {asked}")
    return name
