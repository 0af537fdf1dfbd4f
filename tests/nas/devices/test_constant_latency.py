"""The frequency map: the nearest ratio at every level, and the K ratios that hold best."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.devices import get_device
from nas.devices.constant_latency import (
    FrequencyMap,
    choose_ratios,
    rule_of_thumb,
    simulated_ms,
    speed_levels,
    variation,
)
from search_spaces import DvfsLevel, Floats, InputError, RatioSpace, resnet_cifar

SPACE = RatioSpace.evenly_pruned(resnet_cifar())


def grid(device: str, frames: int, levels: str) -> Floats:
    found = get_device(device, batch=frames)
    return simulated_ms(found, SPACE)[:, speed_levels(found.levels, levels)]


def synthetic(n: int, seed: int) -> Floats:
    """T = m + (1 - m) k / f: memory takes a share m, whatever the clock f."""
    rng = np.random.default_rng(seed)
    f, kept = np.sort(rng.uniform(0.2, 1, 6)), np.sort(rng.uniform(0.05, 1, n))[::-1]
    f[-1] = kept[0] = 1
    m = rng.uniform(0, 0.3)
    return m + (1 - m) * kept[:, None] / f


@given(st.integers(0, 2**31))
def test_every_level_takes_the_ratio_nearest_the_target(seed: int) -> None:
    ms = synthetic(5, seed)
    found = FrequencyMap(ms)
    assert found.target_ms == ms[0, -1]
    for level, k in enumerate(found.ratio_of):
        assert all(abs(ms[k, level] - ms[0, -1]) <= abs(t - ms[0, -1]) for t in ms[:, level])
    assert (np.diff(found.ratio_of) <= 0).all()  # the faster the clock, the more is kept
    assert found.ratio_of[-1] == 0


@settings(max_examples=25)
@given(st.integers(0, 2**31), st.integers(1, 4))
def test_the_chosen_ratios_are_the_best_of_all_choices(seed: int, k: int) -> None:
    ms = synthetic(9, seed)

    def cost(rows: list[int]) -> float:
        return float(((FrequencyMap(ms[rows]).chosen_ms - ms[0, -1]) ** 2).sum())

    rows = choose_ratios(ms, k)
    assert rows[0] == 0
    assert len(rows) <= k
    best = min(cost([0, *others]) for others in combinations(range(1, 9), k - 1))
    assert cost(rows) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(
    ("device", "frames", "levels", "n_levels", "dense", "reached"),
    [
        ("xavier-nx", 16, "1/4..top", 13, 0.43, {5: 0.085, 8: 0.05}),
        ("xavier-nx", 16, "all", 15, 0.91, {8: 0.10}),
        ("nano", 8, "1/4..top", 10, 0.45, {5: 0.09, 8: 0.05}),
        ("tx2", 16, "1/4..top", 10, 0.35, {5: 0.07, 8: 0.035}),
    ],
)
def test_latency_holds_still_where_arithmetic_rules(
    device: str, frames: int, levels: str, n_levels: int, dense: float, reached: dict[int, float]
) -> None:
    ms = grid(device, frames, levels)
    assert ms.shape[1] == n_levels
    assert variation(ms[0]) == pytest.approx(dense, abs=0.01)
    for k, most in reached.items():
        found = FrequencyMap(ms[choose_ratios(ms, k)])
        assert variation(found.chosen_ms) <= most
        assert found.variance_less >= 50


def test_where_kernel_starts_rule_no_ratio_helps() -> None:
    ms = grid("xavier-nx", 1, "1/4..top")
    assert ms[-1].max() > 1.2 * ms[0].min()  # the thinnest network at the slowest clock
    assert variation(FrequencyMap(ms).chosen_ms) > 0.12  # with all candidates


def test_evenly_spread_ratios_leave_about_what_the_rule_says() -> None:
    f = np.geomspace(0.1, 1, 400)
    for k in (4, 6, 10):
        ms = np.geomspace(1, 0.1, k)[:, None] / f
        assert variation(FrequencyMap(ms).chosen_ms) == pytest.approx(
            rule_of_thumb(10, k), rel=0.06
        )
    assert rule_of_thumb(4, 6) == pytest.approx(0.08, abs=0.001)


def test_one_level_has_no_variance() -> None:
    assert FrequencyMap(np.array([[2.0], [1.0]])).variance_less == np.inf


def test_levels_are_named_by_speed() -> None:
    levels = [DvfsLevel(i, mhz, None, None) for i, mhz in enumerate((100, 200, 300, 400))]
    assert speed_levels(levels, "1/4..top") == [0, 1, 2, 3]
    assert speed_levels(levels, "1/2..top") == [1, 2, 3]
    assert speed_levels(levels, "all") == [0, 1, 2, 3]
    for text in ("1/0..top", "5/4..top", "fast"):
        with pytest.raises(InputError, match=rf"takes 1/4\.\.top, 0,4,8-14 or all, got '{text}'"):
            speed_levels(levels, text)


def test_no_ratio_and_no_model_are_refused() -> None:
    with pytest.raises(InputError, match="`n_ratios` must be at least 1, got 0"):
        choose_ratios(np.ones((2, 2)), 0)
    with pytest.raises(InputError, match="host has no model of its latency"):
        simulated_ms(get_device("host"), SPACE)
