"""How far an export is."""

from __future__ import annotations

from collections.abc import Callable

Step = Callable[[str, int, int], None]
"""Told what is done, how much of it, and how much there is."""


def no_step(what: str, done: int, total: int) -> None:
    """Shows nothing."""
