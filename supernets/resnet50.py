"""The once-for-all ResNet50 of `search_spaces.ResNet50Space` with all of its weights."""

from __future__ import annotations

from search_spaces import ResNet50Space, Subnet
from supernets.blocks import ElasticBottleneck, ElasticStem
from supernets.exits import FinalHead
from supernets.layers import Layer
from supernets.stages import StagedSupernet


class ResNet50Supernet(StagedSupernet):
    """Bottleneck blocks in four stages; images have the side of the subnet's resolution."""

    space: ResNet50Space

    def __init__(self, space: ResNet50Space) -> None:
        super().__init__(space)
        largest = space.subnet(space.largest)
        inner, behind = largest["w"][:2]
        self.stem = ElasticStem(space.in_channels, inner, behind, residual=largest["s"][0] == 1)
        self.add_stages()

    def stem_layers(self, subnet: Subnet) -> list[Layer]:
        return self.stem.layers(subnet["s"][0] == 1, *subnet["w"][:2])

    def block(self, stage: int, slot: int, *sizes: int) -> ElasticBottleneck:
        stride = 1 if slot else self.space.strides[stage]
        return ElasticBottleneck(*sizes, stride=stride, project=slot == 0)

    def classifier(self, c_in: int) -> FinalHead:
        return FinalHead(c_in, self.space.n_classes)
