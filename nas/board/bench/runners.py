"""What is timed: a runner makes `(run, sync)` from a task, a plain dict.

- `onnxruntime`: `files` are ONNX models; of several, each takes the first output of the one before.
- `command`: `command` is a list of arguments, started once, no shell; per inference it reads one
  line from its standard input and prints one line when done. `{folder}` is where the files
  are.
- `trtexec`: TensorRT; `files` is one ONNX model, `shape` its input's without batch, `precision`;
  `typed_file` is the model in the types of that precision, for releases without a flag for it.
- `module`: the first of `files` is a Python file with `make(task, folder) -> (run, sync)`. A `run`
  with a true attribute `times_itself` returns `(times_ms, start_s, end_s)` of many inferences.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from typing import Any, Callable, Tuple

from ..control.sysfs import BoardError
from .trtexec import Trtexec

Pair = Tuple[Callable[[], Any], Callable[[], Any]]
CLOSE_S = 5.0


def make_runner(task: dict[str, Any], folder: str, seconds: float = 2.0) -> Pair:
    """The pair of a task whose files lie in `folder`; BoardError says what is missing.

    `seconds` is how long a tool that times itself shall run.
    """
    kind = task.get("runner")
    if kind not in RUNNERS:
        raise BoardError(f"runner {kind!r} is unknown; there are {', '.join(RUNNERS)}")
    for name in [*task.get("files", []), *([task["typed_file"]] if "typed_file" in task else [])]:
        if not os.path.isfile(os.path.join(folder, name)):
            raise BoardError(f"{name} is not in {folder}; ship it with the plan")
    return RUNNERS[kind](task, folder, seconds)


def close_runner(pair: Pair) -> None:
    """End what the runner started."""
    close = getattr(pair[0], "close", None)
    if close is not None:
        close()


def _nothing() -> None:
    """A runner whose call returns when the work is done needs no synchronisation."""


def _onnxruntime(task: dict[str, Any], folder: str, seconds: float) -> Pair:
    try:
        import numpy as np
        import onnxruntime
    except ImportError as error:
        raise BoardError(
            f"{error}; install onnxruntime on the board, or choose another runner"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = task.get("threads", 1)
    options.log_severity_level = 3  # a board without /sys/class/drm is warned about at each session
    wanted = task.get("providers", ["CPUExecutionProvider"])
    absent = set(wanted) - set(onnxruntime.get_available_providers())
    if absent:
        here = ", ".join(onnxruntime.get_available_providers())
        raise BoardError(f"onnxruntime here has no {', '.join(sorted(absent))}; it has {here}")
    paths = [os.path.join(folder, name) for name in task["files"]]
    try:
        sessions = [onnxruntime.InferenceSession(path, options, providers=wanted) for path in paths]
    except Exception as error:  # its own classes of errors are private
        raise BoardError(f"onnxruntime refuses {', '.join(task['files'])}: {error}") from None
    first = sessions[0].get_inputs()[0]
    shape = [task.get("batch", 1), *first.shape[1:]]
    if not all(isinstance(side, int) for side in shape):
        raise BoardError(f"{task['files'][0]} has input {first.name} of open shape {first.shape}")
    kind = {"tensor(float)": np.float32, "tensor(float16)": np.float16}.get(first.type)
    if kind is None:
        raise BoardError(f"{task['files'][0]} takes {first.type}, expected float or float16")
    image = np.random.default_rng(0).standard_normal(shape).astype(kind)
    names = [session.get_inputs()[0].name for session in sessions]

    def run() -> None:
        x = image
        for session, name in zip(sessions, names):
            x = session.run(None, {name: x})[0]

    return run, _nothing


class _Command:
    """A program that answers each line with a line."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                bufsize=0,
            )
        except OSError as error:
            raise BoardError(f"cannot start {arguments[0]}: {error.strerror or error}") from None
        assert self._process.stdout is not None
        self._answers = os.fdopen(os.dup(self._process.stdout.fileno()), "rb")

    def __call__(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(b"\n")
            answer = self._answers.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            code = self._process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip().splitlines()[-1:]
            raise BoardError(
                f"{' '.join(self.arguments)} ended with code {code} without an answer"
                f"{': ' + said[0] if said else ''}; it must print one line per line it reads"
            )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._said.close()


def _command(task: dict[str, Any], folder: str, seconds: float) -> Pair:
    arguments = [str(part).replace("{folder}", folder) for part in task.get("command", [])]
    if not arguments:
        raise BoardError("a `command` task needs `command`, a list of arguments")
    return _Command(arguments), _nothing


def _module(task: dict[str, Any], folder: str, seconds: float) -> Pair:
    path = os.path.join(folder, task["files"][0])
    spec = importlib.util.spec_from_file_location("nas_board_backend", path)
    if spec is None or spec.loader is None:
        raise BoardError(f"{task['files'][0]} is no Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        run, sync = module.make(task, folder)
    except BoardError:
        raise
    except Exception as error:  # foreign code
        raise BoardError(f"{task['files'][0]}: {type(error).__name__}: {error}") from None
    return run, sync


RUNNERS: dict[str, Callable[[dict[str, Any], str, float], Pair]] = {
    "onnxruntime": _onnxruntime,
    "command": _command,
    "trtexec": lambda task, folder, seconds: (Trtexec(task, folder, seconds), _nothing),
    "module": _module,
}
