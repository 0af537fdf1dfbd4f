"""The blocks of residual networks (He et al., 2016, arXiv:1512.03385)."""

from __future__ import annotations

from functools import partial

from torch import nn

from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d
from supernets.layers import RELU, Block, ElasticBlock, Layer, Sized, conv_norm


class ElasticBasicBlock(ElasticBlock):
    """Two 3x3 convolutions with an elastic inner width, and a shortcut."""

    def __init__(
        self, c_in: int, mid: int, c_out: int, *, stride: int, project: bool, n_groups: int = 1
    ) -> None:
        super().__init__()
        conv = partial(ElasticConv2d, n_groups=n_groups)
        self.conv1 = conv(c_in, mid, 3, stride=stride)
        self.norm1 = ElasticBatchNorm2d(mid)
        self.conv2 = conv(mid, c_out, 3)
        self.norm2 = ElasticBatchNorm2d(c_out)
        self.project = conv(c_in, c_out, 1, stride=stride) if project else None
        self.project_norm = ElasticBatchNorm2d(c_out) if project else None

    def layers(self, c_in: Channels, mid: Channels, c_out: Channels) -> list[Layer]:
        """From (N, c_in, H, W) to (N, c_out, H / stride, W / stride) through `mid` channels."""
        body = [
            *conv_norm(self.conv1, self.norm1, c_in, mid),
            RELU,
            *conv_norm(self.conv2, self.norm2, mid, c_out),
        ]
        return [Block(body, conv_norm(self.project, self.project_norm, c_in, c_out)), RELU]


class ElasticBottleneck(ElasticBlock):
    """1x1, 3x3, 1x1 with an elastic inner width; the shortcut pools before it projects.

    ResNet-D (He et al., 2019, arXiv:1812.01187): the stride is in the 3x3 convolution.
    """

    def __init__(self, c_in: int, mid: int, c_out: int, *, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = ElasticConv2d(c_in, mid, 1)
        self.norm1 = ElasticBatchNorm2d(mid)
        self.conv2 = ElasticConv2d(mid, mid, 3, stride=stride)
        self.norm2 = ElasticBatchNorm2d(mid)
        self.conv3 = ElasticConv2d(mid, c_out, 1)
        self.norm3 = ElasticBatchNorm2d(c_out)
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if project and stride > 1 else None
        self.project = ElasticConv2d(c_in, c_out, 1) if project else None
        self.project_norm = ElasticBatchNorm2d(c_out) if project else None

    def layers(self, c_in: Channels, mid: Channels, c_out: Channels) -> list[Layer]:
        """From (N, c_in, H, W) to (N, c_out, ceil(H / stride), ceil(W / stride)) through `mid`."""
        body = [
            *conv_norm(self.conv1, self.norm1, c_in, mid),
            RELU,
            *conv_norm(self.conv2, self.norm2, mid, mid),
            RELU,
            *conv_norm(self.conv3, self.norm3, mid, c_out),
        ]
        pool = [Sized(self.pool)] if self.pool is not None else []
        project = conv_norm(self.project, self.project_norm, c_in, c_out)
        return [Block(body, [*pool, *project]), RELU]


class ElasticStem(ElasticBlock):
    """Three 3x3 convolutions and a max pool; the middle one is a residual block that can go.

    `residual` says whether it is there at all.
    """

    def __init__(self, c_in: int, inner: int, c_out: int, *, residual: bool = True) -> None:
        super().__init__()
        self.c_in = c_in
        self.conv1 = ElasticConv2d(c_in, inner, 3, stride=2)
        self.norm1 = ElasticBatchNorm2d(inner)
        if residual:
            self.conv2 = ElasticConv2d(inner, inner, 3)
            self.norm2 = ElasticBatchNorm2d(inner)
        self.conv3 = ElasticConv2d(inner, c_out, 3)
        self.norm3 = ElasticBatchNorm2d(c_out)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def layers(self, residual: bool, inner: Channels, c_out: Channels) -> list[Layer]:
        """From (N, c_in, H, W) to (N, c_out, H / 4, W / 4), sides rounded up."""
        block = [*conv_norm(self.conv2, self.norm2, inner, inner), RELU] if residual else []
        return [
            *conv_norm(self.conv1, self.norm1, self.c_in, inner),
            RELU,
            *([Block(block, [])] if residual else []),
            *conv_norm(self.conv3, self.norm3, inner, c_out),
            RELU,
            Sized(self.pool),
        ]
