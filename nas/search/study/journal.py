"""The study on disk, and what a killed run can leave behind in it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from search_spaces import InputError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; the kernel lets go of it when the process dies."""
    with (folder / "run.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another search is running in {folder}; wait for it or choose another --out"
            ) from None
        yield


def repair(journal: Path) -> None:
    """Make the journal of a killed run readable again; call it inside `exclusive`.

    Cuts a torn last line, which would make Optuna's journal unreadable for good once another line
    joins it, and removes the lock of the dead process, which would cost 30 s. InputError where
    another line is damaged.
    """
    for leftover in journal.parent.glob(journal.name + ".lock*"):
        leftover.unlink()
    data = journal.read_bytes()
    lines = data.splitlines(keepends=True)
    if lines and not _is_record(lines[-1]):
        data = data[: len(data) - len(lines.pop())]
        temporary = journal.with_name(journal.name + ".tmp")
        temporary.write_bytes(data)
        os.replace(temporary, journal)
    for number, line in enumerate(lines, start=1):
        if not _is_record(line):
            raise InputError(f"{journal} is damaged at line {number}; start again with --overwrite")


def _is_record(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False
