"""Layers whose width is an argument: weights are sliced views of the largest layer.

The first `c` channels serve every width (Yu et al., 2019, arXiv:1812.08928).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ElasticConv2d(nn.Module):
    """A convolution without bias of any width up to `c_in` and `c_out`, padded to keep the side."""

    def __init__(self, c_in: int, c_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, kernel // 2
        self.weight = nn.Parameter(torch.empty(c_out, c_in, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, c_out: int) -> Tensor:
        """Map (N, C, H, W) to (N, c_out, ceil(H / stride), ceil(W / stride)), with C <= c_in."""
        return F.conv2d(
            x, self.weight[:c_out, : x.shape[1]], stride=self.stride, padding=self.padding
        )

    def static(self, c_in: int, c_out: int) -> nn.Conv2d:
        """A plain convolution with a copy of the weights."""
        return plain_conv(self.weight[:c_out, :c_in], self.stride)


class ElasticLinear(nn.Module):
    """A linear layer of any input width up to `c_in`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in))
        self.bias = nn.Parameter(torch.zeros(c_out))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C) to (N, c_out), with C <= c_in."""
        return F.linear(x, self.weight[:, : x.shape[1]], self.bias)

    def static(self, c_in: int) -> nn.Linear:
        """A plain linear layer with a copy of the weights."""
        linear = nn.Linear(c_in, len(self.weight), device="meta")
        linear.weight = nn.Parameter(self.weight[:, :c_in].detach().clone())
        linear.bias = nn.Parameter(self.bias.detach().clone())
        return linear


class ElasticBatchNorm2d(nn.Module):
    """Scale, shift and the statistics of the largest subnet; a `Norm` decides which are used.

    Statistics differ between subnets that share weights, so none are updated while training;
    `supernets.calibrate` measures them for one subnet.
    """

    running_mean: Tensor
    running_var: Tensor
    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.key = ""  # the layer's name in its supernet, set there
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, mean: Tensor | None = None, var: Tensor | None = None) -> Tensor:
        """Normalise (N, C, H, W) by the given statistics (C,), or by those of the batch."""
        c = x.shape[1]
        weight, bias = self.weight[:c], self.bias[:c]
        return F.batch_norm(x, mean, var, weight, bias, mean is None, 0.0, self.eps)

    def static(self, channels: int, statistics: Statistics | None) -> nn.BatchNorm2d:
        """A plain batch norm; with the statistics of the largest subnet for None."""
        found = self.running_mean[:channels], self.running_var[:channels]
        mean, var = found if statistics is None else statistics[self.key]
        norm = nn.BatchNorm2d(channels, self.eps, device=self.weight.device)
        norm.weight = nn.Parameter(self.weight[:channels].detach().clone())
        norm.bias = nn.Parameter(self.bias[:channels].detach().clone())
        norm.running_mean, norm.running_var = mean.detach().clone(), var.detach().clone()
        return norm


def plain_conv(weight: Tensor, stride: int, *, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias that owns a copy of `weight` and keeps the side at stride 1."""
    c_out, c_in, kernel, _ = weight.shape
    conv = nn.Conv2d(
        c_in * groups,
        c_out,
        kernel,
        stride,
        kernel // 2,
        groups=groups,
        bias=False,
        device="meta",  # no time goes into initial values
    )
    conv.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))
    return conv


Norm = Callable[[ElasticBatchNorm2d, Tensor], Tensor]
"""How one batch-norm layer normalises one tensor: passed down a forward call, never stored."""

Statistics = dict[str, tuple[Tensor, Tensor]]
"""Mean and variance (C,) by batch-norm key: what a subnet needs besides the shared weights."""


def batch_norm(layer: ElasticBatchNorm2d, x: Tensor) -> Tensor:
    """The training norm: statistics of the batch."""
    return layer(x)


def running_norm(layer: ElasticBatchNorm2d, x: Tensor) -> Tensor:
    """The default in eval mode: the statistics of the largest subnet, sliced."""
    c = x.shape[1]
    return layer(x, layer.running_mean[:c], layer.running_var[:c])


def cached_norm(statistics: Statistics) -> Norm:
    """The norm of one calibrated subnet."""

    def norm(layer: ElasticBatchNorm2d, x: Tensor) -> Tensor:
        return layer(x, *statistics[layer.key])

    return norm


def bf16_pays(device: str = "cpu") -> bool:
    """Whether bf16 autocast is faster: GPUs that have it, CPUs with AVX512-BF16 or AMX."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
