"""In which order a line gives its blocks: three ways that are not exact, of falling gain each.

A line is a column of the weight matrix. Because gains fall, the best M blocks of many lines are
those with the M greatest gains, and a smaller M keeps a part of what a larger one keeps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from search_spaces import Floats, Ints


class Order(NamedTuple):
    """`gains` (rounds, lines) of a line's blocks, -inf where no more fits, falling;
    `rounds` (rows, lines) in which a cell is taken, a number past the last for never."""

    gains: Floats
    rounds: Ints


def window_sums(scores: Floats, g: int) -> Floats:
    """What a block that starts at a row retains: (rows, lines) to (rows - g + 1, lines)."""
    n = len(scores) - g + 1
    total = scores[:n].copy()
    for i in range(1, g):
        total += scores[i : n + i]
    return total


def aligned(scores: Floats, g: int, n_blocks: int) -> Order:
    """Blocks start at multiples of g; rows behind the last whole block are lost."""
    windows = window_sums(scores, g)[::g]
    order = np.argsort(-windows, axis=0, kind="stable")
    taken = np.empty_like(order)
    np.put_along_axis(taken, order, np.arange(len(windows))[:, None], axis=0)
    rounds = np.full(scores.shape, len(scores))
    rounds[: len(windows) * g] = np.repeat(taken, g, axis=0)
    return Order(np.take_along_axis(windows, order, axis=0), rounds)


def greedy(scores: Floats, g: int, n_blocks: int) -> Order:
    """The best window that overlaps none of those before; gaps under g rows are lost."""
    windows = np.ascontiguousarray(window_sums(scores, g).T)
    lines, last = np.arange(len(windows))[:, None], windows.shape[1] - 1
    rounds = np.full(scores.shape, len(scores)).T
    gains: list[Floats] = []
    while not _enough(gains, n_blocks):
        start = windows.argmax(axis=1)[:, None]
        gain = windows[lines, start]
        fits = np.isfinite(gain[:, 0])
        rounds[lines[fits], start[fits] + np.arange(g)] = len(gains)
        windows[lines, np.clip(start + np.arange(1 - g, g), 0, last)] = -np.inf
        gains.append(gain[:, 0])
    return Order(np.array(gains), rounds.T)


def expanded(scores: Floats, g: int, n_blocks: int) -> Order:
    """Block expansion and division, BED (arXiv:2407.19644).

    A window runs over the cells that are left, so it may lie on both sides of selected ones: the
    run of q blocks there becomes one of q + 1. A window of what is left never gains more than
    the one before: with the two windows that overlap it on either side it would beat it.
    """
    rows, n_lines = scores.shape
    cells = np.full((n_lines, rows + 2), -np.inf)  # a cell at either end that no window may hold
    windows = cells.copy()
    cells[:, 1:-1], windows[:, 1 : rows - g + 2] = scores.T, window_sums(scores, g).T
    worth, rounds = windows.reshape(-1), np.full(cells.size, rows)
    first = np.arange(n_lines) * (rows + 2)
    before, behind = np.arange(cells.size) - 1, np.arange(cells.size) + 1  # cells that are left
    before[first], behind[first + rows + 1] = first, first + rows + 1
    gains: list[Floats] = []
    while len(gains) < rows // g and not _enough(gains, n_blocks):
        start = first + windows.argmax(axis=1)
        block = _followed(behind, start, g)
        gains.append(worth[start])
        rounds[block], worth[block] = len(gains) - 1, -np.inf
        left, right = before[start], behind[block[-1]]
        behind[left], before[right] = right, left
        upwards = _followed(before, left, g - 1)[::-1]
        near = np.concatenate([upwards, _followed(behind, right, g - 1)])
        worth[upwards] = window_sums(cells.take(near), g)
    falling = np.minimum.accumulate(np.array(gains))  # rounding alone can make them rise
    return Order(falling, rounds.reshape(n_lines, -1)[:, 1:-1].T)


def _followed(links: Ints, cell: Ints, n: int) -> Ints:
    """`n` cells of every line, (n, lines): `cell`, the one that it is linked to, and so on."""
    found = np.empty((n, len(cell)), dtype=np.int64)
    for i in range(n):
        found[i], cell = cell, links[cell]
    return found


def _enough(gains: list[Floats], n_blocks: int) -> bool:
    """Whether the `n_blocks` greatest gains are there: later rounds gain no more than this one."""
    if not gains:
        return False
    top = gains[-1].max()
    return not np.isfinite(top) or sum(int((g >= top).sum()) for g in gains) >= n_blocks
