"""What hindsight can do with the same frames: the best fixed choice, the clairvoyant, a bound."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple, Sequence

import numpy as np

from .baselines import fixed
from .simulate import Simulation
from .simulated import Board, Model, Result

LATE = 0.02  # of the frames, at most: what a fixed choice may miss
TRIED, AT_MOST = 4, 12  # of the cheapest by the sums, simulated; until one keeps the target
PARTNERS = 2  # rows of each model that are tried together where there are several


class Work(NamedTuple):
    """Sums over the images of F frames for C configurations at L levels, with their real exits."""

    ms: np.ndarray  # (F, C, L)
    mj: np.ndarray  # (F, C, L), whole board


def frame_work(model: Model, rows: Sequence[int]) -> Work:
    """What every frame takes under each of `rows` at every level."""
    frames, table = model.frames, model.table
    ids = np.concatenate(frames.images)
    starts = np.concatenate([[0], np.cumsum(frames.n)[:-1]])
    ms, mj = [], []
    for row in rows:
        at = model.leave[row, ids]
        image_ms = table.time_ms[row][at] * model.factor  # (images, L)
        image_mj = image_ms * table.power_w[row][at]
        ms.append(np.add.reduceat(image_ms, starts))
        mj.append(np.add.reduceat(image_mj, starts))
    return Work(np.stack(ms, 1), np.stack(mj, 1))


class Fixed(NamedTuple):
    """A fixed choice: a configuration for each model, a clock to work at, a clock to wait at."""

    run: Result
    rows: list[int]
    level: int
    rest: int | None  # None: it waits at the clock it works at


def best_fixed(
    models: Sequence[Model], board: Board, rows: Sequence[int], seconds: float, *, drop: bool
) -> Fixed:
    """The cheapest fixed rows and level of all with at most 2 % late frames.

    With `drop` the board waits at the lowest clock, or where that keeps nobody in time, at the
    lowest one that does. All are ranked by sums of work; of those that keep the target, the
    cheapest are simulated. Where none does, the one with the fewest late frames.
    """
    found = None
    for rest in range(len(board.idle_w)) if drop else (None,):
        found = _best_at_rest(models, board, rows, seconds, rest)
        if found.run.late_share <= LATE:
            break
    assert found is not None
    return found


def _best_at_rest(
    models: Sequence[Model], board: Board, rows: Sequence[int], seconds: float, rest: int | None
) -> Fixed:
    best = None
    for i, (chosen, level) in enumerate(_ranked(models, board, rows, seconds, rest)[:AT_MOST]):
        if i >= TRIED and best is not None and best[0][0] == 0:
            break
        run = Simulation(models, board, fixed(chosen, level, rest)).run(seconds)
        key = max(run.late_share - LATE, 0.0), run.joules
        if best is None or key < best[0]:
            best = key, Fixed(run, chosen, level, rest)
    assert best is not None
    return best[1]


def _ranked(
    models: Sequence[Model], board: Board, rows: Sequence[int], seconds: float, rest: int | None
) -> list[tuple[list[int], int]]:
    """Rows and levels: those that keep the target first, the cheapest of them first."""
    works = [frame_work(model, rows) for model in models]
    choices = _combined(works, board, len(rows))
    ends_ms, late = _queue(models, works, choices, board, rest)
    cost = np.zeros(late.shape)  # mJ above the lowest idle power
    for m, work in enumerate(works):
        above = (work.mj - board.idle_w[0] * work.ms).sum(axis=0)
        cost += above[choices[:, m]]
    waits_w = board.idle_w if rest is None else board.idle_w[rest]
    cost += (seconds * 1e3 - ends_ms) * (waits_w - board.idle_w[0])
    order = np.lexsort((cost.ravel(), np.maximum(late.ravel() - LATE, 0)))
    found = []
    for flat in order:
        i, level = np.unravel_index(flat, cost.shape)
        found.append(([rows[c] for c in choices[i]], int(level)))
    return found


def _combined(works: Sequence[Work], board: Board, n_rows: int) -> np.ndarray:
    """Positions in `rows` for each model, (choices, models)."""
    if len(works) == 1:
        return np.arange(n_rows)[:, None]
    best = []
    for work in works:
        above = (work.mj - board.idle_w[0] * work.ms).sum(axis=0)
        best.append(sorted({int(i) for i in np.argsort(above, axis=0)[:PARTNERS].ravel()}))
    return np.array(list(product(*best)))


def _queue(
    models: Sequence[Model],
    works: Sequence[Work],
    choices: np.ndarray,
    board: Board,
    rest: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Busy milliseconds and the share of late frames, (choices, L), first come first served."""
    events = sorted(
        (float(at), m, i) for m, x in enumerate(models) for i, at in enumerate(x.frames.at_ms)
    )
    free = np.zeros((len(choices), len(board.idle_w)))
    busy, late = np.zeros_like(free), np.zeros_like(free)
    for at, m, i in events:
        ms = works[m].ms[i][choices[:, m]]
        begin = np.maximum(free, at)
        if rest is not None:
            lowest, delay = ms[:, rest : rest + 1], board.delay_ms[rest]
            slow = np.maximum(ms + delay * (1 - ms / lowest), np.minimum(ms, lowest))
            ms = np.where(free <= at, slow, ms)
        free = begin + ms
        busy += ms
        target = [d for since, d in models[m].demands if since <= at][-1].target_ms
        late += free - at > target
    return busy, late / max(len(events), 1)


