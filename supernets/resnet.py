"""The elastic ResNet of `search_spaces.ResNetSpace` with all of its weights."""

from __future__ import annotations

from search_spaces import RatioSpace, ResNetSpace, Subnet
from supernets.blocks import ElasticBasicBlock
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d
from supernets.exits import FinalHead
from supernets.layers import RELU, Layer, conv_norm
from supernets.stages import StagedSupernet


class ResNetSupernet(StagedSupernet):
    """Basic blocks in stages, one exit behind each of them."""

    space: ResNetSpace | RatioSpace

    def __init__(self, space: ResNetSpace | RatioSpace) -> None:
        super().__init__(space)
        width = int(space.stage_width(0, space.subnet(space.largest)))
        self.stem = ElasticConv2d(space.in_channels, width, 3)
        self.stem_norm = ElasticBatchNorm2d(width)
        self.add_stages()

    def stem_layers(self, subnet: Subnet) -> list[Layer]:
        width = int(self.space.stage_width(0, subnet))
        return [*conv_norm(self.stem, self.stem_norm, self.space.in_channels, width), RELU]

    def block(self, stage: int, slot: int, *sizes: int) -> ElasticBasicBlock:
        stride = 1 if slot else self.space.strides[stage]
        project = not slot and self.space.projects(stage)
        return ElasticBasicBlock(*sizes, stride=stride, project=project)

    def classifier(self, c_in: int) -> FinalHead:
        return FinalHead(c_in, self.space.n_classes)
