"""A journal that a killed run left behind, made readable again."""

from __future__ import annotations

import json
from pathlib import Path

from search_spaces import InputError, write_bytes


def repair(journal: Path) -> None:
    """Make the journal of a killed run readable again; call it while the run's folder is held.

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
        write_bytes(journal, data)
    for number, line in enumerate(lines, start=1):
        if not _is_record(line):
            raise InputError(
                f"{journal} is damaged at line {number}; start again with `overwrite=True`"
            )


def _is_record(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False
