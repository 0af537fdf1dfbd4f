"""A table file as text cells with line numbers, and checks that name file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from search_spaces import InputError, Space


class TableError(InputError):
    """A table cannot be used; the message names the file, the line, the column and the value."""


def read_cells(path: Path, required: Iterable[str]) -> pd.DataFrame:
    """All cells of a CSV or Parquet file as text; the index holds 1-based line (row) numbers.

    `required` names columns; `a or b` means that one of them is enough. Empty cells are "".
    """
    if not path.is_file():
        raise TableError(f"{path} does not exist or is no file")
    parquet = path.suffix.lower() in (".parquet", ".pq")
    cells = _read_parquet(path) if parquet else _read_csv(path)
    missing = [c for c in required if not cells.columns.isin(c.split(" or ")).any()]
    if missing:
        found = ", ".join(cells.columns)
        raise TableError(f"{path} lacks the column(s) {', '.join(missing)}; found {found}")
    if cells.empty:
        raise TableError(f"{path} has a header but no rows")
    return cells


def _read_csv(path: Path) -> pd.DataFrame:
    # The csv module knows the line of every row, also behind blank lines and quoted line breaks.
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} is no CSV text in UTF-8: {error}") from None
    rows = {line: row for line, row in lines if row}
    if not rows:
        raise TableError(f"{path} is empty")
    header = [name.strip() for name in rows.pop(next(iter(rows)))]
    if len(set(header)) < len(header):
        raise TableError(f"{path} repeats a column in its header: {', '.join(header)}")
    for line, row in rows.items():
        if len(row) != len(header):
            raise TableError(
                f"{path} line {line} has {len(row)} cells, its header has {len(header)}"
            )
    body = [[cell.strip() for cell in row] for row in rows.values()]
    return pd.DataFrame(body, index=list(rows), columns=header, dtype=str)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except ImportError:
        raise TableError(f"{path}: Parquet needs pyarrow; install it or write CSV") from None
    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
        raise TableError(f"{path} is no readable Parquet file: {error}") from None
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    return frame.astype(object).where(frame.notna(), "").map(str).astype(str)


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
        raise TableError(f"{path} line {line}: {column} must be {wanted}, got {found}")
    return values


def whole_numbers(cells: pd.DataFrame, column: str, path: Path, *, least: int) -> pd.Series:
    """An optional column of whole numbers: int64, or float64 with NaN where cells are empty."""
    values = numbers(cells, column, path, positive=least > 0, required=False)
    for line in values.index[values.notna() & (values % 1 != 0)]:
        found = cells[column][line]
        raise TableError(f"{path} line {line}: {column} must be a whole number, got {found!r}")
    return values if values.isna().any() else values.astype(np.int64)


def canonical_subnets(cells: pd.DataFrame, space: Space, path: Path) -> pd.Series:
    """Column `subnet` in canonical spelling, so that equal networks are equal strings."""
    seen: dict[str, str] = {}
    for line, text in cells["subnet"].items():
        if text not in seen:
            try:
                seen[text] = str(space.parse(text))
            except InputError as error:
                raise TableError(f"{path} line {line}: subnet: {error}") from None
    return cells["subnet"].map(seen)
