"""Ranks of blocks are block expansion and division; training them survives a kill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import BlockSparseSpace, InputError
from supernets import Dataset, load_supernet
from supernets.data import Split
from supernets.pruning import block_mask, select_blocks, train_block_sparse
from supernets.pruning.block_sparse import block_ranks
from supernets.training import TrainSettings
from tests.supernets.tiny import SPACE as BASE
from tests.supernets.tiny import digits, supernet

SPACE = BlockSparseSpace.of(BASE, 4, (10, 100))
SETTINGS = TrainSettings(epochs=1, batch_size=32, n_random=1)
pytestmark = pytest.mark.usefixtures("one_thread")


@given(
    shape=st.tuples(st.integers(4, 20), st.integers(1, 12)),
    g=st.integers(1, 4),
    density=st.integers(1, 99),
    seed=st.integers(0, 99),
)
def test_a_rank_below_the_density_is_the_mask_of_bed(
    shape: tuple[int, int], g: int, density: int, seed: int
) -> None:
    weight = np.random.default_rng(seed).standard_normal(shape)
    found = block_ranks("layer", weight, g) < 20 * density
    if weight.size * density // 100 < g:
        assert not found.any()
        return
    starts = select_blocks({"layer": weight}, g, 1 - density / 100, method="bed")["layer"]
    np.testing.assert_array_equal(found, block_mask(starts, g))


def few() -> Dataset:
    from dataclasses import replace

    whole = digits()
    return replace(whole, train=Split(whole.train.images[:128], whole.train.labels[:128]))


def test_weights_are_trained_where_blocks_stay(tmp_path: Path) -> None:
    dense, data = supernet(), few()
    before = {k: v.clone() for k, v in dense.state_dict().items()}
    steps = list(train_block_sparse(dense, SPACE, data, SETTINGS, tmp_path))
    assert len(steps) == 4
    found, _ = load_supernet(tmp_path / "weights.safetensors")
    assert found.space == SPACE
    name = "stages.1.0.conv1"
    layer = found.block_layers[name]
    wanted = block_ranks(name, before[f"{name}.weight"].numpy(), 4)
    assert torch.equal(layer.rank, torch.from_numpy(wanted).reshape(layer.rank.shape).short())
    assert not torch.allclose(layer.weight, before[f"{name}.weight"], atol=1e-3)
    assert not list(train_block_sparse(supernet(), SPACE, data, SETTINGS, tmp_path))  # all done
    other = BlockSparseSpace.of(BASE, 8, (10, 100))
    with pytest.raises(InputError, match=r"holds a run of .*-blocks4-10\.100, not .*-blocks8-"):
        next(train_block_sparse(supernet(), other, data, SETTINGS, tmp_path))
