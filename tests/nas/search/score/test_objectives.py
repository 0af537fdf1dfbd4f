"""Values of trials where a quantity beyond the three is minimised."""

import numpy as np

from nas.search.score.objectives import combined, trial_values
from nas.search.score.quantities import QUANTITIES
from nas.search.score.scorer import Scores

SCORES = Scores(
    error_pct=np.array([[10.0, 10.4, 20.0]]),
    rates=np.ones((1, 3, 1)),
    measured=np.ones(1, dtype=bool),
    latency_ms=np.array([[[5.0], [3.0], [1.0]]]),
    energy_mj=np.array([[[50.0], [30.0], [10.0]]]),
    worst_ms=np.array([[[6.0], [7.0], [8.0]]]),
    params=np.array([[100.0, 200.0, 300.0]]),
)


def test_values_are_those_of_the_fastest_policy_among_the_accurate_ones():
    error, latency, worst, energy, params = QUANTITIES
    values = trial_values(SCORES, 0, (error, latency, energy, params, worst))
    np.testing.assert_array_equal(values, [[10.0, 3.0, 30.0, 200.0, 7.0]])


def test_a_value_that_all_devices_share_is_kept():
    values = np.array([[[10.0, 2.0, 100.0]], [[10.0, 8.0, 100.0]]])
    np.testing.assert_allclose(combined(values), [[10.0, 4.0, 100.0]])
