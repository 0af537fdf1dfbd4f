"""Blocks of other shapes: as many as asked, whole, and the best along the inputs."""

from __future__ import annotations

import numpy as np
import pytest

from search_spaces import InputError
from supernets.pruning import block_mask, select_blocks
from supernets.pruning.layouts import select_tiles, tile_mask


@pytest.mark.parametrize(("rows", "columns"), [(1, 4), (2, 4), (4, 2)])
def test_blocks_are_whole_and_as_many_as_asked(rows: int, columns: int) -> None:
    weight = np.random.default_rng(0).normal(size=(16, 25))
    starts = select_tiles(weight, rows, columns, 0.8)
    mask = tile_mask(starts, rows, columns, 16)
    assert starts.sum() == int(400 * 0.2 / (rows * columns))
    assert mask.sum() == rows * columns * starts.sum()


def test_one_row_is_a_block_of_the_transposed_weight() -> None:
    weight = np.random.default_rng(1).normal(size=(12, 30))
    along = tile_mask(select_tiles(weight, 1, 4, 0.7), 1, 4, 12)
    across = block_mask(select_blocks({"w": weight.T}, 4, 0.7)["w"], 4)
    assert np.array_equal(along, across.T)


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(InputError, match="blocks of 2 x 4 do not fit"):
        select_tiles(np.ones((4, 3)), 2, 4, 0.5)
