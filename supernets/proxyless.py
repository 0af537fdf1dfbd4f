"""The once-for-all ProxylessNAS of `search_spaces.ProxylessNASSpace` with all of its weights."""

from __future__ import annotations

from torch import nn

from search_spaces import MobileNetV3Space
from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from supernets.layers import MEAN, ElasticBlock, Layer, Sized, conv_norm
from supernets.mobilenetv3 import MobileNetV3Supernet

RELU6 = Sized(nn.ReLU6())
EPS = 1e-3  # of every batch norm: of the published weights


class ProxylessNASHead(ElasticBlock):
    """The final classifier: 1x1 convolution, global pool, linear."""

    def __init__(self, c_in: int, wide: int, n_classes: int) -> None:
        super().__init__()
        self.wide = wide
        self.conv = ElasticConv2d(c_in, wide, 1)
        self.norm = ElasticBatchNorm2d(wide)
        self.linear = ElasticLinear(wide, n_classes)

    def layers(self, c_in: Channels) -> list[Layer]:
        """From features (N, c_in, H, H) to logits (N, classes)."""
        wide = conv_norm(self.conv, self.norm, c_in, self.wide)
        return [*wide, RELU6, MEAN, Sized(self.linear, (self.wide,))]


class ProxylessNASSupernet(MobileNetV3Supernet):
    """As MobileNetV3, with ReLU6 everywhere and no squeeze-and-excite."""

    stem_activation = RELU6
    activations = (RELU6,) * 6

    def __init__(self, space: MobileNetV3Space) -> None:
        super().__init__(space)
        self.first.shortcut = False  # even where a narrow stem is as wide as the block
        for _, layer in self.norms():
            layer.eps = EPS

    def classifier(self, c_in: int) -> ElasticBlock:
        return ProxylessNASHead(c_in, self.space.layer_widths[-1], self.space.n_classes)
