"""The once-for-all MobileNetV3 of `search_spaces.MobileNetV3Space` with all of its weights."""

from __future__ import annotations

from search_spaces import MobileNetV3Space, Subnet
from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear, ElasticPixelConv2d
from supernets.layers import HARDSWISH, MEAN, RELU, ElasticBlock, Layer, Sized, conv_norm
from supernets.mbconv import ElasticMBConv
from supernets.stages import StagedSupernet

# hard swish costs memory traffic at high resolution, so MobileNetV3 has it in the deeper half only
ACTIVATIONS = (RELU, RELU, HARDSWISH, HARDSWISH, HARDSWISH)


class MobileNetV3Head(ElasticBlock):
    """The final classifier: 1x1 convolution, global pool, 1x1 convolution, linear."""

    def __init__(self, c_in: int, wide: int, mixed: int, n_classes: int) -> None:
        super().__init__()
        self.wide, self.mixed = wide, mixed
        self.conv = ElasticConv2d(c_in, wide, 1)
        self.norm = ElasticBatchNorm2d(wide)
        self.mix = ElasticPixelConv2d(wide, mixed)
        self.linear = ElasticLinear(mixed, n_classes)

    def layers(self, c_in: Channels) -> list[Layer]:
        """From features (N, c_in, H, H) to logits (N, classes)."""
        return [
            *conv_norm(self.conv, self.norm, c_in, self.wide),
            HARDSWISH,
            MEAN,
            Sized(self.mix, (self.wide, self.mixed)),
            HARDSWISH,
            Sized(self.linear, (self.mixed,)),
        ]


class MobileNetV3Supernet(StagedSupernet):
    """Inverted residual blocks in five stages; images have the side of the subnet's resolution."""

    space: MobileNetV3Space
    stem_activation = HARDSWISH
    activations: tuple[Sized, ...] = ACTIVATIONS  # one a stage

    def __init__(self, space: MobileNetV3Space) -> None:
        super().__init__(space)
        self.width, first = space.layer_widths[:2]
        self.stem = ElasticConv2d(space.in_channels, self.width, 3, stride=2)
        self.stem_norm = ElasticBatchNorm2d(self.width)
        activation = self.activations[0]
        self.first = ElasticMBConv(
            *(self.width, self.width, first),
            kernels=(3,),
            stride=1,
            activation=activation,
            expands=False,
        )
        self.add_stages()

    def stem_layers(self, subnet: Subnet) -> list[Layer]:
        stem = conv_norm(self.stem, self.stem_norm, self.space.in_channels, self.width)
        return [*stem, self.stem_activation, *self.first.layers(self.width, 3, self.width)]

    def block(self, stage: int, slot: int, *sizes: int) -> ElasticMBConv:
        c_in, kernel, mid, squeezed, c_out = sizes
        return ElasticMBConv(
            c_in,
            mid,
            c_out,
            kernels=(kernel,) if self.space.only else self.space.kernels,
            stride=1 if slot else self.space.strides[stage],
            activation=self.activations[stage],
            squeeze=squeezed,
        )

    def classifier(self, c_in: int) -> ElasticBlock:
        wide, mixed = self.space.layer_widths[-2:]
        return MobileNetV3Head(c_in, wide, mixed, self.space.n_classes)
