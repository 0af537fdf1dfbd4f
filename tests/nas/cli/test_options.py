"""What the texts of options mean."""

from __future__ import annotations

import pytest

from nas.cli.options import parse_levels, parse_names, parse_numbers
from search_spaces import InputError


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("3", (3,)),
        ("0,4, 8-10", (0, 4, 8, 9, 10)),
        ("2-2,1", (1, 2)),
        ("0,3,-1", (-1, 0, 3)),
        ("-3--1", (-3, -2, -1)),
        ("all", None),
    ],
)
def test_levels_are_numbers_ranges_or_all(text: str, levels: tuple[int, ...] | None) -> None:
    assert parse_levels(text) == levels


@pytest.mark.parametrize("text", ["", "a", "3-", "1,,2", "1.5", "all,1", "--1"])
def test_levels_that_are_neither_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"`levels` .*: write numbers and ranges"):
        parse_levels(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("5-3", "the range 5-3 is empty"), ("0--1", "both ends of 0--1 count from one side")],
)
def test_ranges_that_hold_nothing_are_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse_levels(text)


def test_lists_of_names_and_numbers() -> None:
    assert parse_names("fp32, fp16") == ("fp32", "fp16")
    assert parse_numbers("batch", "8,1,8") == (8, 1)
    assert parse_names(None) == parse_numbers("batch", None) == (None,)
    with pytest.raises(InputError, match="`batch` takes whole numbers like 1,8, got 'few'"):
        parse_numbers("batch", "few")
