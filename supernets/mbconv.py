"""The elastic inverted residual block: kernel and inner width are arguments.

As in once-for-all (Cai et al., 2020, arXiv:1908.09791), over MobileNetV3 (Howard et al., 2019,
arXiv:1905.02244).
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.channels import Channels, Slice, take
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLayer, plain_conv
from supernets.layers import Block, ElasticBlock, Layer, Sized, conv_norm


class ElasticDepthwiseConv2d(ElasticLayer):
    """One filter per channel at odd `kernels`; the smaller ones are made from the next larger one.

    The centre of a filter, flattened, is multiplied by a matrix that all channels share: identity
    at the start, learned afterwards. 7 becomes 3 through 5.
    """

    def __init__(self, channels: int, kernels: tuple[int, ...], *, stride: int = 1) -> None:
        super().__init__()
        self.kernels, self.stride = tuple(sorted(kernels, reverse=True)), stride
        largest = self.kernels[0]
        self.weight = nn.Parameter(torch.empty(channels, 1, largest, largest))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.transforms = nn.ParameterDict(
            {f"{large}to{small}": torch.eye(small**2) for large, small in pairwise(self.kernels)}
        )

    def filters(self, channels: Channels, kernel: int) -> Tensor:
        """The filters (C, 1, kernel, kernel) of `channels`."""
        weight = take(self.weight, channels)
        for large, small in pairwise(self.kernels):
            if large > kernel:
                centre = slice((large - small) // 2, (large + small) // 2)
                flat = weight[:, :, centre, centre].reshape(len(weight), small**2)
                flat = F.linear(flat, self.transforms[f"{large}to{small}"])
                weight = flat.view(len(weight), 1, small, small)
        return weight

    def forward(self, x: Tensor, channels: Channels, kernel: int) -> Tensor:
        """Map (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        if kernel not in self.kernels:
            raise ValueError(f"`kernel` must be one of {self.kernels}, got {kernel}")
        weight = self.filters(channels, kernel)
        return F.conv2d(x, weight, None, self.stride, kernel // 2, groups=len(weight))

    def static(self, channels: Channels, kernel: int) -> nn.Conv2d:
        weight = self.filters(channels, kernel)
        return plain_conv(weight, self.stride, groups=len(weight))

    def slices(self, *sizes: Channels) -> list[Slice]:
        channels, kernel = sizes
        steps = [(a, b) for a, b in pairwise(self.kernels) if a > kernel]
        through = tuple(f"transforms.{large}to{small}" for large, small in steps)
        return [Slice("weight", (channels,), through)]


class SqueezeExcite(nn.Module):
    """The plain twin of ElasticSqueezeExcite."""

    def __init__(self, reduce: nn.Conv2d, expand: nn.Conv2d) -> None:
        super().__init__()
        self.reduce, self.expand = reduce, expand

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(F.relu(self.reduce(x.mean(dim=(2, 3), keepdim=True))))
        return x * F.hardsigmoid(y)


class ElasticSqueezeExcite(ElasticLayer):
    """Every channel times a factor that is read from all channels (Hu et al., 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor, channels: Channels, hidden: Channels) -> Tensor:
        """Map (N, C, H, W) to the same shape through `hidden` inner channels."""
        y = x.mean(dim=(2, 3), keepdim=True)
        y = F.relu(F.conv2d(y, *_sliced(self.reduce, hidden, channels)))
        return x * F.hardsigmoid(F.conv2d(y, *_sliced(self.expand, channels, hidden)))

    def static(self, channels: Channels, hidden: Channels) -> SqueezeExcite:
        weight, bias = _sliced(self.reduce, hidden, channels)
        reduce = plain_conv(weight, bias=bias)
        weight, bias = _sliced(self.expand, channels, hidden)
        return SqueezeExcite(reduce, plain_conv(weight, bias=bias))

    def slices(self, *sizes: Channels) -> list[Slice]:
        channels, hidden = sizes
        return [
            *(Slice("reduce.weight", (hidden, channels)), Slice("reduce.bias", (hidden,))),
            *(Slice("expand.weight", (channels, hidden)), Slice("expand.bias", (channels,))),
        ]


def _sliced(conv: nn.Conv2d, c_out: Channels, c_in: Channels) -> tuple[Tensor, Tensor]:
    assert conv.bias is not None
    return take(conv.weight, c_out, c_in), take(conv.bias, c_out)


class ElasticMBConv(ElasticBlock):
    """Expand 1x1, depthwise, squeeze-excite, project 1x1, and a shortcut where shapes agree."""

    def __init__(
        self,
        c_in: int,
        mid: int,
        c_out: int,
        *,
        kernels: tuple[int, ...],
        stride: int,
        activation: Sized,
        expands: bool = True,
        squeeze: int = 0,
    ) -> None:
        """`squeeze` is the inner width of squeeze-excite, 0 for none; without it `expands` too."""
        super().__init__()
        self.c_out, self.activation = c_out, activation
        self.shortcut = stride == 1 and c_in == c_out
        self.expand = ElasticConv2d(c_in, mid, 1) if expands else None
        self.expand_norm = ElasticBatchNorm2d(mid) if expands else None
        self.depthwise = ElasticDepthwiseConv2d(mid, kernels, stride=stride)
        self.depthwise_norm = ElasticBatchNorm2d(mid)
        self.squeeze = ElasticSqueezeExcite(mid, squeeze) if squeeze else None
        self.project = ElasticConv2d(mid, c_out, 1)
        self.project_norm = ElasticBatchNorm2d(c_out)

    def layers(
        self,
        c_in: Channels,
        kernel: int,
        mid: Channels,
        squeeze: Channels = 0,
        c_out: Channels | None = None,
    ) -> list[Layer]:
        """From (N, c_in, H, W) to (N, c_out, H / stride, W / stride) through `mid` channels."""
        body = conv_norm(self.expand, self.expand_norm, c_in, mid)
        if body:
            body.append(self.activation)
        body += [Sized(self.depthwise, (mid, kernel)), Sized(self.depthwise_norm, (mid,))]
        body.append(self.activation)
        if self.squeeze is not None:
            body.append(Sized(self.squeeze, (mid, squeeze)))
        body += conv_norm(
            self.project, self.project_norm, mid, self.c_out if c_out is None else c_out
        )
        return [Block(body, [] if self.shortcut else None)]
