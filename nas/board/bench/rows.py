"""The file of rows on the board: JSON lines, each on disk before it is sent."""

from __future__ import annotations

import json
import os
from typing import Any


def _message(line: bytes) -> dict[str, Any] | None:
    """None for a damaged line: its row is measured again."""
    try:
        message = json.loads(line.decode())
    except (ValueError, RecursionError):
        return None
    whole = isinstance(message, dict) and isinstance(message.get("row", {}), dict)
    return message if whole else None


class Rows:
    """Appended by the process that owns the board, read along by one that waits for it."""

    def __init__(self, path: str) -> None:
        self.path, self._read = path, 0

    def fresh(self) -> list[dict[str, Any]]:
        """Whole messages that were written since the last call."""
        if not os.path.exists(self.path):
            return []
        with open(self.path, "rb") as file:
            file.seek(self._read)
            lines = [line for line in file.read().splitlines(True) if line.endswith(b"\n")]
        self._read += sum(map(len, lines))
        messages = map(_message, lines)
        return [message for message in messages if message is not None]

    def append(self, message: dict[str, Any]) -> None:
        """Add one message; a torn line that a killed process left is cut off first."""
        line = json.dumps(message).encode() + b"\n"
        with open(self.path, "a+b") as file:
            file.seek(self._read)
            rest = file.read()
            file.truncate(self._read + rest.rfind(b"\n") + 1)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._read += rest.rfind(b"\n") + 1 + len(line)

    def delete(self) -> None:
        """Once the host has every row."""
        if os.path.exists(self.path):
            os.remove(self.path)
        self._read = 0
