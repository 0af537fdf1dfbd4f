"""A CSV that is appended to row by row: a killed run leaves whole lines, and goes on from them."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.files import held, prepare_folder
from search_spaces import InputError, as_meant, harmless, read_bytes, write_bytes

TextRow = dict[str, str]  # a row as a file holds it
MAX_BYTES = 1 << 26  # of a file of rows
SYNC_S = 1.0  # a power cut may cost the rows of the last second


@contextmanager
def held_table(path: Path) -> Iterator[None]:
    """Hold the file of rows: two runs would measure the same rows, and disturb each other."""
    lock = path.with_name(f".{path.name}.lock")
    prepare_folder(path.parent)
    with held(lock, f"another `nas measure` writes to {path}; wait for it or choose another `out`"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


class Table:
    """The rows of `path`, as text, and room for more.

    Opening cuts off a torn last line. A row with columns that the file lacks gets them in: the
    file is then written anew, with empty cells above. InputError where the file cannot be read or
    written; rows that were appended before stay.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._synced = path, 0.0
        try:
            data = read_bytes(path, limit=MAX_BYTES) if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            reader = csv.DictReader(io.StringIO(whole.decode("utf-8-sig"), newline=""))
            self.rows: list[TextRow] = [_meant(row) for row in reader]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"cannot read {path}: {error}; choose another `out`") from None
        self.columns = list(reader.fieldnames or [])
        self._foreign = not _as_written(whole)
        fault = "has no line end" if data and not whole else _fault(self.columns, self.rows)
        if fault:
            raise InputError(f"{path} {fault}; choose another `out`")
        if len(whole) < len(data):  # of a table alone: any other file stays as it is
            self._cut(whole)

    def _cut(self, whole: bytes) -> None:
        try:
            write_bytes(self.path, whole)
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"cannot write to {self.path}: {reason}; choose another `out`"
            ) from None

    def append(self, row: Mapping[str, object]) -> None:
        """Write `row` behind the others; from here on it survives a kill."""
        text = {k: "" if v is None else str(v) for k, v in row.items()}
        new = [column for column in text if column not in self.columns]
        try:
            if new or self._foreign:
                self.columns += new
                self._rewrite([*self.rows, text])
                self._foreign = False
            else:
                with self.path.open("ab") as file:
                    file.write(self._csv([text]))
                    file.flush()  # the kernel has it now, a killed process loses nothing
                    if time.monotonic() > self._synced + SYNC_S:
                        os.fsync(file.fileno())
                        self._synced = time.monotonic()
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"cannot write to {self.path}: {reason}; its {len(self.rows)} rows are kept, the "
                "same command goes on"
            ) from None
        self.rows.append(text)

    def keep(self, wanted: Callable[[TextRow], bool]) -> int:
        """Drop the rows that are not `wanted`; returns how many."""
        kept = [row for row in self.rows if wanted(row)]
        dropped = len(self.rows) - len(kept)
        if dropped:
            self._rewrite(kept)
            self.rows = kept
        return dropped

    def replace(self, rows: list[TextRow]) -> None:
        """Write the file anew with `rows`, which may have more columns."""
        known = dict.fromkeys((*self.columns, *(name for row in rows for name in row)))
        self.columns = list(known)
        self._rewrite(rows)
        self.rows, self._foreign = rows, False

    def _rewrite(self, rows: list[TextRow]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        header = dict(zip(self.columns, self.columns, strict=True))
        write_bytes(self.path, self._csv([header, *rows]))

    def _csv(self, rows: list[TextRow]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writerows([{k: harmless(v) for k, v in row.items()} for row in rows])
        return text.getvalue().encode()


def _meant(row: dict[str, Any]) -> dict[str, Any]:
    """Cells as they were given; a row of another length keeps its None."""
    return {k: as_meant(v) if isinstance(v, str) else v for k, v in row.items()}


def _as_written(data: bytes) -> bool:
    """Whether a file is as this class writes it: an editor may leave a mark, or other line ends."""
    return not data.startswith(b"\xef\xbb\xbf") and b"\r\n" not in data


def _fault(columns: list[str], rows: list[TextRow]) -> str | None:
    """What keeps a file from being one of measurement rows."""
    if len(columns) == 1 and {";", "\t"} & set(columns[0]):
        return (
            "has columns without commas between them: a spreadsheet saved it; save it with commas"
        )
    if columns and "latency_ms" not in columns:
        return "has no column latency_ms"
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            return f"line {line}: lines of different length"
        try:
            positive = 0 < float(row["latency_ms"]) < float("inf")
        except ValueError:
            positive = False
        if not positive:
            return f"line {line}: latency_ms must be positive, got {row['latency_ms']!r}"
        for name in ("latency_p95_ms", "energy_mj"):
            if not _may_stand(text := row.get(name) or ""):
                return f"line {line}: {name} must be positive or empty, got {text!r}"
    return None


def _may_stand(text: str) -> bool:
    """Whether a cell is empty, unknown (`nan`) or a positive number."""
    try:
        return not text or not float(text) <= 0
    except ValueError:
        return False
