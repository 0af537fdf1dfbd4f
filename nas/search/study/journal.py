"""Optuna's journal: read so that a damaged line is named, and made whole after a kill."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend

from nas.files import record_of
from search_spaces import InputError, read_bytes, write_bytes

MAX_JOURNAL = 1 << 29  # bytes
MAX_LINE = 1 << 25  # bytes of a record; one has some hundred
BEGINNING = b'{"op_code":'  # of every record, as Optuna writes it


class Journal(JournalFileBackend):
    """A journal whose blank lines count for nothing; `mend` says what to do about damage."""

    def __init__(self, path: Path, lock: Any, mend: str) -> None:
        if path.exists():
            check_torn(path, mend)
        super().__init__(str(path), lock_obj=lock)
        self.path, self.mend = path, mend
        self._read = self._line = self._place = 0  # records, lines and bytes that were read

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        """The records from `log_number_from` on. InputError: a line that is none."""
        if log_number_from != self._read:
            self._read = self._line = self._place = 0
        with self.path.open("rb") as file:
            file.seek(self._place)
            left = os.fstat(file.fileno()).st_size - self._place  # others may go on writing
            while line := file.readline(MAX_LINE):
                left -= len(line)
                if len(line) == MAX_LINE:
                    self._line += 1
                    raise self.damaged()
                if left < 0 or not line.endswith(b"\n"):
                    return
                self._line, self._place = self._line + 1, self._place + len(line)
                if not line.strip():
                    continue
                record = record_of(line)
                if record is None:
                    raise self.damaged()
                self._read += 1
                if self._read > log_number_from:
                    yield record

    def damaged(self) -> InputError:
        """What to raise for the line that was read last."""
        return _damaged(self.path, self._line, self.mend)


def repair(journal: Path) -> None:
    """Make the journal of a killed run readable again; call it while the run's folder is held.

    Cuts a torn last line, which would make Optuna's journal unreadable for good once another line
    joins it, and removes the lock of the dead process, which would cost 30 s.
    """
    for leftover in journal.parent.glob(journal.name + ".lock*"):
        leftover.unlink()
    last = _last_line(journal)
    if last.strip() and not (last.endswith(b"\n") and record_of(last)):
        write_bytes(journal, read_bytes(journal, limit=MAX_JOURNAL)[: -len(last)])


def check_torn(journal: Path, mend: str) -> None:
    """InputError where an unfinished last line is none that a killed search left: it is kept."""
    last = _last_line(journal)
    if not last.endswith(b"\n") and not BEGINNING.startswith(last[: len(BEGINNING)]):
        lines = read_bytes(journal, limit=MAX_JOURNAL).count(b"\n")
        raise _damaged(journal, lines + 1, mend)


def _last_line(journal: Path) -> bytes:
    """With its end if it has one; InputError where it is longer than any record."""
    if not journal.is_file():
        raise InputError(f"{journal} is no file, expected the journal of an Optuna study")
    with journal.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - MAX_LINE))
        end = file.read()
    start = end[:-1].rfind(b"\n") + 1
    if not start and size > MAX_LINE:
        raise InputError(f"{journal} ends in a line of over {MAX_LINE >> 20} MiB: no journal")
    return end[start:]


def _damaged(journal: Path, line: int, mend: str) -> InputError:
    return InputError(
        f"{journal} is damaged at line {line}, or is no journal of an Optuna study; {mend}"
    )
