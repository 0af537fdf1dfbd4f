"""Expected hypervolume improvement against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import hypervolume, non_dominated
from nas.samplers.ehvi import below, boxes, improvement


@given(st.integers(1, 3), st.integers(0, 8), st.integers(0, 10**6))
def test_boxes_are_what_the_front_leaves(m, n, seed):
    rng = np.random.default_rng(seed)
    front = rng.integers(0, 6, size=(n, m)) / 5
    front = front[non_dominated(front)] if n else front
    reference = np.full(m, 1.1)
    lower, upper = boxes(front, reference)
    points = rng.random((200, m)) * 1.1
    inside = ((points[:, None] > lower) & (points[:, None] <= upper)).all(axis=2).sum(axis=1)
    free = ~(front[None] < points[:, None]).all(axis=2).any(axis=1)
    np.testing.assert_array_equal(inside, free.astype(int))


@pytest.mark.parametrize("m", [2, 3])
@pytest.mark.parametrize("warped", [False, True])
def test_the_expected_improvement_is_that_of_many_draws(m, warped):
    """Draws are warped values, so they are mapped back before the volume is taken."""
    rng = np.random.default_rng(m)
    front = rng.random((6, m)) * 0.6 + 0.3
    front = front[non_dominated(front)]
    reference = np.full(m, 1.1)
    warp, back = (np.log, np.exp) if warped else (lambda t: t, lambda t: t)
    mean, deviation = warp(front.mean(axis=0) - 0.1), np.full(m, 0.15)
    even = np.linspace(0.01, 1.1, 400)
    knots = [np.unique(np.concatenate([even, front[:, d]])) for d in range(m)]
    integrals = [
        below(mean[d : d + 1], deviation[d : d + 1], knots[d], warp(knots[d])) for d in range(m)
    ]
    found = improvement(integrals, knots, boxes(front, reference))[0]
    draws = back(mean + deviation * rng.normal(size=(4000, m)))
    before = hypervolume(front, reference)
    gains = [hypervolume(np.vstack([front, d]), reference) - before for d in draws]
    assert found == pytest.approx(np.mean(gains), abs=4 * np.std(gains) / np.sqrt(len(gains)))
