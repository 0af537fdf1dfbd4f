"""A table file as text cells with line numbers, and checks that name file, line and column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from predictors.dialect import TableError, csv_rows
from search_spaces import InputError, Space, harmless

MOST = 1e9  # of a whole number: levels, batches and runs are counted
LONGEST = 300  # characters of what was found in a message
Hint = Callable[[str, Sequence[str]], str]


class LacksError(TableError):
    """A table without a column that is needed."""


def read_cells(
    path: Path,
    required: Iterable[str],
    convert: Callable[[pd.DataFrame, Path], pd.DataFrame] | None = None,
    hint: Hint | None = None,
) -> pd.DataFrame:
    """All cells of a CSV or Parquet file as text; the index holds 1-based line (row) numbers.

    `required` names columns; `a or b` means that one of them is enough. `convert` may make them of
    others, `hint` says of one that is missing which may be meant. Empty cells are "".
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
        raise LacksError(
            f"{path} lacks the column(s) {', '.join(missing)}; found {found[:LONGEST]}"
            + _why_missing(cells, missing, hint)
        )
    if cells.empty:
        raise TableError(f"{path} has a header but no rows")
    return cells


def _why_missing(cells: pd.DataFrame, missing: list[str], hint: Hint | None) -> str:
    names = list(map(str, cells.columns))
    if len(cells) and set(missing) & set(cells.iloc[:, 0]):
        return "; its columns are in lines: transpose it"
    if len(names) == 1 and any(name in names[0] for name in missing):
        return "; separate columns by commas"
    words = filter(None, (hint(name, names) for name in missing)) if hint else ()
    return "".join(f"; {one}" for one in words)


def _read_csv(path: Path) -> pd.DataFrame:
    rows = csv_rows(path)
    if not rows:
        raise TableError(f"{path} is empty")
    first = next(iter(rows))
    header = rows.pop(first)
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        found = ", ".join(map(repr, repeated))[:LONGEST]
        raise TableError(f"{path} line {first} repeats a column in its header: {found}")
    for line, row in rows.items():
        if len(row) != len(header):
            raise TableError(
                f"{path} line {line} has {len(row)} cells, its header has {len(header)}"
            )
    index = pd.Index(list(rows), dtype=np.int64, name="line")
    return pd.DataFrame(list(rows.values()), index=index, columns=header, dtype=str)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
        frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
        return frame.astype(object).where(frame.notna(), "").map(str).astype(str)
    except ImportError:
        raise TableError(
            f"{path}: Parquet needs pyarrow: pip install 'nas[parquet]', or write CSV"
        ) from None
    except Exception as error:  # pyarrow has many kinds, also when text is taken out
        reason = " ".join(str(error).split())[:LONGEST]
        raise TableError(f"{path} is no readable Parquet file: {reason}") from None


def place(path: Path, cells: pd.DataFrame | pd.Series, line: object) -> str:
    """`FILE line 3`, or `FILE row 3` of a Parquet file: where an error message points."""
    return f"{path} {cells.index.name or 'line'} {line}"


def numbers(
    cells: pd.DataFrame, column: str, path: Path, *, positive: bool, required: bool
) -> pd.Series:
    """One column as finite float64, positive or at least 0; empty cells become NaN if optional.

    A cell may repeat the unit that the column's name ends in, `0.43 ms` or `7.1 %`.
    """
    text = cells[column]
    values = pd.to_numeric(text, errors="coerce").astype(float)
    if values.isna().any():
        unit = column.rsplit("_", 1)[-1].replace("pct", "(?:pct|%)")
        plain = text.str.replace(rf"(?i)(?<=[\d.])\s*{unit}$", "", regex=True)
        values = pd.to_numeric(plain, errors="coerce").astype(float)
    good = np.isfinite(values) & ((values > 0) if positive else (values >= 0))
    empty = text == ""
    for line in text.index[~good & ~(empty & (not required))]:
        wanted = "a positive number" if positive else "a number of at least 0"
        found = "an empty cell; fill it in, or remove the row" if empty[line] else repr(text[line])
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
