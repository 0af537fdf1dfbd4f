"""A table file as text cells with line numbers, and checks that name file, line and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from search_spaces import InputError, Space, as_meant, harmless

MOST = 1e9  # of a whole number: levels, batches and runs are counted
LONGEST = 300  # characters of what was found in a message


class TableError(InputError):
    """A table cannot be used; the message names the file, the line, the column and the value."""


def read_cells(
    path: Path,
    required: Iterable[str],
    convert: Callable[[pd.DataFrame, Path], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """All cells of a CSV or Parquet file as text; the index holds 1-based line (row) numbers.

    `required` names columns; `a or b` means that one of them is enough. `convert` may make them of
    others. Empty cells are "".
    """
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist or is no file"
        raise TableError(f"{path} {found}; give a CSV or Parquet file")
    parquet = path.suffix.lower() in (".parquet", ".pq")
    cells = _read_parquet(path) if parquet else _read_csv(path)
    if convert is not None and not cells.empty:
        cells = convert(cells, path)
    missing = [c for c in required if not cells.columns.isin(c.split(" or ")).any()]
    if missing:
        found = " ".join(", ".join(map(str, cells.columns)).split())
        raise TableError(
            f"{path} lacks the column(s) {', '.join(missing)}; found {found[:LONGEST]}"
        )
    if cells.empty:
        raise TableError(f"{path} has a header but no rows")
    return cells


def _read_csv(path: Path) -> pd.DataFrame:
    rows = _csv_rows(path)
    if not rows:
        raise TableError(f"{path} is empty")
    first = next(iter(rows))
    header = [as_meant(name.strip()) for name in rows.pop(first)]
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise TableError(
            f"{path} line {first} repeats a column in its header: {', '.join(map(repr, repeated))}"
        )
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise TableError(f"{path} line {first}: columns must be separated by commas")
    for line, row in rows.items():
        if len(row) != len(header):
            raise TableError(
                f"{path} line {line} has {len(row)} cells, its header has {len(header)}"
            )
    body = [[as_meant(cell.strip()) for cell in row] for row in rows.values()]
    index = pd.Index(list(rows), dtype=np.int64, name="line")
    return pd.DataFrame(body, index=index, columns=header, dtype=str)


def _csv_rows(path: Path) -> dict[int, list[str]]:
    """Cells of every row that is not blank, by the number of its last line."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte {data[error.start]:#04x}"
        raise TableError(f"{path} line {line} is no CSV text in UTF-8: {found}") from None
    # The csv module knows the line of every row, also behind blank lines and quoted line breaks.
    reader = csv.reader(io.StringIO(text, newline=""))
    rows = {}
    try:
        for row in reader:
            if row:
                rows[reader.line_num] = row
    except csv.Error as error:
        raise TableError(f"{path} line {reader.line_num} is no CSV text: {error}") from None
    return rows


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise TableError(f"{path}: Parquet needs pyarrow; install it or write CSV") from None
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError) as error:
        reason = " ".join(str(error).split())  # pyarrow's errors derive from these
        raise TableError(f"{path} is no readable Parquet file: {reason}") from None
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame.astype(object).where(frame.notna(), "").map(str).astype(str)


def place(path: Path, cells: pd.DataFrame | pd.Series, line: object) -> str:
    """`FILE line 3`, or `FILE row 3` of a Parquet file: where an error message points."""
    return f"{path} {cells.index.name or 'line'} {line}"


def numbers(
    cells: pd.DataFrame, column: str, path: Path, *, positive: bool, required: bool
) -> pd.Series:
    """One column as finite float64, positive or at least 0; empty cells become NaN if optional."""
    text = cells[column]
    values = pd.to_numeric(text, errors="coerce").astype(float)
    good = np.isfinite(values) & ((values > 0) if positive else (values >= 0))
    empty = text == ""
    for line in text.index[~good & ~(empty & (not required))]:
        wanted = "a positive number" if positive else "a number of at least 0"
        found = "an empty cell" if empty[line] else repr(text[line])
        if "," in text[line]:
            found += "; write it without thousands separators and with a decimal point"
        raise TableError(f"{place(path, cells, line)}: {column} must be {wanted}, got {found}")
    return values


def whole_numbers(cells: pd.DataFrame, column: str, path: Path, *, least: int) -> pd.Series:
    """An optional column of whole numbers: int64, or float64 with NaN where cells are empty."""
    values = numbers(cells, column, path, positive=least > 0, required=False)
    for line in values.index[values.notna() & ((values % 1 != 0) | (values > MOST))]:
        found = cells[column][line]
        raise TableError(
            f"{place(path, cells, line)}: {column} must be a whole number, got {found!r}"
        )
    return values if values.isna().any() else values.astype(np.int64)


def canonical_subnets(cells: pd.DataFrame, space: Space, path: Path) -> pd.Series:
    """Column `subnet` in canonical spelling, so that equal networks are equal strings."""
    seen: dict[str, str] = {}
    for line, text in cells["subnet"].items():
        if text not in seen:
            try:
                seen[text] = str(space.parse(text))
            except InputError as error:
                reason = str(error)[:LONGEST]
                raise TableError(f"{place(path, cells, line)}: subnet: {reason}") from None
    return cells["subnet"].map(seen)


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV in which no text is a formula to a spreadsheet; `read_cells` reads it back."""
    texts = table.select_dtypes(["object", "string"]).columns
    plain = {c: table[c].map(lambda v: harmless(v) if isinstance(v, str) else v) for c in texts}
    named = table.assign(**plain).rename(columns=harmless)
    return named.to_csv(index=False, lineterminator="\n")
