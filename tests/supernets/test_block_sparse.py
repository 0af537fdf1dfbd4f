"""One set of weights at all densities: equal to static copies, nested, dense where nothing goes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces import BlockSparseSpace, Subnet
from supernets import build_supernet, extract, load_supernet, save_supernet, slices
from supernets.block_sparse import BlockSparseSupernet, random_ranks
from supernets.pruning.block_sparse import ranked
from supernets.pruning.blocks import covering_blocks
from tests.supernets.tiny import images, supernet

DENSE = supernet()
SPACE = BlockSparseSpace.of(DENSE.space, 4, (10, 30, 100))
NET = ranked(DENSE, SPACE).eval()
SUBNETS = SPACE.subnets(SPACE.sample_spread(6, np.random.default_rng(0)))
IMAGES = images(4)


def at(*densities: int) -> Subnet:
    return SPACE.subnet([*SPACE.largest[0][:-4], *densities])


@torch.no_grad()
def test_extracted_subnets_compute_what_the_supernet_computes() -> None:
    for subnet in SUBNETS:
        found = extract(NET, subnet).fold()
        torch.testing.assert_close(found(IMAGES), NET(IMAGES, subnet), atol=1e-4, rtol=1e-4)
        assert found.block_rows == 4
    whole = DENSE.space.subnet(DENSE.space.largest)
    torch.testing.assert_close(NET(IMAGES, at(100, 100, 100, 100)), DENSE(IMAGES, whole))


@pytest.mark.parametrize("subnet", SUBNETS, ids=str)
def test_every_layer_keeps_the_share_that_its_operator_says(subnet: Subnet) -> None:
    """At any width, up to the block that is cut and the step of a rank."""
    heads = np.ones((1, 4), dtype=bool)
    found = SPACE.operators(SPACE.genes([subnet]), heads)
    convolutions = np.array([kind == "conv" for kind in found.kinds]) & found.present[0]
    layers = [m for m in extract(NET, subnet).modules() if isinstance(m, nn.Conv2d)]
    for layer, density in zip(layers, found.density[0, convolutions], strict=True):
        share = 100 * float((layer.weight != 0).float().mean())
        assert density - 400 / layer.weight.numel() - 1 <= share <= density


def test_a_smaller_density_keeps_a_part_of_what_a_larger_one_keeps() -> None:
    layer = NET.block_layers["stages.2.0.conv1"]
    few, more = (layer.kept(24, 32, density) != 0 for density in (10, 30))
    assert few.any()
    assert not (few & ~more).any()
    assert torch.equal(layer.kept(24, 32, 100), layer.weight)


def test_weights_outside_of_the_blocks_learn_nothing() -> None:
    net = ranked(DENSE, SPACE).train()
    sum(x.square().sum() for x in net(IMAGES, at(30, 30, 30, 30))).backward()
    for layer in net.block_layers.values():
        c_out, c_in = layer.weight.shape[:2]
        outside = layer.kept(c_in, c_out, 30) == 0
        assert not layer.weight.grad[outside].any()


def test_a_checkpoint_keeps_the_ranks(tmp_path) -> None:
    save_supernet(NET, tmp_path / "x.safetensors", half=True)
    found, about = load_supernet(tmp_path / "x.safetensors")
    assert about["kind"] == "blocks"
    for name, layer in NET.block_layers.items():
        assert torch.equal(found.block_layers[name].rank, layer.rank)


def test_dense_weights_are_shared_and_pruned_ones_are_not() -> None:
    assert slices(NET, at(100, 100, 100, 100))
    with pytest.raises(ValueError, match="pruned in blocks have no slices"):
        slices(NET, at(100, 100, 100, 30))


def test_random_ranks_are_of_whole_blocks_that_begin_anywhere() -> None:
    """What costs are measured with, before anything is trained."""
    ranks = random_ranks(18, 200, 4)
    starts, g = covering_blocks(ranks < 600, 4)
    assert g == 4
    assert int(starts.sum()) * 4 == int((ranks < 600).sum()) == 1080
    assert {row % 4 for row in np.nonzero(starts)[0].tolist()} == {0, 1, 2, 3}
    assert isinstance(build_supernet(SPACE), BlockSparseSupernet)
