"""Plans are checked before anything is measured."""

from __future__ import annotations

from typing import Any

import pytest

from nas.board.bench.tasks import check_plan
from nas.board.control.sysfs import BoardError


def test_a_plan_that_can_be_measured() -> None:
    check_plan({}, [])
    check_plan({"clocks": "pin", "energy": "auto", "settings": {"seconds": 1}}, [{"id": "a"}])


@pytest.mark.parametrize(
    ("head", "tasks", "words"),
    [
        ({"clocks": "fast"}, [], "clocks is 'fast', expected one of auto, "),
        ({"settings": {"second": 1}}, [], "settings second are unknown: "),
        ({}, [{"id": 3}], "every task needs an `id`, a text"),
        ({}, [{"id": "a"}, {}], "every task needs an `id`, a text"),
    ],
)
def test_a_plan_that_asks_for_what_there_is_not(
    head: dict[str, Any], tasks: list[dict[str, Any]], words: str
) -> None:
    with pytest.raises(BoardError, match=words):
        check_plan(head, tasks)
