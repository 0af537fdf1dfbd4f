"""Hindsight against brute force on small loads."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from nas.runtime.agents import Agent, Governed
from nas.runtime.governor import Governor
from nas.runtime.offline import best_fixed, clairvoyant, frame_work, free_switches
from nas.runtime.policies import Demands
from nas.runtime.simulate import Simulation
from tests.nas.runtime.tables import load, small_board, small_table

TABLE = small_table(3, 3)


def test_sums_of_work_are_those_of_the_images() -> None:
    model = load(TABLE, varied=True, seconds=2)
    work = frame_work(model, [2, 0])
    ids = model.frames.images[3]
    assert work.ms[3, 0, 1] == pytest.approx(TABLE.time_ms[2, model.leave[2, ids], 1].sum())
    assert work.ms.shape == (len(model.frames.at_ms), 2, 3)


@pytest.mark.parametrize("drop", [False, True])
def test_the_best_fixed_choice_is_the_best_of_all_simulated(drop: bool) -> None:
    model, board = load(TABLE, n=8, period_ms=60, varied=True, seconds=5), small_board(TABLE)
    found, rows, level, _ = best_fixed([model], board, [0, 1, 2], 5, drop=drop)
    runs = {}
    for row, at in product(range(3), range(3)):
        run = Simulation([model], board, Agent([row], at, 0 if drop else None)).run(5)
        if run.late.mean() <= 0.02:
            runs[row, at] = run.joules
    assert runs[rows[0], level] == pytest.approx(found.joules)
    assert found.joules == pytest.approx(min(runs.values()), rel=1e-3)


def test_the_clairvoyant_is_the_best_of_all_sequences() -> None:
    """Every (row, clock) for each of three frames and every clock between: by simulation."""
    table = small_table(2, 2)
    model = load(table, n=4, period_ms=60, seconds=0.24, varied=True)
    board = small_board(table, 3.0)
    n, best = len(model.frames.at_ms), np.inf
    for plan in product(range(2), range(2), range(2), repeat=n):
        agent = Planned([plan[3 * i : 3 * i + 3] for i in range(n)])
        run = Simulation([model], board, agent).run(0.24)
        if len(run.at_ms) == n and not run.late.any():
            best = min(best, run.joules)
    assert clairvoyant(model, board, 0.24).joules == pytest.approx(best, rel=2e-3)


class Planned(Agent):
    """Plays a list of (row, clock, clock to wait at)."""

    def __init__(self, plan: list[tuple[int, ...]]) -> None:
        super().__init__([], 0)
        self.plan, self.at, self.seen = plan, -1, -1.0

    def decide(self, jobs, level, now_ms, running):  # type: ignore[no-untyped-def]
        self.at = min(self.at + (not running), len(self.plan) - 1)
        row, level, _ = self.plan[self.at]
        return level, [row] * len(jobs), np.inf

    def idle(self, level: int, now_ms: float) -> int | None:
        return self.plan[self.at][2] if self.at >= 0 else 0


@pytest.mark.parametrize("n", [3, 8])
def test_nobody_goes_below_the_bound(n: int) -> None:
    model, board = load(TABLE, n=n, varied=True, seconds=10), small_board(TABLE)
    bound = free_switches([model], board, 10).joules
    paid = clairvoyant(model, board, 10).joules
    governor = Governor([TABLE], [Demands(90, 10)], board.delay_ms)
    mine = Simulation([model], board, Governed(governor)).run(10)
    fixed = best_fixed([model], board, [0, 1, 2], 10, drop=True).run
    assert bound <= paid * 1.0005
    assert bound <= mine.joules * (1 + 1e-9)
    assert paid <= fixed.joules * 1.002
    assert mine.joules < 1.03 * paid


def test_free_switches_cost_nothing() -> None:
    model, board = load(TABLE, varied=True, seconds=5), small_board(TABLE, 0.0)
    bound = free_switches([model], board, 5)
    assert clairvoyant(model, board, 5).joules >= bound.joules - 1e-9
    assert bound.n_late == 0


def test_hindsight_counts_frames_that_nobody_answers_in_time() -> None:
    """A target between the fastest frame's time and the slowest's, of frames that differ."""
    model, board = load(TABLE, varied=True, seconds=5), small_board(TABLE)
    fastest = frame_work(model, [0, 1, 2]).ms.min(axis=(1, 2))
    target = float(np.median(fastest)) * 1.001
    hurried = model._replace(demands=[(0.0, Demands(target, 100))])
    wanted = int((fastest > target).sum())
    assert 0 < wanted < len(fastest)
    assert free_switches([hurried], board, 5).n_late == wanted
    assert clairvoyant(hurried, board, 5).n_late == wanted
