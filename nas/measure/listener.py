"""Where measuring reports what it does; the command line draws it."""

from __future__ import annotations

from typing import Protocol


class Listener(Protocol):
    """Called as the rows come, always in the thread that measures."""

    def say(self, text: str) -> None:
        """A remark for a person, in one line."""
        ...

    def row(self, done: int, total: int, note: str) -> None:
        """So many of all rows are measured; `note` is of the last one."""
        ...


class Silent:
    """A listener that shows nothing."""

    def say(self, text: str) -> None:
        pass

    def row(self, done: int, total: int, note: str) -> None:
        pass
