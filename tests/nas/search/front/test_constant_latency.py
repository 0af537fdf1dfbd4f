"""What K ratios hold at every clock, against sums by hand."""

from itertools import combinations

import numpy as np
import pytest

from nas.devices.constant_latency import FrequencyMap
from nas.search.front.constant_latency import by_number_of_ratios

RATIOS, ERRORS = np.array([1.0, 0.7, 0.4, 0.2]), np.array([5.0, 6.0, 8.0, 12.0])
MS = np.array([1.0, 0.75, 0.5, 0.35])[:, None] / np.array([0.25, 0.4, 0.6, 0.8, 1.0])


def held(rows: tuple[int, ...]) -> np.ndarray:
    """The latency at every level, each with that of `rows` nearest the target of 1 ms."""
    return np.array([min(column[list(rows)], key=lambda x: abs(x - 1)) for column in MS.T])


def test_a_level_takes_no_ratio_outside_of_the_limits() -> None:
    """At most 6.5 % error and 1.3 ms: at .6 of the clock .7 is taken where .4 is nearer."""
    outside = (ERRORS > 6.5)[:, None] | (MS > 1.3)
    served = ~outside.all(axis=0)
    ms, outside = MS[:, served], outside[:, served]
    within = np.where(outside, np.inf, abs(ms - 1))
    found = FrequencyMap(ms, outside)
    assert found.ratio_of.tolist() == within.argmin(axis=0).tolist()
    assert found.ratio_of.tolist() != FrequencyMap(ms).ratio_of.tolist()
    one, two = by_number_of_ratios(ms, ERRORS, RATIOS, outside)
    assert one["latency_ms"] == pytest.approx([1, 1 / 0.6], rel=1e-5)  # the whole network
    assert two["ratios"] == [1, 0.7]
    assert two["latency_ms"][1] <= 1.3


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_no_other_ratios_hold_the_latency_better(k: int) -> None:
    row = by_number_of_ratios(MS, ERRORS, RATIOS)[k - 1]
    assert row["n_ratios"] == k
    chosen = tuple(RATIOS.tolist().index(ratio) for ratio in row["ratios"])
    assert chosen[0] == 0
    sets = [(0, *more) for more in combinations(range(1, 4), k - 1)]
    least = min(((held(rows) - 1) ** 2).sum() for rows in sets)
    ms = held(chosen)
    assert ((ms - 1) ** 2).sum() == pytest.approx(least)
    assert row["cv"] == pytest.approx(ms.std() / ms.mean(), rel=1e-5)
    assert row["latency_ms"] == pytest.approx([ms.min(), ms.max()], rel=1e-5)
    used = {int(np.flatnonzero(np.isclose(MS[:, i], x))[0]) for i, x in enumerate(ms)}
    assert row["top1_error_pct"] == [min(ERRORS[list(used)]), max(ERRORS[list(used)])]
