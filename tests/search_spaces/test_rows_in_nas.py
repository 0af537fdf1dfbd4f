"""Lists of columns in `nas`: each names columns of `search_spaces.Row`, of the right kind."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from nas.measure import noise, wanted
from nas.pareto.records import TargetRow
from nas.remote import messages, programs
from nas.transfer import costs, plan, quality
from search_spaces import Row
from search_spaces.rows import ROW_KEY

HINTS = get_type_hints(Row)


def kinds(column: str) -> set[type]:
    """Types of a column's values, without None."""
    hint = HINTS[column]
    return set(get_args(hint) or (hint,)) - {type(None)}


@pytest.mark.parametrize(
    "names",
    [
        costs.COMPARED,
        plan.PLAN_COLUMNS,
        quality.SETTING,
        wanted.PLAN,
        wanted.OWN,
        noise.PROGRAM,
        (*messages.POSITIVE, *messages.NOT_NEGATIVE, *messages.LISTS),
        tuple(programs.JOINED),
    ],
)
def test_a_list_names_columns_of_a_row_once(names: tuple[str, ...]) -> None:
    assert len(set(names)) == len(names)
    assert set(names) <= set(HINTS)


def test_numbers_of_a_board_are_numbers_of_a_row_and_texts_are_texts() -> None:
    for column in (*messages.POSITIVE, *messages.NOT_NEGATIVE):
        assert kinds(column) <= {int, float}, column
    texts = set(messages.TEXTS) - {"id"}  # the task's, no column
    for column in (*messages.LISTS, *texts):
        assert kinds(column) == {str}, column


def test_a_list_that_a_board_sends_is_joined_in_a_table() -> None:
    assert set(messages.LISTS) == set(programs.JOINED)


def test_rows_in_a_result_are_what_is_compared_and_predicted() -> None:
    assert set(costs.COMPARED) <= set(get_type_hints(TargetRow))


def test_what_a_plan_says_of_its_device_is_what_a_row_says() -> None:
    about = get_type_hints(wanted.About)
    assert set(about) <= set(ROW_KEY)
    assert all(kinds(name) <= set(get_args(about[name]) or (about[name],)) for name in about)


def test_programs_are_told_apart_by_columns_of_the_key() -> None:
    assert set(noise.PROGRAM) < set(ROW_KEY)
