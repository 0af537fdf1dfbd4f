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
from typing import Any, BinaryIO

from .sysfs import BoardError


class Link:
    """Standard input and output, or any two binary streams."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
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
            self._sink.write(json.dumps(message).encode() + b"\n")
            self._sink.flush()
        except (OSError, ValueError):
            self._whole = False

    def _listen(self) -> None:
        with contextlib.suppress(BoardError, OSError, ValueError):
            for message in self._messages():
                self.forget = self.forget or "forget" in message
                if "stop" in message:
                    for process in (self.owner, os.getpid()):
                        if process is not None:
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(process, signal.SIGTERM)
                if "forget" in message:
                    break
        self.closed.set()

    def _messages(self) -> Any:
        for line in iter(self._source.readline, b""):
            try:
                message = json.loads(line.decode())
            except ValueError:
                raise BoardError(f"the plan has a line that is no JSON: {line[:80]!r}") from None
            if not isinstance(message, dict):
                raise BoardError(f"the plan has a line that is no object: {line[:80]!r}")
            yield message
