"""Damage by chance, and the limits within which a reader has to answer."""

from __future__ import annotations

import random
import re
import resource
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOSTILE = [
    *("nan", "-1", "1e999", "NaN", "Infinity", "-Infinity", "null", "true", '""', "[]", "{}"),
    *("9" * 400, "=cmd()", "\x1b[2J", "../../escape", "\u202e", "0x10", "1,5", "[" * 100_000),
    *("0", "1e308", "-0.0", "\x00", "{" * 500, '{"a":' * 5_000, "&a [*a,*a]", "\r", "'", "\ufeff"),
]
SECONDS = 10
BYTES = 1 << 30
FIGURE = re.compile(rb'-?\d+\.?\d*|"[^"]*"')


class TookTooLongError(BaseException):
    """Not an Exception: no reader may take it for a fault of its file."""


def damaged(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to three changes."""
    for _ in range(rng.randint(1, 3)):
        data = _CHANGES[rng.randrange(len(_CHANGES))](data, rng)
    return data


def _flipped(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return data
    found = bytearray(data)
    found[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(found)


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _repeated(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at : at + rng.randrange(1, 200)] * 2 + data[at:]


def _inserted(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(HOSTILE).encode() + data[at:]


def _replaced(data: bytes, rng: random.Random) -> bytes:
    """A figure or a text becomes one that cannot be."""
    start = rng.randrange(len(data) + 1)
    found = FIGURE.search(data, start) or FIGURE.search(data)
    if not found:
        return data
    return data[: found.start()] + rng.choice(HOSTILE).encode() + data[found.end() :]


def _dropped(data: bytes, rng: random.Random) -> bytes:
    """A line, or a field where there is one line."""
    mark = b"\n" if b"\n" in data[:-1] else b","
    start = data.rfind(mark, 0, rng.randrange(len(data) + 1)) + 1
    end = data.find(mark, start)
    return data[:start] + (data[end + 1 :] if end >= 0 else b"")


_CHANGES = (_flipped, _cut, _repeated, _inserted, _replaced, _dropped)


@contextmanager
def limits() -> Iterator[None]:
    """TookTooLongError after SECONDS; MemoryError where BYTES more than now are asked for.

    The kernel refuses them, so that no size of a damaged file is taken for a small one. A process
    that did nothing in its time, because it was stopped or waits, gets it once more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    begun, alarms = time.process_time(), list[int]()

    def too_long(number: int, frame: object) -> None:
        alarms.append(number)
        if len(alarms) > 1 or time.process_time() > begun + SECONDS / 2:
            raise TookTooLongError
        signal.setitimer(signal.ITIMER_REAL, SECONDS)

    before = signal.signal(signal.SIGALRM, too_long)
    resource.setrlimit(resource.RLIMIT_DATA, (_data_bytes() + BYTES, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def _data_bytes() -> int:
    """What this process has of memory for data, as the kernel counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[5])
    return pages * resource.getpagesize()


def plain(value: Any) -> str:
    """How an answer of a reader is compared."""
    return repr(value)
