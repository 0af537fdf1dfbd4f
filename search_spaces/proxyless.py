"""Once-for-all ProxylessNAS: kernel and expand ratio per block, depth per stage, resolution.

Cai et al., 2020 (arXiv:1908.09791), over ProxylessNAS (Cai et al., 2019, arXiv:1812.00332).
"""

from __future__ import annotations

from dataclasses import dataclass

from search_spaces.mobilenetv3 import MobileNetV3Space
from search_spaces.operators import Map, OperatorBuilder
from search_spaces.stages import Values


@dataclass(frozen=True)
class ProxylessNASSpace(MobileNetV3Space):
    """Six stages of inverted residual blocks without squeeze-and-excite; the last has one block.

    Genes are those of `MobileNetV3Space`; the published supernet is 1.3 times as wide as its base.
    """

    width_mult: float = 1.3

    kind = "ofa-proxyless"
    preset = "ProxylessNASNets"
    base_widths = (32, 16, 24, 40, 80, 96, 192, 320, 1280)  # stem, first block, stages, head
    strides = (2, 2, 2, 1, 2, 1)
    squeezes = (False,) * 6

    @property
    def stage_depths(self) -> tuple[tuple[int, ...], ...]:
        return (*(self.depths,) * (len(self.strides) - 1), (1,))

    def add_stem(self, net: OperatorBuilder, values: Values) -> Map:
        """A 3x3 convolution, then a block that neither expands nor has a shortcut."""
        stem, first = self.layer_widths[:2]
        return net.conv(net.depthwise(net.conv(net.image, stem, 3, 2), 3), first, 1)

    def add_classifier(self, net: OperatorBuilder, x: Map) -> None:
        net.linear(net.mean(net.conv(x, self.layer_widths[-1], 1)), self.n_classes)
