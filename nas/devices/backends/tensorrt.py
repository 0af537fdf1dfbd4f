"""TensorRT through its command-line tool `trtexec`, which builds an engine and times it.

Flags and files as in NVIDIA's developer guide (docs.nvidia.com/deeplearning/tensorrt, "trtexec");
only what TensorRT 8.0 of JetPack 4.6 knows as well as later releases do, but for the flags of a
precision, which TensorRT 11 refuses: there fp16 comes from the types of the network.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from nas.board.bench.trtexec import (
    COMFORTS,
    builder_warnings,
    check_built,
    find_trtexec,
    no_such_precision,
    option_refused,
    read_times,
)
from nas.board.control.sysfs import BoardError
from nas.devices.backends.onnx_runtime import onnx_model
from nas.devices.timing import MIN_RUNS, Times
from search_spaces import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

BUILD_S = 1800.0  # building an engine on a small board takes minutes
WARMUP_MS = 2000


def trtexec_command(
    program: str, model: Path, times: Path, *, shape: Sequence[int], precision: str, seconds: float
) -> list[str]:
    """The arguments that build an engine of `model` for inputs of `shape` and time it.

    Without transfers, since trtexec otherwise sends the next input during a run. Calibration for
    int8 is left out: trtexec then takes ranges of its own, which are good for times alone. fp32 is
    TensorRT's: from Ampere on that allows TF32.
    """
    sides = "x".join(map(str, shape))
    return [
        program,
        f"--onnx={model}",
        *(f"--{kind}=input:{sides}" for kind in ("minShapes", "optShapes", "maxShapes", "shapes")),
        *([] if precision == "fp32" else [f"--{precision}"]),
        f"--warmUp={WARMUP_MS}",
        f"--duration={max(1, math.ceil(seconds))}",
        f"--iterations={MIN_RUNS}",
        "--useSpinWait",
        "--useCudaGraph",
        "--noDataTransfers",
        f"--exportTimes={times}",
    ]


def read_summary(text: str, metric: str = "GPU Compute Time") -> dict[str, float]:
    """`min, max, mean, median, p90, p95, p99` in ms as trtexec prints them; {} where it does not.

    `[I] GPU Compute Time: min = 1.1 ms, max = 1.3 ms, mean = ..., percentile(99%) = 1.25 ms`;
    releases before 8.5 print the 99th percentile alone.
    """
    lines = [line for line in text.splitlines() if f"{metric}: min = " in line]
    number = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
    pattern = rf"(min|max|mean|median|percentile)(?:\((\d+)%\))? = ({number}) ms"
    found = re.findall(pattern, lines[-1]) if lines else []
    return {f"p{pct}" if pct else name: float(value) for name, pct, value in found}


def time_tensorrt(
    net: nn.Module, x: Tensor, *, precision: str, threads: int, seconds: float
) -> Times:
    """Build an engine of `net` for the shape of `x` and time it on the GPU."""
    del threads  # the GPU works alone once its graph is launched
    with TemporaryDirectory() as folder, as_input_error():
        program = find_trtexec()
        model, times = Path(folder) / "net.onnx", Path(folder) / "times.json"

        notes: list[str] = []

        def build(kind: str, *, half: bool) -> str:
            model.write_bytes(onnx_model(net, x, half=half).SerializeToString())
            command = trtexec_command(
                program, model, times, shape=x.shape, precision=kind, seconds=seconds
            )
            return _run_without_refused(command, notes, timeout_s=BUILD_S + seconds)

        try:
            text = build(precision, half=False)
            notes += check_built(text.splitlines(), precision)
        except InputError as error:
            if precision == "fp32" or not option_refused(str(error), f"--{precision}"):
                raise
            if precision != "fp16":
                raise InputError(no_such_precision(precision)) from None
            text = build("fp32", half=True)  # TensorRT 11: by the types of the network
            notes.append(f"{precision} by the types of the network: trtexec has no --{precision}")
        notes += builder_warnings(text.splitlines())
        found = Times(read_times(str(times)), notes=tuple(dict.fromkeys(notes)))
    told = read_summary(text).get("median")
    if told is not None and abs(told - found.median_ms) > 0.05 * told + 0.01:
        raise InputError(
            f"trtexec says a median of {told:g} ms, its times have {found.median_ms:g} ms: "
            "this release writes another format"
        )
    return found


def _run_without_refused(command: list[str], notes: list[str], *, timeout_s: float) -> str:
    """As `run_trtexec`, without the flags for comfort that this release does not know: noted."""
    try:
        return run_trtexec(command, timeout_s=timeout_s)
    except InputError as error:
        refused = [flag for flag in COMFORTS if option_refused(str(error), flag)]
        left = [part for part in command if part not in refused]
        if left == command:
            raise
    notes.append(f"trtexec has no {', '.join(refused)}: timed without")
    return _run_without_refused(left, notes, timeout_s=timeout_s)


@contextmanager
def as_input_error() -> Iterator[None]:
    """What a board's own code finds, as an error of ours."""
    try:
        yield
    except BoardError as error:
        raise InputError(str(error)) from None


def run_trtexec(command: list[str], *, timeout_s: float) -> str:
    """What `command` prints; InputError with its own last word where it fails."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"trtexec did not finish within {timeout_s:.0f} s; stopped") from None
    except OSError as error:
        raise InputError(f"cannot run {command[0]}: {error.strerror}") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
        faults = [line for line in lines if "[E]" in line] or lines or ["it printed nothing"]
        raise InputError(f"trtexec failed with code {done.returncode}: {faults[0]}")
    return done.stdout
