"""`nas measure` of sampled subnets: whole programs, operators alone, once-for-all's blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from nas.measure.listener import Listener
    from nas.measure.run import Told
    from nas.measure.settings import MeasureSettings

N_SUBNETS = 320


def measure_sampled(settings: MeasureSettings, listener: Listener) -> Told:
    """Measure into `settings.out`; returns what `--json` prints."""
    from dataclasses import asdict

    from nas.devices import level_numbers, serving
    from nas.measure import operator_jobs, program_jobs, programs
    from nas.measure.ofa_table import block_jobs, write_table
    from nas.measure.open_devices import open_devices
    from nas.measure.per_operator import lut_error, machines, operators_and_programs
    from nas.measure.run import described, run_jobs
    from nas.measure.table import Table, held_table
    from search_spaces import get_space

    s = settings
    assert s.device is not None
    assert s.space is not None
    space = get_space(s.space)
    opened = open_devices(s, s.device, s.kinds, listener, power_mode=s.power_mode)
    devices = [serving(device, space) for device in opened]
    hosts = machines(devices) if s.per_operator or s.ofa_lut else []
    sampled = [] if s.ofa_lut else programs(space, s.samples or N_SUBNETS, s.seed)
    order: dict[str, int] = {"repeats": s.repeats, "seed": s.seed}
    whole: list[pd.DataFrame] = []
    if s.ofa_lut is not None:
        jobs = block_jobs(hosts, space, s.ofa_lut, **order)
    elif s.per_operator:
        operators, whole = operators_and_programs(hosts, space, sampled, s.against)
        jobs = operator_jobs(hosts, space, operators, **order)
    else:
        levels = level_numbers(devices[0], s.levels)
        jobs = program_jobs(devices, space, sampled, levels=levels, **order)
    with held_table(s.out):
        table = Table(s.out)
        told = described(run_jobs(s, jobs, table, listener))
    if s.ofa_lut is not None:
        write_table(s.ofa_lut, jobs, table.rows, hosts[0])
        listener.say(f"the table is in {s.ofa_lut}")
    for host, rows in zip(hosts, whole, strict=False):
        error = lut_error(space, table.rows, rows, host, seed=s.seed)
        told.setdefault("lut", []).append(asdict(error))
        listener.say(error.line())
    return told
