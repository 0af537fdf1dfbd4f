"""TensorRT through its tool `trtexec`: an engine is built once, then timed by the tool itself.

Flags that TensorRT 8.0 of JetPack 4.6 knows as well as later releases (NVIDIA's developer guide,
"trtexec"). Without transfers, since the tool otherwise sends the next input during a run; int8
takes ranges of its own, which are good for times alone. TensorRT 11 builds in the types of the
network alone and refuses `--fp16` and `--int8`: there fp16 is a network of that type
(`typed_file`), and int8 cannot be had without ranges in the network.
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
COMFORTS = ("--useSpinWait", "--useCudaGraph")  # times are a little longer without them
MAX_NOTES, MAX_CHARS = 5, 200  # warnings of the builder in a row


class Trtexec:
    """Each call runs `trtexec` on the engine for `seconds` and brings every inference's time."""

    times_itself = True

    def __init__(self, task: dict[str, Any], folder: str, seconds: float) -> None:
        program = find_trtexec()
        if len(task["files"]) != 1:
            raise BoardError(f"trtexec runs one ONNX file, got {len(task['files'])}")
        self._program, self._task = program, task
        self._model = os.path.join(folder, task["files"][0])
        self._typed = os.path.join(folder, task["typed_file"]) if "typed_file" in task else None
        self._precision, self._batch = task.get("precision", "fp32"), task.get("batch", 1)
        self._engine = f"{self._model}.{self._precision}.{self._batch}.plan"
        self._times = f"{self._engine}.json"
        self._command = [program, f"--loadEngine={self._engine}", f"--exportTimes={self._times}"]
        self._command += [f"--warmUp={WARMUP_MS}", f"--duration={max(1, math.ceil(seconds))}"]
        self._command += [f"--iterations={MIN_RUNS}", *COMFORTS, "--noDataTransfers"]
        self.notes: list[str] = []  # of the engine, for every row that it gives
        if not os.path.exists(self._engine):
            self._build()
        else:
            self.notes = _read_notes(self._engine)

    def __call__(self) -> Timed:
        """Time the engine; a flag for comfort that this release refuses is left out, and noted."""
        try:
            return self._time()
        except BoardError as error:
            refused = [flag for flag in COMFORTS if option_refused(str(error), flag)]
            self._command = [part for part in self._command if part not in refused]
            if not refused:
                raise
            self._note(f"trtexec has no {', '.join(refused)}: timed without")
        return self()

    def _time(self) -> Timed:
        end_s, span_s = None, 0.0
        for line in _lines(self._command):
            told = re.search(r"Timing trace has \d+ queries over ([\d.]+) s", line)
            if told:  # printed when the last inference is done
                end_s, span_s = time.perf_counter(), float(told.group(1))
        times = read_times(self._times)
        return Timed(times, None if end_s is None else end_s - span_s, end_s)

    def _build(self) -> None:
        """Build aside and rename, so that a killed build leaves no half engine."""
        aside, flag = f"{self._engine}.tmp", f"--{self._precision}"
        command = [f"--saveEngine={aside}", "--iterations=1", "--duration=0", "--warmUp=0"]
        if self._task.get("shape"):
            sides = "x".join(map(str, [self._batch, *self._task["shape"]]))
            kinds = ("minShapes", "optShapes", "maxShapes", "shapes")
            command += [f"--{kind}=input:{sides}" for kind in kinds]
        asked = [] if self._precision == "fp32" else [flag]
        try:
            said = list(_lines([self._program, f"--onnx={self._model}", *command, *asked]))
            built = check_built(said, self._precision)
        except BoardError as error:
            if not (asked and option_refused(str(error), flag)):
                raise
            said = list(_lines([self._program, f"--onnx={self._typed_model()}", *command]))
            built = [f"{self._precision} by the types of the network: trtexec has no {flag}"]
        if not os.path.exists(aside):
            raise BoardError("trtexec ended well and left no engine; try a newer TensorRT")
        for note in (*built, *builder_warnings(said)):
            self._note(note)
        _write_notes(self._engine, self.notes)
        os.replace(aside, self._engine)

    def _typed_model(self) -> str:
        if self._precision != "fp16" or self._typed is None:
            raise BoardError(no_such_precision(self._precision))
        return self._typed

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) <= MAX_NOTES:
            self.notes.append(text[:MAX_CHARS])


def no_such_precision(precision: str) -> str:
    """Words for a release that takes the precision from the network alone."""
    return (
        f"this TensorRT has no --{precision}: it builds in the types of the network (TensorRT 11); "
        f"{precision} needs a network that brings them; measure "
        + ("fp16 or fp32, or " if precision == "int8" else "fp32, or ")
        + "use TensorRT 10"
    )


def option_refused(text: str, flag: str) -> bool:
    """Whether a tool's words say that it does not know an option."""
    name = re.escape(flag.lstrip("-"))
    words = (
        r"unknown|unrecogni[sz]ed|invalid|unsupported|not supported|no longer|removed|unexpected"
    )
    return bool(re.search(rf"\b{name}\b", text) and re.search(words, text, re.IGNORECASE))


def check_built(said: list[str], precision: str) -> list[str]:
    """Words about what the tool says that it builds in; BoardError: not in what was asked for."""
    told = [re.search(r"\bPrecision: ([\w+]+)", line) for line in said]
    built = [match.group(1).lower() for match in told if match]
    if built and precision not in built[-1].split("+"):
        raise BoardError(f"trtexec was asked for {precision} and builds {built[-1]}")
    return [f"trtexec builds in {built[-1]}"] if built else []


def builder_warnings(said: list[str]) -> list[str]:
    """The warnings among a tool's lines, once each, without their time stamps."""
    found = [line.split("[W]", 1)[1].strip() for line in said if "[W]" in line]
    return [f"trtexec warned: {text}" for text in dict.fromkeys(found) if text][:MAX_NOTES]


def _write_notes(engine: str, notes: list[str]) -> None:
    with open(f"{engine}.notes", "w", encoding="utf-8") as file:
        json.dump(notes, file)


def _read_notes(engine: str) -> list[str]:
    try:
        with open(f"{engine}.notes", encoding="utf-8") as file:
            return [str(note) for note in json.load(file)]
    except (OSError, ValueError, TypeError, RecursionError):
        return []


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
                said.append("".join(c if c.isprintable() else " " for c in line[:2000]).strip())
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
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise BoardError(
            f"trtexec left no readable times ({type(error).__name__}: {error})"
        ) from None
    if not times or not all(math.isfinite(ms) and ms > 0 for ms in times):
        raise BoardError(f"trtexec wrote {len(times)} times, expected positive ones")
    return times
