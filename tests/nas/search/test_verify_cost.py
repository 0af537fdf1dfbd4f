"""What points cost by measured programs, against sums by hand."""

import numpy as np
import pytest

from nas.search.verify_cost import compared, composed
from tests.nas.synthetic import digits_space

SPACE = digits_space()
DECISION_MS = 0.5


def point(after, rates, **more):
    exits = {"after": list(after), "thresholds": [0.7] * len(after)}
    return {"exits": exits, "exit_rates": list(rates), **more}


def test_costs_are_rates_times_the_programs_and_their_decisions():
    last = SPACE.n_exits
    early = point([0], [0.75 if k == 0 else 0.25 if k == last else 0.0 for k in range(last + 1)])
    alone = point([], [float(k == last) for k in range(last + 1)])
    runs = [(2.0, 10.0, "measured"), (6.0, 50.0, "measured")]
    found = composed(SPACE, [(early, runs), (alone, runs[1:])], DECISION_MS)
    expected_ms = 0.75 * (2 + DECISION_MS) + 0.25 * (6 + DECISION_MS)
    np.testing.assert_allclose(found[0, :2], [expected_ms, 6 + DECISION_MS])
    assert found[0, 2] >= 0.75 * 10 + 0.25 * 50  # decisions cost energy too
    np.testing.assert_allclose(found[1], [6, 6, 50])


def test_energy_that_was_not_measured_is_unknown_and_latency_is_not():
    alone = point([], [float(k == SPACE.n_exits) for k in range(SPACE.n_exits + 1)])
    ((latency, worst, energy),) = composed(SPACE, [(alone, [(6.0, np.nan, "x")])], DECISION_MS)
    assert (latency, worst) == (6, 6)
    assert np.isnan(energy)


def test_errors_are_relative_to_what_was_found():
    points = [
        point(
            [],
            [],
            id=f"p{i}",
            level=0,
            latency_ms=predicted,
            latency_source="predicted",
            latency_interval_ms=[0.9 * predicted, 1.1 * predicted],
            verified_cost={"latency_ms": found},
        )
        for i, (predicted, found) in enumerate([(1.0, 1.0), (2.2, 2.0), (3.0, 4.0)])
    ]
    told = compared(points, "latency_ms")
    assert told is not None
    assert told["n_points"] == 3
    assert told["worst_point"] == "p2"
    assert told["worst_error_pct"] == pytest.approx(-25)
    assert told["bias_pct"] == pytest.approx(0)
    assert told["median_error_pct"] == pytest.approx(10)
    assert told["srcc"] == 1
    assert told["n_in_interval"] == 2
    for one in points:
        one["verified_cost"]["latency_ms"] = None
    assert compared(points, "latency_ms") is None
