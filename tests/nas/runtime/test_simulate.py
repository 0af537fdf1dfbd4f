"""The simulation: energy and work are conserved, switches are paid, and the governor keeps up."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nas.runtime.agents import Agent, Governed
from nas.runtime.arrivals import Frames, bursts, read_arrivals
from nas.runtime.governor import Governor
from nas.runtime.heat import Heat
from nas.runtime.manifest import ManifestError
from nas.runtime.policies import Demands
from nas.runtime.simulate import Simulation
from nas.runtime.simulated import Board, Model, Result, Thinking
from tests.nas.runtime.tables import load, small_board, small_table

TABLE = small_table()
TOP = TABLE.n_levels - 1


def run(model: Model, agent: Agent, seconds: float = 10.0, **board: object) -> Result:
    return Simulation([model], small_board(TABLE, **board), agent, keep=True).run(seconds)


def governed(model: Model, delay_ms: float = 1.0) -> Governed:
    delays = small_board(TABLE, delay_ms).delay_ms
    return Governed(Governor([TABLE], [model.demands[0][1]], delays))


def test_a_frame_by_hand() -> None:
    """Two images at clock 0, clock 3 asked and acting 4 ms later, then idle back down."""
    frames = Frames(np.array([10.0]), np.array([2]), [np.array([0, 1])])
    leave = np.array([[0, 0], [1, 1]])
    model = Model(TABLE.take([0, 1]), leave, np.ones((2, 2), bool), frames, [(0.0, Demands(90))])
    agent = Agent([1], 3, rest=0)
    agent.level = 3
    made = Simulation([model], small_board(TABLE, 4.0), agent)
    made.level = 0
    found = made.run(0.1)
    slow, fast = TABLE.time_ms[1, 1, 0], TABLE.time_ms[1, 1, 3]
    high, idle = TABLE.power_w[1, 1, 3], TABLE.idle_w
    finish = 4 + (2 - 4 / slow) * fast
    assert found.latency_ms == pytest.approx([finish])
    wanted = finish * high  # the higher of both while the clock is on its way
    wanted += 10 * idle[0] + 4 * idle[3] + (100 - 14 - finish) * idle[0]
    assert 1e3 * found.joules == pytest.approx(wanted)
    assert (found.causes["begin"], found.causes["idle"]) == (1, 1)


@pytest.mark.parametrize("agent", ["fixed", "drop", "governed"])
def test_energy_and_work_are_conserved(agent: str) -> None:
    model = load(TABLE, varied=True)
    made = {"fixed": Agent([2], 1), "drop": Agent([2], 3, 0), "governed": governed(model)}[agent]
    found = run(model, made)
    spans = found.spans
    assert sum((s.to_ms - s.from_ms) * s.watts for s in spans) / 1e3 == pytest.approx(found.joules)
    assert sum(s.to_ms - s.from_ms for s in spans) == pytest.approx(10_000)
    assert all(a.to_ms == b.from_ms for a, b in itertools.pairwise(spans))
    assert len(found.at_ms) in (len(model.frames.at_ms), len(model.frames.at_ms) - 1)
    busy = sum(s.to_ms - s.from_ms for s in spans if s.model >= 0)
    assert busy == pytest.approx(found.busy_ms)
    if agent == "fixed":
        ids = np.concatenate(model.frames.images)
        work = TABLE.time_ms[2, model.leave[2, ids], 1]
        assert busy == pytest.approx(work.sum())
        above = (work * (TABLE.power_w[2, model.leave[2, ids], 1] - TABLE.idle_w[1])).sum()
        assert 1e3 * found.joules == pytest.approx(above + 10_000 * TABLE.idle_w[1])
        assert found.wrong == (~model.correct[2, ids]).sum()


def test_thinking_takes_its_time_and_its_power() -> None:
    """10 us for every image's decision, a thousand times slower on the board: 10 ms at 7 W."""

    class Thinker(Agent):
        def decide(self, jobs, level, now_ms, running):  # type: ignore[no-untyped-def]
            self.thought_us += 10.0
            return super().decide(jobs, level, now_ms, running)

    model = load(TABLE, seconds=2)
    thinking = Thinking(np.ones(TABLE.n_levels), np.full(TABLE.n_levels, 7.0))
    free, paid = run(model, Thinker([2], 2), 2), run(model, Thinker([2], 2), 2, thinking=thinking)
    assert paid.latency_ms == pytest.approx(free.latency_ms + 10)
    n = len(paid.at_ms)
    assert paid.joules - free.joules == pytest.approx(n * 10 * (7.0 - TABLE.idle_w[2]) / 1e3)


