"""Programs of a space measured on a board: ONNX files out, rows of the table back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

from nas.devices.catalog import Device
from nas.devices.remote import FailedRowsError, Plan, measure_remote
from nas.devices.ssh import Remote
from search_spaces import DvfsLevel, InputError, Space, Subnet, format_heads

CHUNK = 16  # programs whose files are shipped together
PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "gpu": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}
JOINED = {"pinned": "+", "notes": "; ", "rejected": "; "}  # lists of a row, as text in a table
Job = tuple[Subnet, Sequence[int], int]  # subnet, heads, level


@dataclass(frozen=True)
class RemoteSettings:
    """How programs are measured on a board; `board` is its description (`nas.devices.board`)."""

    board: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    clocks: str = "auto"
    energy: str = "auto"
    threads: int = 1
    providers: Sequence[str] | None = None  # of ONNX Runtime; None: by the device's processor


def measure_programs(
    target: str | Remote,
    device: Device,
    space: Space,
    jobs: Sequence[Job],
    how: RemoteSettings = RemoteSettings(),
    *,
    say: Callable[[dict[str, Any]], None] = lambda message: None,
) -> Iterator[dict[str, Any]]:
    """A row of the table for every job, as it is measured; jobs keep their order, mostly.

    Networks have random weights, which cost what trained ones cost. A level is set as `device` has
    it: power mode, GPU, CPU and memory clock. Where the board's clocks could not be set, a row has
    the clocks that were found. Errors are those of `measure_remote`.
    """
    if device.precision not in ("fp32", "fp16"):
        raise InputError(f"{device.precision} files cannot be made here; choose fp32 or fp16")
    failed: dict[str, str] = {}
    for start in range(0, len(jobs), CHUNK):
        chunk = jobs[start : start + CHUNK]
        files: dict[str, bytes] = {}
        tasks = []
        for subnet, heads, level in chunk:
            names = program_files(space, subnet, heads, half=device.precision == "fp16")
            files |= names
            tasks.append(_task(device, space, (subnet, heads, level), list(names), how))
        plan = Plan(tasks, files, how.board, how.settings, how.clocks, how.energy)
        try:
            for row in measure_remote(target, plan, say=say):
                yield table_row(row, device.levels)
        except FailedRowsError as error:
            failed |= error.failed
    if failed:
        raise FailedRowsError(failed, len(jobs))


def program_files(
    space: Space, subnet: Subnet, heads: Sequence[int], *, half: bool = False
) -> dict[str, bytes]:
    """The ONNX files of a program, one per segment in the order of running, named by content."""
    try:
        from nas.export.graph import segment_model
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed: pip install 'nas[export]' to measure on a board"
        ) from None
    import torch

    from supernets import Segment, extract

    net = extract(_random_supernet(space), subnet, heads=heads).fold()
    value = torch.zeros(1, *space.input_shape(subnet))
    files = {}
    for i, segment in enumerate(net.segments):
        last = i == len(net.segments) - 1
        model, value = segment_model(cast(Segment, segment), value, last=last, half=half)
        data = model.SerializeToString()
        files[f"{hashlib.sha256(data).hexdigest()[:16]}.onnx"] = data
    return files


def table_row(row: Mapping[str, Any], levels: Sequence[DvfsLevel]) -> dict[str, Any]:
    """A row as a table holds it: lists as text, no rails.

    Where no clock was set, `level` is the one of the clock that was found, if one is.
    """
    flat = {k: v for k, v in row.items() if k not in ("id", "rails_w")}
    flat |= {name: joint.join(row[name]) for name, joint in JOINED.items() if name in row}
    named = "gpu" if row["processor"] == "gpu" else "cpu"
    if named not in row["pinned"]:
        mhz = row.get(f"{named}_mhz") or 0.0
        near = [n.level for n in levels if abs(n.clock_mhz - mhz) <= 0.01 * n.clock_mhz]
        flat["level"], flat["power_mode"] = (near[0] if near else None), None
    return flat


def _task(
    device: Device, space: Space, job: Job, files: list[str], how: RemoteSettings
) -> dict[str, Any]:
    subnet, heads, n = job
    level: DvfsLevel = device.levels[n]
    providers = how.providers or PROVIDERS[device.processor]
    row = {
        "space": space.name,
        "subnet": str(subnet),
        "heads": format_heads(heads),
        "device": device.name,
        "level": level.level,
        "power_mode": device.power_mode,
        "processor": device.processor,
        "backend": "onnxruntime",
        "precision": device.precision,
        "batch": device.batch,
        "threads": how.threads,
    }
    clocks = {name: getattr(level, name) for name in ("gpu_mhz", "cpu_mhz", "emc_mhz")}
    return {
        "runner": "onnxruntime",
        "files": files,
        "batch": device.batch,
        "threads": how.threads,
        "providers": list(providers),
        "mode": device.power_mode,
        "clocks": {name: mhz for name, mhz in clocks.items() if mhz is not None},
        "row": row,
    }


@cache
def _random_supernet(space: Space) -> Any:
    from supernets import build_supernet

    return build_supernet(space).eval()
