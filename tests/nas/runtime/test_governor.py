"""The governor against a plain search over everything it may choose."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.runtime.controller import GAIN, SAFETY, SPREADS, Controller, Job
from nas.runtime.governor import Governor
from nas.runtime.manifest import ManifestError
from nas.runtime.policies import Demands, check_demands, unknown
from tests.nas.runtime.tables import small_board, small_table

TABLE = small_table()
DELAYS = small_board(TABLE, 2.0).delay_ms


def governor(*demands: Demands) -> Governor:
    return Governor([TABLE] * len(demands), demands, DELAYS)


def by_hand(n: int, left_ms: float, begin: int, demands: Demands) -> tuple[int, int] | None:
    """The cheapest (configuration, level) in time, by loops over the words of the docstring."""
    best, chosen = np.inf, None
    for row in range(len(TABLE.ids)):
        for level in range(TABLE.n_levels):
            delay = DELAYS[begin, level]
            here, there = TABLE.mean_ms[row, begin], TABLE.mean_ms[row, level]
            finish = max(n * there + delay * (1 - there / here), n * min(here, there))
            watts = (TABLE.mean_mj / TABLE.mean_ms)[row]
            extra = delay * (max(watts[level], watts[begin]) - watts[level])
            cost = finish * (watts[level] - TABLE.idle_w[0]) + extra
            room = SPREADS * n**0.5 * TABLE.std_ms[row, level]
            if TABLE.error_pct[row] > demands.floor_error_pct or finish + room > SAFETY * left_ms:
                continue
            if cost < best:
                best, chosen = cost, (row, level)
    return chosen


@given(
    n=st.integers(1, 30),
    left_ms=st.floats(10, 200),
    begin=st.integers(0, 3),
    floor=st.floats(6, 10),
)
def test_a_decision_is_the_cheapest_of_all_that_fit(
    n: int, left_ms: float, begin: int, floor: float
) -> None:
    demands = Demands(1000.0, floor)
    wanted = by_hand(n, left_ms, begin, demands)
    found = governor(demands).decide([Job(0, n, left_ms)], begin)
    if wanted is None:
        assert not found.fits
    else:
        assert (found.rows[0], found.level) == wanted
        assert (found.fits, found.yielded) == (True, "")


def test_what_yields_first_is_what_the_policy_says() -> None:
    """Twenty images in 40 ms: within the floor that cannot be."""
    job = Job(0, 20, 40.0)
    fastest = TABLE.n_levels - 1
    for policy, yielded in (("time", "accuracy"), ("accuracy", "energy and time")):
        found = governor(Demands(1000, 6.0, policy=policy)).decide([job], 0)
        assert not found.fits
        assert found.yielded == yielded
        kept = TABLE.error_pct[found.rows[0]] <= 6.0
        assert kept == (policy == "accuracy")
    assert found.level == fastest
    nothing = governor(Demands(1000, 6.0)).decide([Job(0, 200, 1.0)], 0)
    assert (nothing.level, nothing.yielded) == (fastest, "time")
    assert nothing.rows == [int(TABLE.mean_ms[:, fastest].argmin())]


def test_accuracy_yields_no_more_than_it_must() -> None:
    """Of the configurations in time beyond the floor, the most accurate one."""
    room = SPREADS * 8**0.5 * TABLE.std_ms
    finish = (8 * TABLE.mean_ms + room)[:, 3]
    found = governor(Demands(1000, 6.0)).decide([Job(0, 8, 1.0001 * float(finish[2]) / SAFETY)], 3)
    in_time = [row for row in range(5) if finish[row] <= finish[2]]
    assert found.yielded == "accuracy"
    assert found.rows == [min(in_time)]
    assert 0 < min(in_time) <= 2


def test_budgets_exclude_what_they_cannot_pay() -> None:
    rich = governor(Demands(1000, 10.0)).decide([Job(0, 20, 60.0)], 3)
    watts = TABLE.mean_mj / TABLE.mean_ms
    limit = float(watts[rich.rows[0], rich.level]) - 0.01
    poor = governor(Demands(1000, 10.0, power_w=limit, policy="energy"))
    found = poor.decide([Job(0, 20, 60.0)], 3)
    assert watts[found.rows[0], found.level] <= limit
    cheap = float(TABLE.mean_mj.min())
    found = governor(Demands(1000, 10.0, energy_mj=cheap)).decide([Job(0, 2, 500.0)], 0)
    assert TABLE.mean_mj[found.rows[0], found.level] == pytest.approx(cheap)


def test_heat_that_leaves_no_clock_within_the_budget_lets_the_budget_yield() -> None:
    made = governor(Demands(60.0, 10.0, energy_mj=float(TABLE.mean_mj.min()) * 1.001))
    made.cap = 0  # the budget wants level 1
    for i in range(3):
        made.arrived(0, 2, 100.0 * i)
    found = made.decide([Job(0, 2, 60.0)], 0, 200.0)
    assert (found.level, found.yielded) == (0, "accuracy and energy")


def test_a_table_that_is_wrong_is_corrected_at_its_level_and_everywhere() -> None:
    model = Controller(TABLE, Demands(1000), DELAYS)
    for _ in range(10):
        model.observe(2, 10.0, 15.0)
    assert model.ratio[2] == pytest.approx(1.5, rel=0.01)
    assert model.ratio[0] > 1.2  # a neighbour slows all levels
    for _ in range(40):
        model.observe(0, 10.0, 10.0)
        model.observe(2, 10.0, 15.0)
    assert model.ratio[0] == pytest.approx(1.0, rel=0.2)
    assert model.ratio[2] == pytest.approx(1.5, rel=0.2)
    assert model.ratio[2] / model.ratio[0] > 1.2


def test_a_small_gain_or_a_short_dwell_changes_no_configuration() -> None:
    """Nor does any but a large one within a frame."""
    for saves, now_ms, running, row in (
        (GAIN / 2, 1e6, False, 0),
        (0.2, 100.0, False, 0),
        (0.2, 300.0, False, 1),
        (0.2, 300.0, True, 0),
        (0.6, 300.0, True, 1),
    ):
        twin, idle = TABLE.take([1, 1]), TABLE.idle_w[0]
        above = (twin.power_w - idle) * np.array([1, 1 - saves])[:, None, None]
        one = Governor([twin._replace(power_w=idle + above)], [Demands(1000)], DELAYS)
        one.models[0].take(0, 0.0)
        assert one.decide([Job(0, 3, 900.0)], 0, now_ms, running).rows == [row]


def test_two_frames_share_the_time_that_is_left() -> None:
    both = governor(Demands(1000), Demands(1000))
    alone = both.decide([Job(0, 6, 32.0)], 0)
    shared = both.decide([Job(0, 6, 32.0), Job(1, 6, 34.0)], 0)
    assert shared.fits
    assert len(shared.rows) == 2
    assert shared.level > alone.level
    ms = TABLE.mean_ms[:, shared.level]
    assert 6 * (ms[shared.rows[0]] + ms[shared.rows[1]]) < 34


def test_heat_takes_levels_one_by_one_and_gives_them_back() -> None:
    one = governor(Demands(1000, temperature_c=70))
    for _ in range(2):
        one.heat(75.0)
    assert one.cap == 1
    assert one.decide([Job(0, 50, 60.0)], 3).level <= 1
    one.heat(69.0)
    assert one.cap == 1
    one.heat(60.0)
    assert one.cap == 2


def test_the_clock_to_wait_at_is_as_low_as_the_next_frame_allows() -> None:
    """Slow switches leave the lowest clock where a large frame has to start fast."""
    slow = small_board(TABLE, 40.0).delay_ms
    target = 9 * float(TABLE.mean_ms[0, 1]) / SAFETY + 0.1
    one = Governor([TABLE], [Demands(target, 6.0)], slow)
    for at in range(5):
        one.arrived(0, 9, 100.0 * at)
    assert one.rest(2, 450.0) == 1
    assert one.rest(2, 470.0) == 2  # the clock would not be there when the next frame comes
    one.models[0].want(Demands(10 * target, 6.0))
    one.arrived(0, 9, 500.0)
    assert one.rest(2, 550.0) == 0


def test_a_model_that_went_silent_keeps_no_clock_up() -> None:
    two = Governor([TABLE] * 2, [Demands(90, 10.0)] * 2, small_board(TABLE).delay_ms)
    two.arrived(1, 4, 0.0)
    for at in range(20):
        two.arrived(0, 4, 100.0 * at)
    assert two.rest(3, 1940.0) == 0


def test_frames_like_the_last_one_say_what_comes_next() -> None:
    """A large frame comes after each small one: behind the small one the clock stays up."""
    target = 9 * float(TABLE.mean_ms[0, 1]) / SAFETY + 0.1
    one = Governor([TABLE], [Demands(target, 6.0)], small_board(TABLE, 40.0).delay_ms)
    rests = {}
    for at in range(80):
        n = 9 if at % 2 else 1
        one.arrived(0, n, 100.0 * at)
        rests[n] = one.rest(2, 100.0 * at + 50.0)
    assert rests[1] > rests[9] == 0


@pytest.mark.parametrize(
    ("demands", "words"),
    [
        (Demands(0.01), "`target_ms` 0.01 was asked; the fastest configuration within the floor"),
        (Demands(float("nan")), "`target_ms` nan was asked"),
        (
            Demands(50, 2.0),
            "`floor_error_pct` 2 was asked; the most accurate configuration has 6 %",
        ),
        (Demands(50, float("nan")), "`floor_error_pct` nan was asked"),
        (Demands(50, policy="tme"), "unknown policy 'tme'; did you mean time?"),
        (Demands(50, power_w=0.1, policy="energy"), "`power_w` 0.1 cannot be kept longest"),
    ],
)
def test_what_cannot_be_is_said(demands: Demands, words: str) -> None:
    with pytest.raises(ManifestError) as fault:
        check_demands(TABLE, demands)
    assert words in str(fault.value)


def test_the_nearest_name_is_named() -> None:
    assert unknown("scenario", "nx-burst", ["nx-bursts", "pi"]).startswith(
        "unknown scenario 'nx-burst'; did you mean nx-bursts?"
    )


def test_a_decision_takes_microseconds() -> None:
    """15 levels x 50 configurations; the benchmark states the median, this keeps its order."""
    table = small_table(15, 50)
    one = Governor([table], [Demands(1000)], small_board(table).delay_ms)
    took = []
    for i in range(300):
        start = time.perf_counter()
        one.decide([Job(0, 1 + i % 30, 90.0)], i % 15, float(i))
        took.append(time.perf_counter() - start)
    assert np.median(took) < 500e-6