@pytest.mark.parametrize("agent", ["drop", "governed"])
def test_half_the_step_changes_nothing(agent: str) -> None:
    heat = Heat(c_per_w=10, seconds=2, trip_c=60)
    results = []
    for step in (2.0, 1.0):
        model = load(TABLE, varied=True)
        made = governed(model) if agent == "governed" else Agent([2], 3, 0)
        thinking = Thinking(np.full(TABLE.n_levels, 0.01), TABLE.idle_w + 1)
        board = small_board(TABLE, heat=heat, thinking=thinking)
        results.append(Simulation([model], board, made, step_ms=step).run(10))
    a, b = results
    assert a.joules == pytest.approx(b.joules, rel=1e-6)
    assert a.latency_ms == pytest.approx(b.latency_ms, rel=1e-6)
    assert (a.images, a.wrong, a.causes) == (b.images, b.wrong, b.causes)


def test_a_co_runner_takes_time_and_power() -> None:
    model = load(TABLE)
    alone = run(model, Agent([2], 2))
    shared = run(model, Agent([2], 2), shares=[(0.0, 0.5)])
    assert shared.latency_ms == pytest.approx(2 * alone.latency_ms)
    assert shared.joules > alone.joules


def test_late_frames_wait_in_line_and_are_counted() -> None:
    model = load(TABLE, n=30, period_ms=50)
    found = run(model, Agent([1], 0))
    assert found.late.mean() > 0.9
    assert (np.diff(found.latency_ms) > 0).mean() > 0.9
    waiting = model.frames.at_ms[len(found.at_ms) :]
    overdue = (waiting + 45 < 10_000).sum()
    assert overdue > 0
    due = len(found.at_ms) + overdue
    assert found.row()["late_pct"] == pytest.approx(100 * (found.late.sum() + overdue) / due)


def test_a_run_that_answers_no_frame_says_so() -> None:
    row = run(load(TABLE, n=1000, seconds=0.15), Agent([1], 0), seconds=0.2).row()
    assert (row["frames"], row["late_pct"], row["mj_per_frame"]) == (0, 100.0, None)


def test_a_hot_board_is_slowed_by_the_kernel() -> None:
    model = load(TABLE, n=12)
    heat = Heat(ambient_c=30, c_per_w=12, seconds=1, trip_c=70)
    found = run(model, Agent([1], TOP), heat=heat)
    levels = [s.level for s in found.spans]
    assert levels[0] == TOP
    assert min(levels) < TOP
    assert max(s.temperature_c for s in found.spans) < 75


def test_a_cap_on_the_clocks_is_kept() -> None:
    model = load(TABLE)
    found = run(model, governed(model), caps=[(5000.0, 1)])
    assert max(s.level for s in found.spans if s.from_ms > 5010) <= 1


# ---- what the governor must keep up with ---------------------------------------------------------


def late_after(found: Result, ms: float) -> float:
    return float(found.late[found.at_ms >= ms].mean())


@pytest.mark.parametrize("n", [2, 7, 12])
def test_it_keeps_the_target_and_the_floor(n: int) -> None:
    model = load(TABLE, n=n, varied=True, seconds=30, demands=Demands(90, 9.0))
    found = run(model, governed(model), 30)
    assert found.late.mean() <= 0.01
    used = {s.row for s in found.spans if s.model >= 0}
    assert max(TABLE.error_pct[list(used)]) <= 9.0


def test_it_costs_less_than_any_fixed_clock_that_keeps_the_target() -> None:
    model = load(TABLE, n=6, varied=True, seconds=30)
    mine = run(model, governed(model), 30)
    for row in range(5):
        for level in range(TABLE.n_levels):
            fixed = run(model, Agent([row], level, 0), 30)
            if fixed.late.mean() <= 0.02:
                assert mine.joules < 1.002 * fixed.joules


def test_a_table_that_is_wrong_is_met_within_two_seconds() -> None:
    model = load(TABLE, n=8, seconds=20, demands=Demands(60, 10.0), factor=1.5)
    found = run(model, governed(model), 20)
    assert late_after(found, 2000) <= 0.01


