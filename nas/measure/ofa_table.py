"""A table of once-for-all's blocks on this machine, in the format of its own tools."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

from nas.devices import MachineDevice
from nas.files import prepare_folder
from nas.measure.jobs import Job, job_row, shuffled
from nas.measure.per_operator import lut_of, own_entries
from nas.measure.table import TextRow
from predictors import ofa_keys, write_ofa_lut
from search_spaces import InputError, MobileNetV3Space, Space, Subnet
from search_spaces.rows import operator_columns


def table_resolution(path: Path, space: Space) -> int:
    """The resolution that the file's name gives; InputError where it cannot be one of `space`."""
    if type(space) is not MobileNetV3Space or space.n_exits:
        raise InputError(f"`ofa_lut` needs a space ofa-mobilenetv3 without exits, got {space.name}")
    named = re.fullmatch(r"(\d+)_lookup_table\.yaml", path.name)
    if not named or int(named[1]) not in space.resolutions:
        raise InputError(
            f"`ofa_lut` must be named like {max(space.resolutions)}_lookup_table.yaml with a "
            f"resolution of {space.name}, got {path.name}"
        )
    return int(named[1])


def covering_subnets(space: MobileNetV3Space, resolution: int) -> list[Subnet]:
    """Subnets that hold every block of the space: all depths full, one kernel and ratio each."""
    depth = max(space.depths)
    return [
        space.from_ofa({"ks": kernel, "e": expand, "d": depth, "r": resolution})
        for kernel, expand in product(space.kernels, space.expands)
    ]


def block_jobs(
    hosts: Sequence[MachineDevice], space: Space, path: Path, *, repeats: int = 1, seed: int = 0
) -> list[Job]:
    """Every block of `space` alone, at the resolution that names `path`, in one random order."""
    resolution = table_resolution(path, space)
    assert isinstance(space, MobileNetV3Space)
    if len(hosts) != 1:
        raise InputError("`ofa_lut` takes one backend, precision and batch: its file names none")
    prepare_folder(path.parent)
    host = hosts[0]

    def job(key: str, subnet: Subnet, index: int, repeat: int) -> Job:
        about = job_row(operator_columns(space, key), host, 0, repeat)
        return Job(about, lambda: host.measure_block(space, key, subnet, index))

    found = {
        key: (subnet, index)
        for subnet in covering_subnets(space, resolution)
        for index, key in enumerate(ofa_keys(space, subnet))
    }
    jobs = [job(key, *where, repeat) for key, where in found.items() for repeat in range(repeats)]
    return shuffled(jobs, seed)


def write_table(path: Path, jobs: Iterable[Job], rows: list[TextRow], host: MachineDevice) -> None:
    """Write the measured blocks of `jobs`; `mean` is the median, which bears noise better.

    `count` is that of the calls behind it, repeats together.
    """
    lut = lut_of(rows, host)
    runs = Counter[str]()
    for row in own_entries(rows, host):
        runs[row["operator"]] += int(row["n_runs"])
    keys = sorted({job.about["operator"] for job in jobs})
    table = {key: {"mean": lut[key], "count": runs[key]} for key in keys}
    write_ofa_lut(path.parent, {int(path.name.split("_")[0]): table})
