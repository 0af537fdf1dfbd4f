"""What a board says, line by line: never trusted, for a board is another machine."""

from __future__ import annotations

import json
import math
from typing import Any, TypedDict, cast

from search_spaces import InputError
from search_spaces.rows import ROW_CLOCKS

MAX_LINE = 1 << 20  # bytes; a row has some thousand
MAX_TEXT, MAX_ITEMS, MAX_DEPTH = 2000, 1000, 6
KINDS = ("found", "waiting", "restored", "row", "error", "fatal", "stopped", "done")
POSITIVE = ("latency_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms", "n_runs")
NOT_NEGATIVE = ("energy_mj", "power_w", "idle_w", *ROW_CLOCKS, "attempts")
LISTS = ("pinned", "notes", "rejected")
TEXTS = ("id", "source", "measured_at")


WireRow = dict[str, Any]
"""A row as a board sends it: columns of `search_spaces.Row`, some as lists, and the task's `id`."""


class Message(TypedDict, total=False):
    """One line of the agent; `dropped` is what this side adds to them."""

    found: dict[str, object]  # what `board.bench.discover` says
    waiting: str  # for whom
    restored: list[str]  # what a killed agent had left changed
    row: WireRow
    id: str  # of the task that failed
    error: str  # why it failed
    fatal: str
    stopped: str  # by which signal
    done: bool
    dropped: str


class BadRowError(InputError):
    """A row that cannot be true; `id` is its task's."""

    def __init__(self, message: str, id_: str) -> None:
        super().__init__(message)
        self.id = id_


def read_message(line: bytes) -> Message:
    """One message of the agent, with printable text and finite numbers alone.

    InputError: it is none. BadRowError: it is a row whose figures cannot be measurements.
    """
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise InputError(
            f"printed {show(line)} in between; its login shell must be silent when it is not used "
            "by hand"
        ) from None
    if not isinstance(message, dict) or not set(message) & set(KINDS):
        raise InputError(f"printed {show(line)}, expected a message with one of {', '.join(KINDS)}")
    message = _clean(message)
    if "row" in message:
        _check_row(message["row"])
    elif "error" in message and not isinstance(message.get("id"), str):
        raise InputError(f"printed an error without the id of its task: {show(line)}")
    return cast(Message, message)


def show(line: bytes) -> str:
    """The beginning of a line, printable and in quotes."""
    return ascii(line[:80].decode("utf-8", "replace"))


def _no_number(text: str) -> float:
    return math.nan  # NaN and Infinity are no JSON; a row that holds one is named as such


def _clean(value: Any, depth: int = 0) -> Any:
    """`value` with its texts cut and made printable; what is too deep or long is left out."""
    if isinstance(value, str):
        return "".join(c if c.isprintable() else " " for c in value[:MAX_TEXT])
    if depth == MAX_DEPTH:
        return None
    if isinstance(value, dict):
        items = list(value.items())[:MAX_ITEMS]
        return {_clean(key): _clean(part, depth + 1) for key, part in items}
    if isinstance(value, list):
        return [_clean(part, depth + 1) for part in value[:MAX_ITEMS]]
    return value


def _check_row(row: Any) -> None:
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise InputError("sent a row without the id of its task")
    for name in POSITIVE + NOT_NEGATIVE:
        value = row.get(name)
        if value is None and name != "latency_ms":
            continue
        least = 0 if name in NOT_NEGATIVE else 5e-324
        if value is None or not _is_number(value) or value < least:
            wanted = "a number of 0 or more" if name in NOT_NEGATIVE else "a positive number"
            raise _bad(row, f"{name} is {value!r}, expected {wanted}")
    for name in LISTS:
        value = row.get(name, [])
        if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
            raise _bad(row, f"{name} is no list of texts")
    for name, value in row.items():
        if name in TEXTS and not isinstance(value, str):
            raise _bad(row, f"{name} is no text")
        if isinstance(value, (int, float)) and not _is_number(value):
            raise _bad(row, f"{name} is {value!r}")
        if isinstance(value, (dict, list)) and name not in (*LISTS, "rails_w"):
            raise _bad(row, f"{name} is a {type(value).__name__}, expected a number or a text")
    row.setdefault("pinned", [])


def _bad(row: WireRow, fault: str) -> BadRowError:
    return BadRowError(f"the board sent a row that cannot be true: {fault[:200]}", str(row["id"]))


def _is_number(value: Any) -> bool:
    """A finite number that a table can hold."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e15 if isinstance(value, int) else math.isfinite(value)
