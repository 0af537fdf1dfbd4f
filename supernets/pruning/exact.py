"""The blocks that retain most, exactly, by two ways that check each other.

Ordered by column and start, every constraint is an interval of variables, so the matrix is totally
unimodular: f(j), the most that j blocks of a line retain, is concave. Hence the M greatest gains
f(j) - f(j - 1) of all lines are the optimum, and so is what a price per block selects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from search_spaces import Bools, Floats, Ints

CHUNK = 2**26  # decisions of the dynamic programme that are held at once, 1 byte each
NEAR = 1e-14  # prices that are closer, in parts of the greatest block, are one


def programme_gains(windows: Floats, g: int) -> Floats:
    """f(j) - f(j - 1) of every line, (rows // g, lines), from `windows` (starts, lines)."""
    return np.concatenate(
        [np.diff(_programme(part, g)[0], axis=0) for part in _parts(windows, g)], axis=1
    )


def programme_starts(windows: Floats, g: int, counts: Ints) -> Bools:
    """Where the best `counts` (lines,) blocks of every line start, (starts, lines)."""
    starts, first = [], 0
    for part in _parts(windows, g):
        n = part.shape[1]
        starts.append(_counted(part, g, counts[first : first + n]))
        first += n
    return np.concatenate(starts, axis=1)


def _counted(windows: Floats, g: int, counts: Ints) -> Bools:
    taken, lines = _programme(windows, g)[1], np.arange(windows.shape[1])
    return _walk_back(lambda i, left: taken[i, left - 1, lines], counts, g, len(windows))


def _parts(windows: Floats, g: int) -> list[Floats]:
    """`windows` in groups of lines that fit into the memory."""
    each = len(windows) * ((len(windows) + g - 1) // g)
    n = max(1, CHUNK // each)
    return [windows[:, i : i + n] for i in range(0, windows.shape[1], n)]


def _programme(windows: Floats, g: int) -> tuple[Floats, Bools]:
    """f(j) as (rows // g + 1, lines), and whether the j-th block ends at a row.

    F[i][j] = max(F[i - 1][j], F[i - g][j - 1] + windows[i - g]) over the first i rows.
    """
    n_starts, lines = windows.shape
    rows = n_starts + g - 1
    best = np.full((g + 1, rows // g + 1, lines), -np.inf)  # of the last g + 1 values of i
    best[:, 0] = 0
    taken = np.zeros((n_starts, rows // g, lines), dtype=bool)
    for i in range(g, rows + 1):
        most = i // g
        without = best[(i - 1) % (g + 1), 1 : most + 1]
        added = best[(i - g) % (g + 1), :most] + windows[i - g]
        np.greater(added, without, out=taken[i - g, :most])
        np.maximum(added, without, out=best[i % (g + 1), 1 : most + 1])
    return best[rows % (g + 1)], taken


def _walk_back(taken: Callable[[int, Ints], Bools], counts: Ints, g: int, n_starts: int) -> Bools:
    """The starts behind the decisions `taken(start, blocks left)`, from the last row upwards."""
    left, covered = counts.copy(), np.zeros(len(counts), dtype=np.int64)
    starts = np.zeros((n_starts, len(counts)), dtype=bool)
    for i in range(n_starts - 1, -1, -1):
        starts[i] = taken(i, left) & (left > 0) & (covered == 0)
        left -= starts[i]
        covered = np.where(starts[i], g - 1, np.maximum(covered - 1, 0))
    return starts


def priced_starts(layers: Sequence[Floats], g: int, n_blocks: int) -> list[Bools]:
    """The best `n_blocks` of all layers' `windows` (starts, lines), by the price of a block."""
    top = max(float(w.max()) for w in layers)
    low, high = -max(top, 1.0), top  # at a negative price all that fit pay, at the greatest none
    below, above = _Priced(layers, g, low), _Priced(layers, g, high)
    for step in range(200):
        if high - low <= NEAR * top or n_blocks in (below.total, above.total):
            break
        share = (below.total - n_blocks) / (below.total - above.total) if step % 2 else 0.5
        price = low + float(np.clip(share, 0.01, 0.99)) * (high - low)
        found = _Priced(layers, g, price)
        if found.total >= n_blocks:
            low, below = price, found
        else:
            high, above = price, found
    return _between(below, above, n_blocks)


class _Priced:
    """What pays at `price`: blocks of every line, and the decisions that they come from."""

    def __init__(self, layers: Sequence[Floats], g: int, price: float) -> None:
        self.layers, self.g = layers, g
        solved = [_decisions(windows, g, price) for windows in layers]
        self.counts, self.taken = [n for n, _ in solved], [taken for _, taken in solved]
        self.total = sum(int(n.sum()) for n in self.counts)

    def starts(self, layer: int) -> Bools:
        taken = self.taken[layer]
        return _walk_back(lambda i, _: taken[i], self.counts[layer], self.g, len(taken))


def _decisions(windows: Floats, g: int, price: float) -> tuple[Ints, Bools]:
    """Blocks (lines,) of the best selection where each costs `price`, and what it takes."""
    n_starts, lines = windows.shape
    value = np.zeros((n_starts + g, lines))
    count = np.zeros((n_starts + g, lines), dtype=np.int64)
    taken, net = np.empty((n_starts, lines), dtype=bool), windows - price
    for i in range(n_starts):
        added, row = net[i], i + g
        added += value[i]
        np.greater(added, value[row - 1], out=taken[i])
        np.maximum(added, value[row - 1], out=value[row])
        np.add(count[i], 1, out=count[row])
        np.copyto(count[row], count[row - 1], where=~taken[i])
    return count[-1], taken


def _between(below: _Priced, above: _Priced, n_blocks: int) -> list[Bools]:
    """Exactly `n_blocks`, where all gains between the two prices are equal."""
    needed, found = n_blocks - above.total, []
    for k, windows in enumerate(above.layers):
        fewest, room = above.counts[k], np.maximum(below.counts[k] - above.counts[k], 0)
        extra = np.clip(needed - (np.cumsum(room) - room), 0, room)
        needed -= int(extra.sum())
        starts = above.starts(k)
        if extra.any():
            starts = np.where(extra == room, below.starts(k), starts)
        part = (extra > 0) & (extra < room)  # one line at most
        if part.any():
            starts[:, part] = programme_starts(windows[:, part], above.g, (fewest + extra)[part])
        found.append(starts)
    return found
