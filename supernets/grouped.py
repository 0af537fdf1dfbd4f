"""The weights of `search_spaces.GroupSpace`: groups side by side, the first of them kept."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from search_spaces import GroupSpace, Subnet
from supernets.blocks import ElasticBasicBlock
from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d
from supernets.exits import ExitHead, FinalHead
from supernets.layers import RELU, ElasticBlock, Layer, Sized, conv_norm
from supernets.stages import StagedSupernet


class GroupedSupernet(StagedSupernet):
    """Every weight holds the channels of group 1 first, then those of group 2, and so on."""

    kind: ClassVar[str] = "groups"
    space: GroupSpace

    def __init__(self, space: GroupSpace) -> None:
        super().__init__(space)
        self.stem = ElasticConv2d(space.in_channels, space.stem, 3)
        self.stem_norm = ElasticBatchNorm2d(space.stem)
        self.add_stages()

    def widest(self, subnet: Subnet) -> Subnet:
        """All groups: no channel depends on those of a later one."""
        return self.space.subnet(self.space.largest)

    def stem_layers(self, subnet: Subnet) -> list[Layer]:
        width = self.space.kept(self.space.stem, subnet)
        return [*conv_norm(self.stem, self.stem_norm, self.space.in_channels, width), RELU]

    def block(self, stage: int, slot: int, *sizes: int) -> ElasticBlock:
        space, (c_in, c_out) = self.space, sizes
        stride = 1 if slot else space.strides[stage]
        if not space.residual:
            return PooledConv(c_in, c_out, pool=stride, n_groups=space.n_groups)
        project = not slot and space.projects(stage)
        return GroupedBasicBlock(
            c_in, c_out, c_out, stride=stride, project=project, n_groups=space.n_groups
        )

    def exit_head(self, exit_: int, c_in: int) -> ElasticBlock:
        space = self.space
        sizes = c_in, space.exit_width(exit_), space.n_classes, space.head_side
        return GroupedExitHead(*sizes, n_groups=space.n_groups)

    def classifier(self, c_in: int) -> FinalHead:
        return FinalHead(c_in, self.space.n_classes)


class GroupedBasicBlock(ElasticBasicBlock):
    """A basic block whose inner width is that behind it."""

    def layers(self, c_in: Channels, c_out: Channels) -> list[Layer]:  # type: ignore[override]
        """From (N, c_in, H, W) to (N, c_out, H / stride, W / stride)."""
        return super().layers(c_in, c_out, c_out)


class PooledConv(ElasticBlock):
    """A max pool where `pool` is more than 1, then a 3x3 convolution, as in AlexNet."""

    def __init__(self, c_in: int, c_out: int, *, pool: int, n_groups: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(pool, pool, padding=0) if pool > 1 else None
        self.conv = ElasticConv2d(c_in, c_out, 3, n_groups=n_groups)
        self.norm = ElasticBatchNorm2d(c_out)

    def layers(self, c_in: Channels, c_out: Channels) -> list[Layer]:
        """From (N, c_in, H, W) to (N, c_out, H / pool, W / pool)."""
        pool = [Sized(self.pool)] if self.pool is not None else []
        return [*pool, *conv_norm(self.conv, self.norm, c_in, c_out), RELU]


class GroupedExitHead(ExitHead):
    """An early exit with as many of its channels as its input has groups."""

    def inner(self, c_in: Channels) -> int:
        assert isinstance(c_in, int)
        per_group = self.conv.weight.shape[1]
        return self.hidden // self.conv.n_groups * (c_in // per_group)
