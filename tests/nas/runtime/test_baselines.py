"""The kernels' governors against their formulas, and the published rule for subnets."""

from __future__ import annotations

import numpy as np
import pytest

from nas.runtime.baselines import (
    KERNELS,
    Clocked,
    Conservative,
    DynamicOfa,
    Ondemand,
    Podgov,
    Schedutil,
    SimpleOndemand,
    cheapest,
    kernels_of,
    largest_first,
)
from nas.runtime.policies import Demands
from nas.runtime.simulate import Simulation
from tests.nas.runtime.tables import load, small_board, small_table

CPU = [200.0 + 100 * i for i in range(19)]  # an Odroid's A15
GPU = [114.75, 204, 306, 408, 510, 599.25, 701.25, 752.25, 803.25, 854.25]
GPU += [905.25, 956.25, 1007.25, 1058.25, 1109.25]


def test_a_gpu_never_has_schedutil() -> None:
    assert {"schedutil", "ondemand", "conservative"} <= set(kernels_of("cpu"))
    assert set(kernels_of("gpu")) == {
        "performance",
        "powersave",
        "simple_ondemand",
        "nvhost_podgov",
    }
    assert "simple_ondemand" not in kernels_of("cpu")


def test_performance_and_powersave_stay_at_the_ends() -> None:
    assert [KERNELS[n](CPU).next(b, 5) for n in ("performance", "powersave") for b in (0, 1)] == [
        *(18, 18, 0, 0)
    ]


@pytest.mark.parametrize(
    ("busy", "mhz"), [(0.0, 200), (0.5, 1100), (0.52, 1100), (0.95, 1900), (0.951, 2000), (1, 2000)]
)
def test_ondemand(busy: float, mhz: float) -> None:
    """0.5 x (2000 - 200) + 200 = 1100; the closest point; above 95 % the top."""
    assert CPU[Ondemand(CPU).next(busy, 3)] == mhz


def test_conservative_takes_steps_of_five_percent() -> None:
    """100 MHz at a time: 10 ms of load do not make a top clock."""
    kernel, level, seen = Conservative(CPU), 0, []
    for _ in range(5):
        level = kernel.next(1.0, level)
        seen.append(CPU[level])
    assert seen == [300, 400, 500, 600, 700]
    assert CPU[kernel.next(0.5, level)] == 700
    assert CPU[kernel.next(0.1, level)] == 600


def test_schedutil_steers_to_four_fifths() -> None:
    """util 0.5 -> 0.625 f_max = 1250 MHz, rounded up to 1300."""
    kernel = Schedutil(CPU)
    kernel.util = 0.5
    kernel.period_ms = 1e-9
    assert CPU[kernel.next(0.5, 10)] == 1300


def test_schedutil_forgets_half_in_32_periods_of_1024_us() -> None:
    kernel = Schedutil(CPU)
    for _ in range(8192):  # 32.768 ms in steps of 4 us
        kernel.period_ms = 0.004
        kernel.next(1.0, 18)
    assert kernel.util == pytest.approx(0.5, abs=1e-3)
    kernel.period_ms = 32.768
    kernel.next(0.0, 18)
    assert kernel.util == pytest.approx(0.25, abs=1e-3)


def test_schedutil_is_invariant_to_the_clock_and_slows_no_busy_cpu() -> None:
    kernel = Schedutil(CPU)
    kernel.period_ms = 1e4
    kernel.next(1.0, 3)
    assert kernel.util == pytest.approx(CPU[3] / 2000)
    assert kernel.next(1.0, 18) == 18
    kernel.util = 0.1
    kernel.period_ms = 1e-9
    assert kernel.next(1.0, 10) == 10
    assert kernel.next(0.9, 10) == 1  # 250 MHz, rounded up


def test_simple_ondemand() -> None:
    """Above 90 % the top, above 85 % as it is, 44 % of 1007.25 MHz / 0.88 = 503.6 -> 510."""
    kernel = SimpleOndemand(GPU)
    assert kernel.next(0.91, 3) == 14
    assert kernel.next(0.86, 3) == 3
    assert GPU[kernel.next(0.44, 12)] == 510


def test_podgov_pushes_a_third_of_the_top_when_busy() -> None:
    """busy: res = f + f_max / 3 at once (damp 10); idle: f (1 - 0.8) less the mean's weight."""
    kernel = Podgov(GPU)
    wanted = GPU[3] + GPU[-1] / 3
    assert kernel.next(1.0, 3) == int(np.searchsorted(GPU, wanted))
    kernel = Podgov(GPU)
    kernel.mean_mhz = GPU[10]
    kernel.cycles = 0.0
    res = GPU[10] - min(0.8 * GPU[10], GPU[-1] / 3)
    mean = (10 * GPU[10] + res) / 11
    assert kernel.next(0.0, 10) == int(np.searchsorted(GPU, (7 * res + 3 * mean) / 10))


def test_podgov_comes_down_to_the_lowest_when_nothing_runs() -> None:
    kernel, level = Podgov(GPU), 14
    for _ in range(60):
        level = kernel.next(0.0, level)
    assert level <= 1


@pytest.mark.parametrize("name", list(KERNELS))
def test_each_governs_a_simulated_board(name: str) -> None:
    table = small_table()
    model = load(table, n=6, varied=True)
    agent = Clocked([1], KERNELS[name](table.mhz))
    found = Simulation([model], small_board(table), agent, keep=True).run(10)
    assert len(found.at_ms) > 90
    levels = {s.level for s in found.spans if s.from_ms > 500}
    ends = {"performance": {3}, "powersave": {0}}
    assert levels == ends.get(name, levels)
    assert len(levels) > 1 or name in ends or name == "conservative"


def test_dynamic_ofa_goes_down_when_late_and_up_when_inaccurate() -> None:
    table = small_table()._replace(exits=[[1]] * 5)
    agent = DynamicOfa([0, 1, 2, 3], table)
    agent.want(0, Demands(50.0, 7.0))
    for _ in range(20):
        agent.answered(0, 60.0, 0.0)
    assert agent.rows == [1]
    for _ in range(19):
        agent.answered(0, 60.0, 0.0)
    assert agent.rows == [1]
    agent.answered(0, 60.0, 0.0)
    assert agent.rows == [2]  # 8 % error, above the floor
    for _ in range(40):
        agent.answered(0, 10.0, 0.0)
    assert agent.rows == [2]  # back to 1 and late again would be ping-pong
    agent.want(0, Demands(50.0, 6.5))
    for _ in range(40):
        agent.answered(0, 10.0, 0.0)
    assert agent.rows == [0]


def test_the_library_is_the_front_of_subnets_without_exits() -> None:
    table = small_table()._replace(exits=[[1]] * 5)
    table = table._replace(error_pct=np.array([6.0, 8.0, 7.0, 9.0, 10.0]))
    assert largest_first(table) == [0, 2, 3, 4]
    assert cheapest(table, 7.5, exits=False) == 2
    assert table.error_pct[cheapest(small_table(), 6.5, exits=True)] <= 6.5
