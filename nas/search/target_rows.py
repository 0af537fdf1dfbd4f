"""The few rows that are measured on each target: which programs, where they come from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nas.devices import Device, Machine
from nas.measure import Job, row_key
from nas.measure.noise import mixed_processors
from nas.search.folder import SCRATCH
from nas.search.settings import SearchSettings
from nas.transfer.plan import plan_rows, write_plan
from nas.transfer.plausible import check_rows
from nas.transfer.proxy import Proxy
from predictors import check_target_rows, csv_text, read_rows
from search_spaces import InputError, Row, Space, parse_heads, write_text


def measure_plan(space: Space, device: Device, planned: list[Row]) -> list[Row]:
    """The planned rows with the costs that `device` measures or simulates."""
    return [job.run() for job in plan_jobs(space, device, planned)]


def plan_jobs(space: Space, device: Device, planned: list[Row]) -> list[Job]:
    """The planned rows as jobs; a machine also measures how long it takes to decide at an exit."""

    def job(plan: Row) -> Job:
        heads = parse_heads(plan["heads"], space.n_exits)
        subnet, level = space.parse(plan["subnet"]), plan["level"] or 0

        def run() -> Row:
            row = plan | device.measure(space, subnet, heads, level)
            return row | {"decision_ms": device.decision_ms} if isinstance(device, Machine) else row

        return Job(plan, run)

    return [job(plan) for plan in planned]


def measure_by_nodes(
    settings: SearchSettings,
    space: Space,
    device: Device,
    planned: list[Row],
    tell: Callable[[str], None],
) -> list[Row]:
    """`measure_plan` by the nodes of the search's cluster that measure, where it has such nodes."""
    address = settings.ray
    if address is None or address == "local" or not isinstance(device, Machine):
        return measure_plan(space, device, planned)
    from nas.cluster.cluster import NoPlaceError
    from nas.measure.nodes import run_on_nodes

    jobs, scratch = plan_jobs(space, device, planned), settings.folder / SCRATCH
    try:
        measured = run_on_nodes(
            address, jobs, threads=device.threads or 1, scratch=scratch, tell=tell
        )
        found = {row_key(job.about): row for job, row in measured}
    except NoPlaceError:
        tell("Ray: no node has the resource measure; the target rows are measured on this machine")
        return measure_plan(space, device, planned)
    rows = [found[row_key(job.about)] for job in jobs]
    for line in mixed_processors(rows):
        tell(line)
    return rows


def as_measured(device: Device, rows: pd.DataFrame) -> Device:
    """`device` with the clock and the decision time of the machine that its rows tell of.

    This machine's own may be others: a node of a cluster measured, or the clock has moved since.
    """
    if not isinstance(device, Machine):
        return device
    clock, decision = (
        pd.to_numeric(rows[name], errors="coerce").median() if name in rows else np.nan
        for name in ("cpu_mhz", "decision_ms")
    )
    found = (float(value) if np.isfinite(value) else None for value in (clock, decision))
    return device.as_found(*found)


def planned_rows(settings: SearchSettings, space: Space, device: Device, proxy: Proxy) -> list[Row]:
    """The rows that a search of `settings` wants of one device."""
    rng = np.random.default_rng(settings.seed)
    return plan_rows(space, device, proxy, settings.n_target_rows, rng)


def target_rows(
    settings: SearchSettings,
    space: Space,
    devices: Sequence[Device],
    proxy: Proxy,
    paths: Mapping[str, Path],
    tell: Callable[[str], None] = print,
) -> list[pd.DataFrame]:
    """The rows of every device: at its path, the user's, measured or simulated, in this order."""
    given = None
    if settings.measurements is not None and not all(p.exists() for p in paths.values()):
        given = _measured_rows(settings.measurements, space, devices, tell)
    for device in devices:
        path = paths[device.name]
        if path.exists():
            continue
        if given is not None and (given["device"] == device.name).any():
            own = given[given["device"] == device.name]
            write_text(path, csv_text(own))
        else:
            planned = planned_rows(settings, space, device, proxy)
            write_plan(measure_by_nodes(settings, space, device, planned, tell), path)
    return [read_rows(paths[device.name], space) for device in devices]


def _measured_rows(
    path: Path, space: Space, devices: Sequence[Device], tell: Callable[[str], None]
) -> pd.DataFrame:
    """The user's rows, enough of every target that they hold, and such as it could give."""
    rows, targets = read_rows(path, space, lines=True), [device.name for device in devices]
    check_target_rows(rows)
    others = sorted(set(rows["device"]) - set(targets))
    if others:
        named = "the target is" if len(targets) == 1 else "the targets are"
        raise InputError(
            f"{path} holds rows of {', '.join(others)}, "
            f"{named} {', '.join(targets)}; give rows of the target alone"
        )
    for _, own in rows.groupby("device"):
        check_target_rows(own)
    known = {device.name: device for device in devices}
    checked = [
        check_rows(path, own, space, known[str(name)], lambda line: tell(f"warning: {line}"))
        for name, own in rows.groupby("device", sort=False)
    ]
    return pd.concat(checked).sort_index().reset_index(drop=True)
