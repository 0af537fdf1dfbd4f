"""The elastic inverted residual block: kernel and inner width are arguments.

As in once-for-all (Cai et al., 2020, arXiv:1908.09791), over MobileNetV3 (Howard et al., 2019,
arXiv:1905.02244).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    Norm,
    Statistics,
    plain_conv,
)
from supernets.static import ConvNorm, Residual

Activation = Callable[[Tensor], Tensor]
PLAIN: dict[Activation, type[nn.Module]] = {F.relu: nn.ReLU, F.hardswish: nn.Hardswish}


class ElasticDepthwiseConv2d(nn.Module):
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

    def filters(self, channels: int, kernel: int) -> Tensor:
        """The filters (channels, 1, kernel, kernel) of the first `channels`."""
        weight = self.weight[:channels]
        for large, small in pairwise(self.kernels):
            if large > kernel:
                centre = slice((large - small) // 2, (large + small) // 2)
                flat = weight[:, :, centre, centre].reshape(channels, small**2)
                flat = F.linear(flat, self.transforms[f"{large}to{small}"])
                weight = flat.view(channels, 1, small, small)
        return weight

    def forward(self, x: Tensor, kernel: int) -> Tensor:
        """Map (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride)), with C <= channels."""
        if kernel not in self.kernels:
            raise ValueError(f"kernel must be one of {self.kernels}, got {kernel}")
        c = x.shape[1]
        weight = self.filters(c, kernel)
        return F.conv2d(x, weight, stride=self.stride, padding=kernel // 2, groups=c)

    def static(self, channels: int, kernel: int) -> nn.Conv2d:
        """A plain depthwise convolution with the filters of `kernel`."""
        return plain_conv(self.filters(channels, kernel), self.stride, groups=channels)


class SqueezeExcite(nn.Module):
    """The plain twin of ElasticSqueezeExcite."""

    def __init__(self, reduce: nn.Conv2d, expand: nn.Conv2d) -> None:
        super().__init__()
        self.reduce, self.expand = reduce, expand

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(F.relu(self.reduce(x.mean(dim=(2, 3), keepdim=True))))
        return x * F.hardsigmoid(y)


class ElasticSqueezeExcite(nn.Module):
    """Every channel times a factor that is read from all channels (Hu et al., 2018)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor, hidden: int) -> Tensor:
        """Map (N, C, H, W) to the same shape through the first `hidden` inner channels."""
        c = x.shape[1]
        y = x.mean(dim=(2, 3), keepdim=True)
        y = F.conv2d(y, self.reduce.weight[:hidden, :c], self.reduce.bias[:hidden])  # type: ignore[index]
        y = F.conv2d(F.relu(y), self.expand.weight[:c, :hidden], self.expand.bias[:c])  # type: ignore[index]
        return x * F.hardsigmoid(y)

    def static(self, channels: int, hidden: int) -> SqueezeExcite:
        """The plain layer with copies of the weights."""
        reduce = plain_conv(self.reduce.weight[:hidden, :channels], 1)
        expand = plain_conv(self.expand.weight[:channels, :hidden], 1)
        reduce.bias = nn.Parameter(self.reduce.bias[:hidden].detach().clone())  # type: ignore[index]
        expand.bias = nn.Parameter(self.expand.bias[:channels].detach().clone())  # type: ignore[index]
        return SqueezeExcite(reduce, expand)


class ElasticMBConv(nn.Module):
    """Expand 1x1, depthwise, squeeze-excite, project 1x1, and a shortcut where shapes agree."""

    def __init__(
        self,
        c_in: int,
        mid: int,
        c_out: int,
        *,
        kernels: tuple[int, ...],
        stride: int,
        activation: Activation,
        expands: bool = True,
        squeeze: int = 0,
    ) -> None:
        """`squeeze` is the inner width of squeeze-excite, 0 for none; without it `expands` too."""
        super().__init__()
        self.activation, self.shortcut = activation, stride == 1 and c_in == c_out
        self.expand = ElasticConv2d(c_in, mid, 1) if expands else None
        self.expand_norm = ElasticBatchNorm2d(mid) if expands else None
        self.depthwise = ElasticDepthwiseConv2d(mid, kernels, stride=stride)
        self.depthwise_norm = ElasticBatchNorm2d(mid)
        self.squeeze = ElasticSqueezeExcite(mid, squeeze) if squeeze else None
        self.project = ElasticConv2d(mid, c_out, 1)
        self.project_norm = ElasticBatchNorm2d(c_out)

    def forward(self, x: Tensor, kernel: int, mid: int, squeeze: int, norm: Norm) -> Tensor:
        """Map (N, C, H, W) to (N, c_out, H / stride, W / stride) through `mid` channels."""
        y = x
        if self.expand is not None and self.expand_norm is not None:
            y = self.activation(norm(self.expand_norm, self.expand(y, mid)))
        y = self.activation(norm(self.depthwise_norm, self.depthwise(y, kernel)))
        if self.squeeze is not None:
            y = self.squeeze(y, squeeze)
        y = norm(self.project_norm, self.project(y, self.project.weight.shape[0]))
        return x + y if self.shortcut else y

    def static(
        self, c_in: int, kernel: int, mid: int, squeeze: int, statistics: Statistics | None
    ) -> nn.Module:
        """The plain block."""
        act = PLAIN[self.activation]
        layers: list[nn.Module] = []
        if self.expand is not None and self.expand_norm is not None:
            norm = self.expand_norm.static(mid, statistics)
            layers += [ConvNorm(self.expand.static(c_in, mid), norm), act()]
        norm = self.depthwise_norm.static(mid, statistics)
        layers += [ConvNorm(self.depthwise.static(mid, kernel), norm), act()]
        if self.squeeze is not None:
            layers.append(self.squeeze.static(mid, squeeze))
        c_out = self.project.weight.shape[0]
        norm = self.project_norm.static(c_out, statistics)
        body = nn.Sequential(*layers, ConvNorm(self.project.static(mid, c_out), norm))
        return Residual(body) if self.shortcut else body
