"""Measured rows, read from a file and checked: the columns of `search_spaces.Row`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from predictors.cells import (
    canonical_subnets,
    numbers,
    place,
    read_cells,
    whole_numbers,
)
from predictors.dialect import TableError
from predictors.units import in_our_units, like
from search_spaces import Bools, Genes, InputError, Space, parse_heads
from search_spaces.rows import ROW_CLOCKS, ROW_POSITIVE, ROW_REQUIRED, ROW_WHOLE

MIN_TARGET_ROWS, MIN_TARGET_SUBNETS = 8, 5


def read_rows(path: Path | str, space: Space, *, lines: bool = False) -> pd.DataFrame:
    """Checked rows of a CSV or Parquet file that was measured on `space`.

    Needs the columns ROW_REQUIRED; columns that are not ours are kept as text. Numeric columns
    become numbers (NaN where an optional cell is empty), `subnet` gets its canonical spelling.
    TableError names the first fault by line (CSV, the header is line 1) or row (Parquet); with
    `lines` these numbers stay in the index.
    """
    path = Path(path)
    rows = read_cells(path, ROW_REQUIRED, in_our_units, like)
    _check_space(rows, space, path)
    for line in rows.index[rows["device"] == ""]:
        raise TableError(f"{place(path, rows, line)}: device must be a name, got an empty cell")
    _check_programs(rows, space, path)
    rows["latency_ms"] = numbers(rows, "latency_ms", path, positive=True, required=True)
    _check_numbers(rows, path)
    clocks = rows[rows.columns.intersection(["gpu_mhz", "level"])]
    for line in rows.index[clocks.isna().all(axis=1)]:
        at = place(path, rows, line)
        raise TableError(f"{at}: gpu_mhz or level must be given, got empty cells")
    return rows if lines else rows.reset_index(drop=True)


def read_subnets(path: Path | str, space: Space) -> pd.DataFrame:
    """Programs to predict: column `subnet`, optional `heads`, clocks or level; others are kept.

    Checked and spelled as `read_rows` does; costs, if there are some, are not looked at.
    """
    path = Path(path)
    programs = read_cells(path, ("subnet",), in_our_units)
    if "space" in programs:
        _check_space(programs, space, path)
    _check_programs(programs, space, path)
    _check_numbers(programs, path, [*ROW_CLOCKS, "level"])
    return programs.reset_index(drop=True)


def _check_space(rows: pd.DataFrame, space: Space, path: Path) -> None:
    for line in rows.index[rows["space"] != space.name]:
        found = rows["space"][line]
        raise TableError(f"{place(path, rows, line)}: space must be {space.name}, got {found!r}")


def _check_programs(rows: pd.DataFrame, space: Space, path: Path) -> None:
    """Canonical `subnet`, and `heads` that the space has."""
    rows["subnet"] = canonical_subnets(rows, space, path)
    if "heads" in rows:  # one head alone is a number to pandas and to Excel
        rows["heads"] = rows["heads"].str.replace(r"^(\d+)\.0$", r"\1", regex=True)
    for text in rows["heads"].unique() if "heads" in rows else ():
        try:
            parse_heads(text, space.n_exits)
        except InputError as error:
            at = place(path, rows, rows.index[rows["heads"] == text][0])
            raise TableError(f"{at}: {error}") from None


def _check_numbers(
    rows: pd.DataFrame, path: Path, only: Sequence[str] = (*ROW_POSITIVE, *ROW_WHOLE)
) -> None:
    """Optional columns become numbers, NaN where a cell is empty."""
    for column in rows.columns.intersection(list(only)):
        if column in ROW_WHOLE:
            rows[column] = whole_numbers(rows, column, path, least=ROW_WHOLE[column])
        else:
            rows[column] = numbers(rows, column, path, positive=True, required=False)


def genes_and_heads(rows: pd.DataFrame, space: Space) -> tuple[Genes, Bools]:
    """Genes `(n, genes)` and heads `(n, n_exits + 1)` of checked rows; no heads means all."""
    heads = np.ones((len(rows), space.n_exits + 1), dtype=bool)
    if "heads" in rows:
        for i, text in enumerate(rows["heads"]):
            heads[i] = np.isin(np.arange(space.n_exits + 1), parse_heads(text, space.n_exits))
    return space.parse_all(rows["subnet"].tolist()), heads


def check_target_rows(rows: pd.DataFrame) -> None:
    """TableError unless a transfer can be fitted and judged on `rows`."""
    n_subnets = rows["subnet"].nunique()
    if len(rows) < MIN_TARGET_ROWS or n_subnets < MIN_TARGET_SUBNETS:
        raise TableError(
            f"a transfer needs at least {MIN_TARGET_ROWS} rows with {MIN_TARGET_SUBNETS} distinct "
            f"subnets, got {len(rows)} rows with {n_subnets}; measure more programs"
        )
