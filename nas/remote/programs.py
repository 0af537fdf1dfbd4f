"""Programs of a space measured on a board: ONNX files out, rows of the table back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from nas.devices import Device
from nas.remote.messages import Message, WireRow
from nas.remote.session import FailedRowsError, Plan, Task, measure_remote
from nas.remote.ssh import Remote
from search_spaces import InputError, Row, Space, Subnet
from search_spaces.rows import ROW_CLOCKS, asked_row, program_columns

CHUNK = 16  # programs whose files are shipped together
PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    "gpu": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}
BACKEND_OF = {"onnxruntime": "onnxruntime", "trtexec": "tensorrt"}  # a runner, in a row
PRECISIONS = {"onnxruntime": ("fp32", "fp16"), "trtexec": ("fp32", "fp16", "int8")}
JOINED = {"pinned": "+", "notes": "; ", "rejected": "; "}  # lists of a row, as text in a table
Job = tuple[Subnet, Sequence[int], int, int]  # subnet, heads, level, repeat


@dataclass(frozen=True)
class RemoteSettings:
    """How programs are measured on a board; `board` is its description (`nas.board`)."""

    board: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    clocks: str = "auto"
    energy: str = "auto"
    runner: str | None = None  # onnxruntime or trtexec; None: trtexec where the backend is tensorrt
    threads: int = 1
    providers: Sequence[str] | None = None  # of ONNX Runtime; None: by the device's processor


def measure_programs(
    target: str | Remote,
    device: Device,
    space: Space,
    jobs: Sequence[Job],
    how: RemoteSettings = RemoteSettings(),
    *,
    say: Callable[[Message], None] = lambda message: None,
) -> Iterator[Row]:
    """A row of the table for every job, as it is measured, in the order of the jobs.

    Networks have random weights, which cost what trained ones cost. A level is set as `device` has
    it: power mode, GPU, CPU and memory clock. Where the board's clocks could not be set, a row has
    the clocks that were found. Errors are those of `measure_remote`.
    """
    runner = how.runner or ("trtexec" if device.backend == "tensorrt" else "onnxruntime")
    if device.precision not in PRECISIONS.get(runner, ()):
        raise InputError(
            f"{runner} was asked for {device.precision}; a board runs "
            + ", ".join(f"{name} ({'/'.join(kinds)})" for name, kinds in PRECISIONS.items())
        )
    failed: dict[str, str] = {}
    for start in range(0, len(jobs), CHUNK):
        files: dict[str, bytes] = {}
        tasks = []
        for job in jobs[start : start + CHUNK]:
            half = runner == "onnxruntime" and device.precision == "fp16"
            name = _add(files, program_file(space, job[0], job[1], half=half))
            task = _task(device, space, job, runner, name, how)
            if runner == "trtexec" and device.precision == "fp16":  # TensorRT 11 has no --fp16
                typed = program_file(space, job[0], job[1], half=True)
                task["typed_file"] = _add(files, typed)
            tasks.append(task)
        plan = Plan(tasks, files, how.board, how.settings, how.clocks, how.energy)
        try:
            for row in measure_remote(target, plan, say=say):
                yield table_row(row, device)
        except FailedRowsError as error:
            failed |= error.failed
    if failed:
        raise FailedRowsError(failed, len(jobs))


def program_file(space: Space, subnet: Subnet, heads: Sequence[int], *, half: bool) -> bytes:
    """The ONNX file of a program: the trunk up to its deepest exit with the heads asked for."""
    try:
        from nas.onnx.graph import program_model
    except ImportError as error:
        raise InputError(
            f"{error.name} is not installed: pip install 'nas[export]' to measure on a board"
        ) from None
    import torch

    from supernets import extract, random_supernet

    net = extract(random_supernet(space), subnet, heads=heads).fold()
    example = torch.zeros(1, *space.input_shape(subnet))
    return bytes(program_model(net, example, half=half).SerializeToString())


def _add(files: dict[str, bytes], data: bytes) -> str:
    """Put a file among those that are shipped; returns its name, by its content."""
    name = f"{hashlib.sha256(data).hexdigest()[:16]}.onnx"
    files[name] = data
    return name


def table_row(row: WireRow, device: Device) -> Row:
    """A row as a table holds it: lists as text, no rails.

    Where another clock ran than the level's, `level` is the one of that clock, if one is.
    """
    flat = {k: v for k, v in row.items() if k not in ("id", "rails_w")}
    flat |= {name: joint.join(row[name]) for name, joint in JOINED.items() if name in row}
    mhz = row.get(f"{device.processor}_mhz") or 0.0
    levels = [(n.level, n.clock_mhz) for n in device.levels]
    near = [level for level, clock in levels if abs(clock - mhz) <= 0.01 * clock]
    found = near[0] if near else None
    if device.processor not in row["pinned"]:
        flat["level"], flat["power_mode"] = found, None
    elif row.get("level") not in near:  # a driver that rounds to the next point
        flat["level"] = found
    return cast(Row, flat)


def _task(
    device: Device, space: Space, job: Job, runner: str, file: str, how: RemoteSettings
) -> Task:
    subnet, heads, n, repeat = job
    level = device.levels[n]
    row = asked_row(program_columns(space, subnet, heads), device, level)
    row |= {"backend": BACKEND_OF[runner], "threads": how.threads, "repeat": repeat}
    clocks = {name: getattr(level, name) for name in ROW_CLOCKS}
    return {
        "runner": runner,
        "files": [file],
        "shape": list(space.input_shape(subnet)),
        "providers": list(how.providers or PROVIDERS[device.processor]),
        "mode": device.power_mode,
        "repeat": repeat,  # or the board would take the second for the first
        "clocks": {name: mhz for name, mhz in clocks.items() if mhz is not None},
        "batch": device.batch,
        "threads": how.threads,
        "precision": device.precision,
        "row": row,
    }
