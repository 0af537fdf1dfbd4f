"""Other layouts of blocks, for comparison: 1 x g along the inputs, 2 x 4 between both.

Groups of rows are aligned, the first input of a block is free; what is kept is the greatest sum of
|w| that so many blocks can hold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from search_spaces import Bools, InputError
from supernets.pruning.exact import priced_starts
from supernets.pruning.orders import window_sums


def select_tiles(weight: ArrayLike, rows: int, columns: int, sparsity: float) -> Bools:
    """Where blocks of `rows` x `columns` start, (c_out // rows, inputs - columns + 1).

    `weight` is (c_out, ...); rows behind the last whole group keep nothing.
    """
    scores = np.abs(np.asarray(weight, np.float64)).reshape(len(np.asarray(weight)), -1)
    n_groups, n = len(scores) // rows, int(scores.size * (1 - sparsity) / (rows * columns) + 1e-9)
    if not n or not n_groups or columns > scores.shape[1]:
        raise InputError(f"blocks of {rows} x {columns} do not fit {scores.shape} at {sparsity}")
    groups = scores[: n_groups * rows].reshape(n_groups, rows, -1).sum(axis=1)
    most = n_groups * (scores.shape[1] // columns)
    starts: Bools = priced_starts([window_sums(groups.T, columns)], columns, min(n, most))[0].T
    return starts


def tile_mask(starts: Bools, rows: int, columns: int, c_out: int) -> Bools:
    """The cells of the blocks, (c_out, inputs)."""
    mask = np.zeros((c_out, starts.shape[1] + columns - 1), dtype=bool)
    for j in range(columns):
        mask[: len(starts) * rows, j : j + starts.shape[1]] |= np.repeat(starts, rows, axis=0)
    return mask
