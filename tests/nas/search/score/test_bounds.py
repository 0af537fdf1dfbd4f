"""Bounds of several devices, whose levels lie in a row."""

import numpy as np

from nas.search.score.bounds import Bounds, least_violation


def test_the_middle_of_the_allowed_levels_of_each_device():
    assert Bounds().middle_levels([3, 2]) == [1, 4]
    assert Bounds(levels=(0, 4)).middle_levels([3, 2]) == [0, 4]


def test_the_least_violation_of_every_device_by_hand():
    violation = np.array([[[3.0, -1.0, 5.0], [2.0, 4.0, 0.5]]])  # one subnet, two policies
    found = least_violation(violation, np.array([0, 1, 2]), [2, 1])
    np.testing.assert_array_equal(found, [[-1.0], [0.5]])


def test_only_bounds_that_are_set_are_given():
    assert Bounds(max_latency_ms=2.0, levels=(1,)).given == {"max_latency_ms": 2.0}
