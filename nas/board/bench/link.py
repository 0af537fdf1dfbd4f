"""The line to the host: JSON lines in and out, and what happens when it breaks.

From the host: `{"plan": {...}}`, `{"task": {...}}` for each task, `{"end": true}`; later
`{"stop": true}` or `{"forget": true}`. A line that breaks after the plan stops
nothing: rows go on into their file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from io import FileIO
from typing import Any, Iterator

from ..control.sysfs import BoardError

MAX_LINE = 1 << 24  # bytes of one message


class Link:
    """Messages over two unbuffered streams: a thread that waits in a buffered one breaks the exit.

    `source` is set before the plan is read.
    """

    def __init__(self, sink: FileIO) -> None:
        self.source: FileIO | None = None
        self._sink, self._rest = sink, b""
        self._whole = True
        self.forget = False  # the host has every row
        self.closed = threading.Event()  # nothing more will come from the host
        self.owner: int | None = None  # the process that measures this plan, where it is another

    def plan(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The head of the plan and its tasks."""
        head: dict[str, Any] = {}
        tasks = []
        for message in self._messages():
            if "plan" in message:
                head = message["plan"]
            elif "task" in message:
                tasks.append(message["task"])
            elif "end" in message:
                return head, tasks
        raise BoardError("the plan ended before its last line")

    def listen(self) -> None:
        """From now on act on what the host says, in a thread."""
        threading.Thread(target=self._listen, name="link", daemon=True).start()

    def say(self, message: dict[str, Any]) -> None:
        """Send one message; without effect once the line is broken."""
        if not self._whole:
            return
        try:
            left = json.dumps(message).encode() + b"\n"
            while left:
                left = left[self._sink.write(left) :]
        except (OSError, ValueError):
            self._whole = False

    def _listen(self) -> None:
        with contextlib.suppress(BoardError, OSError, ValueError):
            for message in self._messages():
                self.forget = self.forget or "forget" in message
                if "stop" in message:
                    for process in (self.owner, os.getpid()):
                        if process is not None:
                            with contextlib.suppress(ProcessLookupError, PermissionError):
                                os.kill(process, signal.SIGTERM)
                if "forget" in message:
                    break
        self.closed.set()

    def _lines(self) -> Iterator[bytes]:
        assert self.source is not None
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if end:
                self._rest = rest
                yield line
                continue
            more = self.source.read(1 << 16)
            if not more:
                return
            if len(self._rest) > MAX_LINE:
                raise BoardError(f"the plan has a line of over {MAX_LINE} bytes")
            self._rest += more

    def _messages(self) -> Iterator[dict[str, Any]]:
        for line in self._lines():
            try:
                message = json.loads(line.decode())
            except (ValueError, RecursionError):
                raise BoardError(f"the plan has a line that is no JSON: {line[:80]!r}") from None
            if not isinstance(message, dict):
                raise BoardError(f"the plan has a line that is no object: {line[:80]!r}")
            yield message
