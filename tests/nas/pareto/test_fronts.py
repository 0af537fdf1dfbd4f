"""Fronts, hypervolume and representatives against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nas.pareto import hypervolume, knee, non_dominated, spread

COSTS = st.integers(1, 60).flatmap(
    lambda n: st.integers(2, 3).flatmap(
        lambda k: arrays(np.float64, (n, k), elements=st.integers(0, 6).map(float))
    )
)


@given(COSTS)
def test_front_is_that_of_all_pairs(costs):
    kept = non_dominated(costs)
    for i, row in enumerate(costs):
        dominated = any((o <= row).all() and (o < row).any() for o in costs)
        earlier_twin = any((o == row).all() for o in costs[:i])
        assert kept[i] == (not dominated and not earlier_twin)


def test_front_of_many_blocks_equals_that_of_all_pairs():
    costs = np.random.default_rng(0).random((1500, 3)).round(2)
    no_worse = (costs[:, None] >= costs[None]).all(axis=2)
    better = (costs[:, None] > costs[None]).any(axis=2)
    expected = np.unique(costs[~(no_worse & better).any(axis=1)], axis=0)
    np.testing.assert_array_equal(np.unique(costs[non_dominated(costs)], axis=0), expected)


@given(COSTS)
def test_hypervolume_counts_the_dominated_unit_cells(costs):
    reference = [7.0] * costs.shape[1]
    cells = product(range(7), repeat=costs.shape[1])
    covered = sum(any((row <= np.array(cell)).all() for row in costs) for cell in cells)
    assert hypervolume(costs, reference) == pytest.approx(covered)


def test_points_outside_the_reference_add_nothing():
    assert hypervolume(np.array([[2.0, 2.0]]), [1.0, 3.0]) == 0


@given(COSTS, st.integers(1, 10))
def test_spread_keeps_the_ends_and_the_size(costs, n):
    front = costs[non_dominated(costs)]
    kept = spread(front, n)
    assert len(kept) == min(n, len(front))
    assert len(set(kept.tolist())) == len(kept)
    if n > costs.shape[1]:
        assert set(front[kept].min(axis=0)) <= set(front.min(axis=0))
        assert knee(front) in kept
