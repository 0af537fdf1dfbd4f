"""The weights of `search_spaces.BlockSparseSpace`: a rank of every block serves all densities.

A layer keeps the blocks of the lowest ranks, so what a density keeps is a part of what a larger one
keeps, and one set of weights and ranks holds them all.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import BlockSparseSpace, InputError, Ints, Subnet
from supernets.channels import Channels, Slice, take
from supernets.elastic import ElasticConv2d, plain_conv
from supernets.layers import Layer, Sized, changed
from supernets.resnet import ResNetSupernet
from supernets.supernet import Program

DENSE = BlockSparseSpace.dense  # percent
STEPS = 2000  # of a rank; fp16 has every whole number up to 2048


class BlockSparseConv2d(ElasticConv2d):
    """A convolution that keeps `density` percent of its weights, in blocks of `g` rows.

    `rank` of a weight is the share of the weights that its block and those before it hold, in
    steps of 1 / STEPS. A narrower layer keeps the same share of what it has: the lowest ranks.
    """

    rank: Tensor

    def __init__(self, dense: ElasticConv2d, g: int) -> None:
        nn.Module.__init__(self)
        self.stride, self.padding, self.n_groups = dense.stride, dense.padding, dense.n_groups
        self.weight, self.g = dense.weight, g
        self._limits: dict[tuple[int, ...], int] = {}  # ranks by channels and density
        self.register_buffer("rank", torch.empty(self.weight.shape, dtype=torch.int16))
        self.set_ranks(random_ranks(len(self.weight), self.weight[0].numel(), g))
        self.register_load_state_dict_post_hook(_forget_limits)  # type: ignore[no-untyped-call]

    def set_ranks(self, ranks: Ints) -> None:
        """Give the weights (rows, columns) their ranks."""
        self.rank.copy_(torch.from_numpy(ranks.reshape(self.weight.shape)))
        self._limits.clear()

    def kept(self, c_in: Channels, c_out: Channels, density: int) -> Tensor:
        """The weight of these channels, zero where no block of the density is."""
        weight = take(self.weight, c_out, c_in)
        if density == DENSE or not self._holds_blocks(weight):
            return weight
        rank = take(self.rank, c_out, c_in)
        key = (*weight.shape[:2], density)
        if key not in self._limits:
            self._limits[key] = _limit(rank, density)
        return weight * (rank < self._limits[key])

    def _holds_blocks(self, weight: Tensor) -> bool:
        c_out, c_in = weight.shape[:2]
        return bool(BlockSparseSpace.holds_blocks(c_in, c_out, self.g))

    def forward(  # type: ignore[override]
        self, x: Tensor, c_in: Channels, c_out: Channels, density: int = DENSE
    ) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, ceil(H / stride), ceil(W / stride))."""
        weight = self.kept(c_in, c_out, density)
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding)

    def static(  # type: ignore[override]
        self, c_in: Channels, c_out: Channels, density: int = DENSE
    ) -> nn.Module:
        return plain_conv(self.kept(c_in, c_out, density), self.stride)

    def slices(self, *sizes: Channels) -> list[Slice]:
        *channels, density = sizes
        if density != DENSE:
            raise InputError("weights that are pruned in blocks have no slices")
        return super().slices(*channels)


class BlockSparseSupernet(ResNetSupernet):
    """An elastic ResNet whose layers keep the density of their stage."""

    kind: ClassVar[str] = "blocks"
    space: BlockSparseSpace

    def __init__(self, space: BlockSparseSpace) -> None:
        super().__init__(space)
        self.block_rows = space.g
        for name, layer in list(self.named_modules()):
            if isinstance(layer, ElasticConv2d):
                c_out, c_in = layer.weight.shape[:2]
                if space.holds_blocks(c_in, c_out, space.g):
                    self.set_submodule(name, BlockSparseConv2d(layer, space.g))

    @property
    def block_layers(self) -> dict[str, BlockSparseConv2d]:
        """The layers that hold blocks, by name."""
        found = self.named_modules()
        return {name: layer for name, layer in found if isinstance(layer, BlockSparseConv2d)}

    def segment(self, k: int, subnet: Subnet) -> tuple[list[Layer], Channels]:
        layers, channels = super().segment(k, subnet)
        return changed(layers, partial(_at_density, subnet["b"][k])), channels

    def _listed(self, subnet: Subnet, wanted: object) -> Program:
        program = super()._listed(subnet, cast(tuple[int, ...], wanted))
        return [
            (k, trunk, changed(head, partial(_at_density, subnet["b"][k])))
            for k, trunk, head in program
        ]


def random_ranks(rows: int, columns: int, g: int) -> Ints:
    """Ranks (rows, columns) of blocks that stand for those of trained weights, for costs.

    Every column begins at a row of its own, as trained ones do.
    """
    rng = np.random.default_rng([rows, columns, g])
    first = rng.integers(0, min(g, rows - g + 1), columns)
    exists = np.arange(rows // g + 1)[:, None] < (rows - first) // g  # one row more, for no block
    place = np.full(exists.shape, -1)
    place[exists] = rng.permutation(int(exists.sum()))
    block = (np.arange(rows)[:, None] - first) // g  # -1 before the first: the row for none
    found = np.take_along_axis(place, np.where(block < 0, rows // g, block), axis=0)
    return np.where(found < 0, STEPS, place_ranks(found, g, rows * columns))


def place_ranks(place: Ints, g: int, n_weights: int) -> Ints:
    """Ranks of blocks of `g` weights that are the `place`-th to stay, from 0."""
    ranks: Ints = np.ceil(STEPS * np.minimum(1, (place + 1) * g / n_weights) - 1e-9) - 1
    return ranks.astype(np.int64)


def _forget_limits(layer: BlockSparseConv2d, _: object) -> None:
    layer._limits.clear()


def _limit(rank: Tensor, density: int) -> int:
    """The rank below which `density` percent of the weights are, as nearly as ranks tell."""
    below = torch.bincount(rank.flatten().to(torch.int64), minlength=STEPS + 1).cumsum(0)
    most = density * rank.numel() // DENSE
    return int(torch.searchsorted(below, most, right=True))


def _at_density(density: int, item: Sized) -> Sized:
    if isinstance(item.layer, BlockSparseConv2d):
        return Sized(item.layer, (*item.sizes, density))
    return item