def test_a_co_runner_is_met_within_three_periods() -> None:
    model = load(TABLE, n=8, seconds=20, demands=Demands(70, 10.0))
    found = run(model, governed(model), 20, shares=[(10_000.0, 0.4)])
    assert found.late[found.at_ms < 9_900].mean() == 0
    assert late_after(found, 10_300) == 0


def test_nothing_oscillates_under_a_constant_load() -> None:
    model = load(TABLE, n=8, seconds=40)
    found = run(model, governed(model), 40)
    rows = [(s.from_ms, s.row) for s in found.spans if s.model >= 0 and s.from_ms > 5000]
    changes = sum(a[1] != b[1] for a, b in itertools.pairwise(rows))
    assert changes <= 3
    assert found.late.mean() <= 0.01


def test_demands_change_while_it_runs() -> None:
    model = load(TABLE, n=6, seconds=20, demands=Demands(90, 9.0))
    model = model._replace(demands=[(0.0, Demands(90, 9.0)), (10_000.0, Demands(40, 7.0))])
    found = run(model, governed(model), 20)
    assert late_after(found, 10_300) <= 0.01
    rows = {s.row for s in found.spans if s.model >= 0 and s.from_ms > 10_200}
    assert max(TABLE.error_pct[list(rows)]) <= 7.0


def test_two_models_share_a_clock() -> None:
    one = load(TABLE, n=4, seconds=20)
    two = load(TABLE, n=9, period_ms=250, seconds=20, seed=1)
    agent = Governed(Governor([TABLE] * 2, [m.demands[0][1] for m in (one, two)],
                              small_board(TABLE).delay_ms))  # fmt: skip
    found = Simulation([one, two], small_board(TABLE), agent, keep=True).run(20)
    assert found.late.mean() <= 0.02
    assert {s.model for s in found.spans} == {-1, 0, 1}
    n_frames = len(one.frames.at_ms) + len(two.frames.at_ms)
    assert abs(len(found.at_ms) - n_frames) <= 2


def test_the_governors_own_heat_cap_keeps_the_kernels_away() -> None:
    heat = Heat(ambient_c=30, c_per_w=12, seconds=1, trip_c=80)
    model = load(TABLE, n=25, seconds=20, demands=Demands(90, 10.0, temperature_c=60))
    board = small_board(TABLE, heat=heat)
    found = Simulation([model], board, governed(model), keep=True).run(20)
    assert max(s.temperature_c for s in found.spans if s.from_ms > 5000) < 68


# ---- arrivals ------------------------------------------------------------------------------------


def test_bursts_have_two_states_and_the_asked_mean() -> None:
    at = np.arange(100.0, 1_000_000.0, 100.0)
    sizes = bursts(at, 8, np.random.default_rng(0), 4000.0, 2000.0)
    assert (sizes.min(), sizes.max()) == (1, 20)
    assert sizes.mean() == pytest.approx(8, abs=0.7)  # 1 to 7 and 12 to 20
    busy = sizes >= 12
    assert not ((sizes > 7) & ~busy).any()
    assert busy.mean() == pytest.approx(1 / 3, abs=0.06)
    assert 0.02 < np.mean(busy[1:] != busy[:-1]) < 0.06  # a state lasts 20 and 40 frames


def test_a_file_of_arrivals(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "t.csv"
    file.write_text("# ms, images\n10,2\n30\n")
    at, n = read_arrivals(str(file))
    assert (at.tolist(), n.tolist()) == ([10, 30], [2, 1])
    for text, words in (
        ("10,1\n5,1\n", "times go back from 10 to 5 ms at arrival 2"),
        ("", "needs at least one arrival"),
        ("a,b\n", "is no trace of arrivals"),
    ):
        file.write_text(text)
        with pytest.raises(ManifestError, match=words):
            read_arrivals(str(file))
    with pytest.raises(ManifestError, match="cannot read"):
        read_arrivals(str(tmp_path / "none"))


def test_a_board_needs_no_more_than_its_idle_power() -> None:
    board = Board(TABLE.idle_w, np.zeros((4, 4)))
    frames = Frames(np.array([]), np.array([], int), [])
    model = Model(TABLE, *load(TABLE)[1:3], frames, [(0.0, Demands(90))])
    found = Simulation([model], board, Agent([0], 0)).run(5)
    assert found.joules == pytest.approx(5 * TABLE.idle_w[0])
    assert found.joules == pytest.approx(found.idle_joules)
