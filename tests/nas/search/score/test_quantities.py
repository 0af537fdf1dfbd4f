"""Objectives by name."""

import pytest

from nas.pareto import OBJECTIVES
from nas.search.score.bounds import Bounds
from nas.search.score.quantities import QUANTITIES, objectives_named
from nas.search.score.scorer import Scores
from search_spaces import InputError


def test_the_default_objectives_are_those_of_a_result():
    assert tuple(q.name for q in objectives_named(OBJECTIVES)) == OBJECTIVES


def test_every_quantity_is_a_field_of_scores_and_of_bounds():
    for quantity in QUANTITIES:
        assert quantity.scores in Scores.__dataclass_fields__
        assert quantity.bound in Bounds.__dataclass_fields__


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((*OBJECTIVES, "beauty"), "`objectives` names 'beauty'; there are top1_error_pct"),
        (OBJECTIVES[::-1], "must begin with top1_error_pct and latency_ms"),
        ((*OBJECTIVES, "energy_mj"), "name each once"),
    ],
)
def test_objectives_that_cannot_be_are_one_line(names, said):
    with pytest.raises(InputError, match=said):
        objectives_named(names)
