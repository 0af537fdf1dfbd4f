"""Supernets of stages: a stem, stages of block slots, a head behind some of the stages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import cast

from torch import nn

from search_spaces import StagedSpace, Subnet
from supernets.channels import Channels
from supernets.exits import ExitHead
from supernets.layers import ElasticBlock, Layer
from supernets.supernet import Supernet


class StagedSupernet(Supernet):
    """The weights of a `StagedSpace`, whose `block_sizes` say how a subnet uses a block.

    A concrete supernet makes its stem, then `add_stages` makes the rest.
    """

    space: StagedSpace
    stages: nn.ModuleList

    def __init__(self, space: StagedSpace) -> None:
        super().__init__()
        self.space = space

    @abstractmethod
    def stem_layers(self, subnet: Subnet) -> list[Layer]:
        """From the images to the input of the first stage."""

    @abstractmethod
    def block(self, stage: int, slot: int, *sizes: int) -> ElasticBlock:
        """A block with the `sizes` of the largest subnet, whose `layers` take those of any."""

    @abstractmethod
    def classifier(self, c_in: int) -> ElasticBlock:
        """The head behind the last stage."""

    def exit_head(self, exit_: int, c_in: int) -> ElasticBlock:
        """The head of an early exit."""
        space = self.space
        return ExitHead(c_in, space.exit_width(exit_), space.n_classes, space.head_side)

    def add_stages(self) -> None:
        """Make the blocks and the heads, as wide as the largest subnet has them."""
        space = self.space
        largest = space.subnet(space.largest)
        widths = [space.stage_width(s, largest) for s in range(space.n_stages)]
        self.stages = nn.ModuleList(
            nn.ModuleList(self.block(s, b, *sizes) for b, sizes in self._kept(s, largest))
            for s in range(space.n_stages)
        )
        early = [self.exit_head(k, widths[s]) for k, s in enumerate(space.exits)]
        self.heads = nn.ModuleList([*early, self.classifier(widths[-1])])
        self.name_norms()

    def segment(self, k: int, subnet: Subnet) -> tuple[list[Layer], Channels]:
        layers = self.stem_layers(subnet) if k == 0 else []
        for s in self.space.stages(k):
            blocks = cast(nn.ModuleList, self.stages[s])
            for b, sizes in self._kept(s, subnet):
                layers += cast(ElasticBlock, blocks[b]).layers(*sizes)
        return layers, int(self.space.stage_width(self.space.stages(k)[-1], subnet))

    def _kept(self, stage: int, subnet: Subnet) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Slot and sizes of the blocks that `subnet` keeps."""
        for b, (kept, *sizes) in enumerate(self.space.block_sizes(stage, subnet)):
            if kept:
                yield b, tuple(map(int, sizes))
