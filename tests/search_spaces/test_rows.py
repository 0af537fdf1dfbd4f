"""The columns of a measured row, named in one place."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from search_spaces import DvfsLevel, Row, get_space
from search_spaces.rows import (
    ROW_CLOCKS,
    ROW_KEY,
    ROW_POSITIVE,
    ROW_REQUIRED,
    ROW_WHOLE,
    asked_row,
    new_row,
    operator_columns,
    program_columns,
)

HINTS = get_type_hints(Row)
SPACE = get_space("resnet-digits")
LEVEL = DvfsLevel(2, 1100.5, 1900.0, None, "15W")


class Board:
    name, processor, backend, precision = "board", "gpu", "tensorrt", "fp16"
    batch, threads, power_mode = 4, None, "15W"


@pytest.mark.parametrize("names", [ROW_CLOCKS, ROW_KEY, ROW_POSITIVE, ROW_WHOLE])
def test_every_list_names_columns_of_a_row(names: tuple[str, ...]) -> None:
    assert len(set(names)) == len(names)
    assert set(names) <= set(HINTS)


def test_required_columns_are_columns_of_a_row() -> None:
    assert {name for either in ROW_REQUIRED for name in either.split(" or ")} <= set(HINTS)


def test_columns_that_are_checked_as_numbers_are_numbers() -> None:
    assert all(HINTS[name] in (float, float | None) for name in ROW_POSITIVE)
    assert all(HINTS[name] in (int, int | None) for name in ROW_WHOLE)


def test_a_new_row_says_what_ran_where_and_at_which_clocks() -> None:
    subnet = SPACE.subnet(SPACE.smallest)
    row = new_row(program_columns(SPACE, subnet, (0, 2)), Board(), LEVEL)
    assert list(row)[:5] == ["space", "subnet", "heads", "device", "level"]
    assert SPACE.parse(row["subnet"]) == subnet
    assert (row["heads"], row["level"], row["batch"], row["threads"]) == ("0+2", 2, 4, None)
    assert [row["gpu_mhz"], row["cpu_mhz"], row["emc_mhz"]] == [1100.5, 1900.0, None]


def test_what_is_asked_leaves_the_clocks_to_who_finds_them() -> None:
    what = operator_columns(SPACE, "conv 3x3")
    row, asked = new_row(what, Board(), LEVEL), asked_row(what, Board(), LEVEL)
    assert {name: row[name] for name in row if name not in ROW_CLOCKS} == asked  # type: ignore[literal-required]
    assert set(ROW_CLOCKS) <= set(row)
