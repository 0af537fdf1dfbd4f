"""Which rows of a target to measure."""

from __future__ import annotations

import pytest

from predictors import choose_rows
from tests.predictors.transfer.world import prior_of, world


def test_choosing_reads_no_cost_and_names_distinct_rows() -> None:
    X, _ = world(0)
    prior = prior_of(0)
    rows = choose_rows(prior, X, 30)
    assert len(set(rows.tolist())) == 30
    assert (rows[:10] == choose_rows(prior, X, 10)).all()  # a longer list goes on where one ended
    with pytest.raises(ValueError, match="5 rows were asked for, there are 3 candidates"):
        choose_rows(prior, X[:3], 5)
