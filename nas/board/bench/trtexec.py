"""TensorRT through its tool `trtexec`: an engine is built once, then timed by the tool itself.

Flags that TensorRT 8.0 of JetPack 4.6 knows as well as later releases (NVIDIA's developer guide,
"trtexec"). Without transfers, since the tool otherwise sends the next input during a run; int8
takes ranges of its own, which are good for times alone.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import time
from typing import Any, Iterator

from ..control.sysfs import BoardError
from .protocol import Timed

JETPACK = "/usr/src/tensorrt/bin/trtexec"  # not on the PATH of a fresh board
WARMUP_MS, MIN_RUNS = 2000, 100


class Trtexec:
    """Each call runs `trtexec` on the engine for `seconds` and brings every inference's time."""

    times_itself = True

    def __init__(self, task: dict[str, Any], folder: str, seconds: float) -> None:
        program = find_trtexec()
        if len(task["files"]) != 1:
            raise BoardError(f"trtexec runs one ONNX file, got {len(task['files'])}")
        model = os.path.join(folder, task["files"][0])
        precision, batch = task.get("precision", "fp32"), task.get("batch", 1)
        self._engine = f"{model}.{precision}.{batch}.plan"
        self._times = f"{self._engine}.json"
        self._command = [program, f"--loadEngine={self._engine}", f"--exportTimes={self._times}"]
        self._command += [f"--warmUp={WARMUP_MS}", f"--duration={max(1, math.ceil(seconds))}"]
        self._command += [f"--iterations={MIN_RUNS}", "--useSpinWait", "--useCudaGraph"]
        self._command += ["--noDataTransfers"]
        if not os.path.exists(self._engine):
            self._build(program, model, precision, task.get("shape"), batch)

    def __call__(self) -> Timed:
        end_s, span_s = None, 0.0
        for line in _lines(self._command):
            told = re.search(r"Timing trace has \d+ queries over ([\d.]+) s", line)
            if told:  # printed when the last inference is done
                end_s, span_s = time.perf_counter(), float(told.group(1))
        times = read_times(self._times)
        return Timed(times, None if end_s is None else end_s - span_s, end_s)

    def _build(self, program: str, model: str, precision: str, shape: Any, batch: int) -> None:
        """Build aside and rename, so that a killed build leaves no half engine."""
        aside = f"{self._engine}.tmp"
        command = [program, f"--onnx={model}", f"--saveEngine={aside}", "--iterations=1"]
        command += ["--duration=0", "--warmUp=0"]
        command += [] if precision == "fp32" else [f"--{precision}"]
        if shape:
            sides = "x".join(map(str, [batch, *shape]))
            kinds = ("minShapes", "optShapes", "maxShapes", "shapes")
            command += [f"--{kind}=input:{sides}" for kind in kinds]
        for _ in _lines(command):
            pass
        if not os.path.exists(aside):
            raise BoardError("trtexec ended well and left no engine; try a newer TensorRT")
        os.replace(aside, self._engine)


def _lines(command: list[str]) -> Iterator[str]:
    """What a program prints, line by line; BoardError with its own words where it fails."""
    said = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line.strip())
                yield line
        except BaseException:  # a signal: the tool must not go on without us
            process.kill()
            raise
    if process.returncode:
        faults = [line for line in said if "[E]" in line] or [line for line in said if line][-1:]
        last = faults[0] if faults else "it printed nothing"
        raise BoardError(f"trtexec ended with code {process.returncode}: {last}")


def find_trtexec() -> str:
    """The path of `trtexec`; BoardError says how to get it."""
    program = shutil.which("trtexec") or (JETPACK if os.path.exists(JETPACK) else None)
    if program is None:
        raise BoardError(
            f"trtexec is neither on the PATH nor at {JETPACK}: install TensorRT (on a Jetson: "
            "apt-get install tensorrt) or choose another runner"
        )
    return program


def read_times(path: str) -> list[float]:
    """Milliseconds of every run in a file of `--exportTimes`: copies and computing, no waiting.

    A list of records; `latencyMs` is the sum of `h2dMs` (before 8.5 `inMs`), `computeMs` and
    `d2hMs` (`outMs`). Records without it are taken from `startComputeMs` to `endComputeMs`.
    """
    try:
        with open(path, encoding="utf-8") as file:
            records = json.load(file)
        times = [
            float(r["latencyMs"] if "latencyMs" in r else r["endComputeMs"] - r["startComputeMs"])
            for r in records
        ]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BoardError(
            f"trtexec left no readable times ({type(error).__name__}: {error})"
        ) from None
    if not times or not all(math.isfinite(ms) and ms > 0 for ms in times):
        raise BoardError(f"trtexec wrote {len(times)} times, expected positive ones")
    return times