class Hindsight(NamedTuple):
    """What one spends who knows all frames; those late that nobody could have answered in time."""

    joules: float
    n_late: int


def clairvoyant(model: Model, board: Board, seconds: float) -> Hindsight:
    """Of one who knows all frames and exits, and pays for switches: dynamic programming.

    The state is the clock when a frame arrives. For every frame one configuration within the
    floor and one clock, asked when it arrives; while idle any clock, by way of the lowest or not.
    """
    idle, delay, levels = board.idle_w, board.delay_ms, np.arange(len(board.idle_w))
    high = np.maximum(levels[:, None], levels)
    rows = _useful(model)
    work = frame_work(model, rows)
    table_error = model.table.error_pct[rows]
    at = np.append(model.frames.at_ms, seconds * 1e3)
    spent = np.full(len(levels), np.inf)
    first = at[0] * idle[0] + delay[0] * (np.maximum(idle, idle[0]) - idle[0])
    spent[:] = first  # at rest at the lowest clock until the first frame
    n_late = 0
    for i in range(len(model.frames.at_ms)):
        demands = [d for since, d in model.demands if since <= at[i]][-1]
        allowed = table_error <= demands.floor_error_pct
        ms, mj = work.ms[i][allowed], work.mj[i][allowed]
        watts = mj / ms
        # (from j, configuration, to l)
        part = np.minimum(delay[:, None, :] / ms.T[:, :, None], 1.0)
        finish = part * ms.T[:, :, None] + (1 - part) * ms[None]
        cost = part * ms.T[:, :, None] * watts[:, high].swapaxes(0, 1) + (1 - part) * mj[None]
        late = finish > demands.target_ms
        if late.all():
            n_late += 1
            late = finish > finish.min() * 1.001
        cost = np.where(late, np.inf, cost) + spent[:, None, None]
        gap = at[i + 1] - at[i] - finish
        spent = _through_idle(cost, gap, idle, delay)
    return Hindsight(float(spent.min()) / 1e3, n_late)


def _through_idle(
    cost: np.ndarray, gap: np.ndarray, idle: np.ndarray, delay: np.ndarray
) -> np.ndarray:
    """Least mJ (L,) at the next arrival in each clock, from cost and gap (j, configuration, l)."""
    n = len(idle)
    best = np.full(n, np.inf)
    down = delay[:, 0] * (idle - idle[0])  # to the lowest, at the power of the higher
    for level in range(n):
        direct_ms = delay[:, level]
        direct = direct_ms * (np.maximum(idle, idle[level]) - idle[level])
        straight = cost + gap * idle[level] + direct
        straight = np.where(gap >= direct_ms, straight, np.inf)
        up = delay[0, level] * (idle[level] - idle[0])
        through = np.where(
            gap >= delay[:, 0] + delay[0, level], cost + gap * idle[0] + down + up, np.inf
        )
        best[level] = min(straight.min(), through.min())
    if not np.isfinite(best).any():  # a frame that ends after the next arrival
        best[:] = (cost + np.maximum(gap, 0) * idle[-1]).min()
    return best


def free_switches(models: Sequence[Model], board: Board, seconds: float) -> Hindsight:
    """Joules that nobody can go below: switches are free and two clocks may share a frame.

    Each frame is answered in its own time by itself, at the least of all mixtures of two
    configurations and clocks; the board rests at the lowest clock.
    """
    total, n_late = board.idle_w[0] * seconds * 1e3, 0
    for model in models:
        rows = _useful(model)
        work, error = frame_work(model, rows), model.table.error_pct[rows]
        for i, at in enumerate(model.frames.at_ms):
            demands = [d for since, d in model.demands if since <= at][-1]
            allowed = error <= demands.floor_error_pct
            ms = work.ms[i][allowed].ravel()
            above = work.mj[i][allowed].ravel() - board.idle_w[0] * ms
            total += _mixed(ms, above, demands.target_ms)
            n_late += bool(ms.min() > demands.target_ms)
    return Hindsight(float(total) / 1e3, n_late)


def _mixed(ms: np.ndarray, mj: np.ndarray, target_ms: float) -> float:
    """Least mJ of a mixture of two points that takes at most `target_ms`."""
    within = ms <= target_ms
    if not within.any():
        return float(mj[ms.argmin()])
    best = float(mj[within].min())
    slow = ~within & (mj < best)
    if slow.any():
        share = (target_ms - ms[within][:, None]) / (ms[slow] - ms[within][:, None])
        best = min(best, float((mj[within][:, None] * (1 - share) + mj[slow] * share).min()))
    return best


def _useful(model: Model) -> list[int]:
    """Rows within the loosest floor that was asked."""
    table = model.table
    loosest = max(d.floor_error_pct for _, d in model.demands)
    return [int(row) for row in np.flatnonzero(table.error_pct <= loosest)]
