"""How two libraries are compared: figures that can be worked out by hand."""

import numpy as np
import pytest

from benchmarks.dynamic_ofa import Library, against_static, compare, greedy

THEIRS = Library(np.array([30.0, 20.0]), np.array([[8.0, 4.0], [16.0, 8.0]]))
OURS = Library(np.array([25.0, 20.0]), np.array([[8.0, 2.0], [20.0, 10.0]]))


def test_each_of_their_points_is_matched_by_the_cheapest_of_ours_that_is_no_worse() -> None:
    found = compare(OURS, THEIRS, 1)
    # 30 % at 4 ms: ours has 25 % at 2 ms; 20 % at 8 ms: ours takes 10 ms, has 25 % within 8 ms
    assert found["faster, most"] == pytest.approx(2.0)
    assert found["faster, geometric mean"] == pytest.approx(np.sqrt(2 * 0.8), abs=1e-3)
    assert found["points more accurate, mean"] == pytest.approx((5 - 5) / 2)
    # boxes up to (33, 11): ours 8 * 9 + 5 * 1, theirs 3 * 7 + 10 * 3
    assert found["hypervolume ratio"] == pytest.approx((8 * 9 + 5) / (3 * 7 + 10 * 3), abs=1e-3)


def test_a_static_network_keeps_the_limit_at_every_level() -> None:
    found = against_static(THEIRS, {"theirs": THEIRS}, np.array([8.0]))
    # at both levels only the first keeps 8 ms; one for each level takes the second at the fast one
    assert found == {"limits": 1, "static": 30.0, "theirs": 25.0}


def test_greedy_takes_what_adds_most_hypervolume() -> None:
    pool = Library(np.array([30.0, 20.0, 10.0, 29.0]), np.array([[1.0], [2.0], [9.0], [1.5]]))
    # scaled to [0, 1], (0.5, 0.125) alone covers 0.6 * 0.975, more than either end
    assert greedy(pool, [0], 2).tolist() == [1, 2]
