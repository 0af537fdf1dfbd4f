"""One latency at every clock: which pruning ratio each DVFS level takes, and which K are worth it.

Pruning channels removes arithmetic and traffic, not kernel starts: where those alone take longer
than the target, no ratio reaches it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.devices.protocol import Device, Simulates
from search_spaces import Bools, DvfsLevel, Floats, InputError, Ints, RatioSpace

OUTSIDE = 1e3  # times the longest latency: further away than any ratio that a level may take


def speed_levels(levels: Sequence[DvfsLevel], asked: str) -> list[int]:
    """Places of the levels of `1/4..top`, from a quarter of the fastest clock on, or of `all`."""
    if asked == "all":
        return list(range(len(levels)))
    share = re.fullmatch(r"(\d+)/([1-9]\d*)\.\.top", asked.strip())
    if share is None or not 0 < int(share[1]) <= int(share[2]):
        raise InputError(f"`levels` takes 1/4..top, 0,4,8-14 or all, got {asked!r}")
    clocks = np.array([level.clock_mhz for level in levels])
    lowest = int(share[1]) / int(share[2]) * clocks.max()
    return np.flatnonzero(clocks >= lowest * (1 - 1e-9)).tolist()


def check_simulates(device: Device) -> None:
    """InputError: the device has no model of its latency."""
    if not isinstance(device, Simulates):
        raise InputError(
            f"{device.name} has no model of its latency at every clock; name a profile"
        )


def simulated_ms(device: Device, space: RatioSpace) -> Floats:
    """Latency (ratios, levels) of every ratio without early exits, the largest first.

    InputError: the device has no model.
    """
    check_simulates(device)
    assert isinstance(device, Simulates)
    last = np.arange(space.n_exits + 1) == space.n_exits
    latency_ms, _ = device.cost(space.operators(space.enumerate()[::-1], last[None]))
    return latency_ms


@dataclass(frozen=True)
class FrequencyMap:
    """For every level the ratio whose latency is nearest `target_ms`.

    `latency_ms` (ratios, levels) has the full network first and rises with neither index. A level
    takes none that is `outside` of a user's limits there, of the same shape, while it has others.
    """

    latency_ms: Floats
    outside: Bools | None = None

    @property
    def target_ms(self) -> float:
        """The full network at the fastest level."""
        return float(self.latency_ms[0].min())

    @property
    def distance_ms(self) -> Floats:
        """From the target, (ratios, levels)."""
        away: Floats = np.abs(self.latency_ms - self.target_ms)
        return away if self.outside is None else away + OUTSIDE * away.max() * self.outside

    @property
    def ratio_of(self) -> Ints:
        """The row of each level, (levels,)."""
        nearest: Ints = self.distance_ms.argmin(axis=0)
        return nearest

    @property
    def chosen_ms(self) -> Floats:
        """Latency at each level with its ratio, (levels,)."""
        chosen: Floats = self.latency_ms[self.ratio_of, np.arange(self.latency_ms.shape[1])]
        return chosen

    @property
    def variance_less(self) -> float:
        """How many times the latency of the full network varies more."""
        varies = float(self.chosen_ms.var())
        return math.inf if varies == 0 else float(self.latency_ms[0].var()) / varies


def variation(latency_ms: Floats) -> float:
    """The coefficient of variation over levels: standard deviation by mean."""
    return float(latency_ms.std() / latency_ms.mean())


def rule_of_thumb(speed_range: float, k: int) -> float:
    """About the coefficient of variation that `k` ratios spread evenly leave over a speed range.

    Between two neighbours the logarithm of the latency is uniform over ln(s) / (k - 1), whose
    standard deviation is that by the square root of 12.
    """
    return math.log(speed_range) / (math.sqrt(12) * (k - 1))


def choose_ratios(latency_ms: Floats, k: int, outside: Bools | None = None) -> list[int]:
    """The `k` rows of `latency_ms` (candidates, levels) that hold the target best, with row 0.

    Row 0 is the full network. Levels in order of their clock are cut into runs that take one
    candidate each, so that the sum of squared distances from the target is the least possible:
    one-dimensional clustering by a dynamic programme. Fewer rows where more would change nothing.
    `outside` as in `FrequencyMap`.
    """
    n_candidates, n_levels = latency_ms.shape
    if k < 1:
        raise InputError(f"`n_ratios` must be at least 1, got {k}")
    by_speed = np.argsort(latency_ms[0])  # the fastest level first
    squared = FrequencyMap(latency_ms, outside).distance_ms[:, by_speed] ** 2
    sums = np.concatenate([np.zeros((n_candidates, 1)), squared.cumsum(axis=1)], axis=1)
    runs = sums[:, None, :] - sums[:, :, None]  # (candidates, from, to)
    best, cost = runs.argmin(axis=0), runs.min(axis=0)
    total = runs[0, 0].copy()  # the first run is the full network's
    cuts: list[Ints] = []
    for _ in range(k - 1):
        through = total[:, None] + np.triu(cost)  # (from, to): the last run begins at `from`
        through[np.tril_indices(n_levels + 1, -1)] = np.inf
        cuts.append(through.argmin(axis=0))
        total = through.min(axis=0)
    rows, end = {0}, n_levels
    for cut in reversed(cuts):
        start = int(cut[end])
        if start < end:
            rows.add(int(best[start, end]))
        end = start
    return sorted(rows)
