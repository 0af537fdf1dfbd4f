"""Layers whose width is an argument: their weights are those of the largest layer, sliced.

A layer is called as `layer(x, *sizes)`; `layer.static(*sizes)` is its plain twin at these sizes,
with a copy of the weights. Sizes are `Channels`, or numbers such as the kernel's side.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError
from supernets.channels import Channels, Slice, take


class ElasticLayer(nn.Module):
    """A layer that has a plain twin at every size."""

    static: Callable[..., nn.Module]

    def slices(self, *sizes: Channels) -> list[Slice]:
        """The weights of `static(*sizes)` in their order, as slices of this layer's own.

        InputError: they cannot be said so; an export then gives its networks weights of their own.
        """
        raise InputError(f"a layer of type {type(self).__name__} has no slices")


class ElasticConv2d(ElasticLayer):
    """A convolution without bias of any width up to `c_in` and `c_out`, padded to keep the side.

    With `n_groups` (Krizhevsky et al., 2012) output group i reads input group i alone; a width then
    keeps whole groups, the first ones.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel: int, *, stride: int = 1, n_groups: int = 1
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.n_groups = stride, kernel // 2, n_groups
        self.weight = nn.Parameter(torch.empty(c_out, c_in // n_groups, kernel, kernel))
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, c_in: Channels, c_out: Channels) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, ceil(H / stride), ceil(W / stride))."""
        read, groups = self._reads(c_in)
        weight = take(self.weight, c_out, read)
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding, groups=groups)

    def static(self, c_in: Channels, c_out: Channels) -> nn.Module:
        read, groups = self._reads(c_in)
        return plain_conv(take(self.weight, c_out, read), self.stride, groups=groups)

    def slices(self, *sizes: Channels) -> list[Slice]:
        c_in, c_out = sizes
        return [Slice("weight", (c_out, self._reads(c_in)[0]))]

    def _reads(self, c_in: Channels) -> tuple[Channels | None, int]:
        """What every filter reads of the input, and the groups of the first `c_in` channels."""
        if self.n_groups == 1 or isinstance(c_in, Tensor):
            return c_in, 1
        return None, c_in // self.weight.shape[1]


class ElasticPixelConv2d(ElasticConv2d):
    """A 1x1 convolution of a single pixel, (N, c_in) to (N, c_out); its twin is a linear layer."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__(c_in, c_out, 1)

    def forward(self, x: Tensor, c_in: Channels, c_out: Channels) -> Tensor:
        return super().forward(x[:, :, None, None], c_in, c_out).flatten(1)

    def static(self, c_in: Channels, c_out: Channels) -> nn.Module:
        return plain_linear(take(self.weight, c_out, c_in).flatten(1))

    def slices(self, *sizes: Channels) -> list[Slice]:
        return [part._replace(flat=True) for part in super().slices(*sizes)]


class ElasticLinear(ElasticLayer):
    """A linear layer of any input width up to `c_in`."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in))
        self.bias = nn.Parameter(torch.zeros(c_out))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, x: Tensor, c_in: Channels) -> Tensor:
        """Map (N, c_in) to (N, c_out)."""
        return F.linear(x, take(self.weight, None, c_in), self.bias)

    def static(self, c_in: Channels) -> nn.Module:
        return plain_linear(take(self.weight, None, c_in), self.bias)

    def slices(self, *sizes: Channels) -> list[Slice]:
        return [Slice("weight", (None, *sizes)), Slice("bias")]


class ElasticBatchNorm2d(nn.Module):
    """Scale, shift and the statistics of the largest subnet; a `Norm` decides which are used.

    Statistics differ between subnets that share weights, so none are updated while training;
    `supernets.calibrate` measures them for one subnet.
    """

    running_mean: Tensor
    running_var: Tensor
    eps: float = 1e-5

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        if eps != type(self).eps:
            self.eps = eps
        self.key = ""  # the layer's name in its supernet, set there
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(
        self, x: Tensor, channels: Channels, mean: Tensor | None = None, var: Tensor | None = None
    ) -> Tensor:
        """Normalise (N, C, H, W) by the given statistics (C,), or by those of the batch."""
        weight, bias = take(self.weight, channels), take(self.bias, channels)
        return F.batch_norm(x, mean, var, weight, bias, mean is None, 0.0, self.eps)

    def measured(self, x: Tensor, channels: Channels) -> tuple[Tensor, Tensor, Tensor]:
        """(N, C, H, W) normalised by itself, with its mean and biased variance (C,)."""
        # one pass over x, 3 to 15 times as fast as var_mean: momentum 1 leaves the batch's own
        mean, var = x.new_zeros(2, x.shape[1], dtype=torch.float32)
        weight, bias = take(self.weight, channels), take(self.bias, channels)
        n = x.numel() // x.shape[1]
        if n == 1:  # no unbiased variance to take it from
            return self.forward(x, channels, x.flatten().float(), var), x.flatten().float(), var
        y = torch.batch_norm(x, weight, bias, mean, var, True, 1.0, self.eps, False)
        return y, mean, var * ((n - 1) / n)

    def running(self, channels: Channels) -> tuple[Tensor, Tensor]:
        """Mean and variance of the largest subnet at `channels`."""
        return take(self.running_mean, channels), take(self.running_var, channels)

    def static(self, channels: Channels, statistics: Statistics | None) -> nn.BatchNorm2d:
        """A plain batch norm; with the statistics of the largest subnet for None."""
        mean, var = self.running(channels) if statistics is None else statistics[self.key]
        norm = nn.BatchNorm2d(len(mean), self.eps, device=self.weight.device)
        norm.weight, norm.bias = (
            copied(take(self.weight, channels)),
            copied(take(self.bias, channels)),
        )
        norm.running_mean, norm.running_var = mean.detach().clone(), var.detach().clone()
        return norm


def copied(weight: Tensor) -> nn.Parameter:
    """A parameter of its own with the values of `weight`."""
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))


def plain_conv(
    weight: Tensor, stride: int = 1, *, groups: int = 1, bias: Tensor | None = None
) -> nn.Conv2d:
    """A convolution that owns a copy of `weight` and keeps the side at stride 1."""
    c_out, c_in, kernel, _ = weight.shape
    shape = c_in * groups, c_out, kernel, stride, kernel // 2
    # on the meta device no time goes into initial values
    conv = nn.Conv2d(*shape, groups=groups, bias=bias is not None, device="meta")
    conv.weight, conv.bias = copied(weight), None if bias is None else copied(bias)
    return conv


def plain_linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """A linear layer that owns a copy of `weight`."""
    c_out, c_in = weight.shape
    linear = nn.Linear(c_in, c_out, bias=bias is not None, device="meta")
    linear.weight = copied(weight)
    if bias is not None:
        linear.bias = copied(bias)
    return linear


Norm = Callable[[ElasticBatchNorm2d, Tensor, Channels], Tensor]
"""How one batch-norm layer normalises one tensor: passed down a forward call, never stored."""

Statistics = dict[str, tuple[Tensor, Tensor]]
"""Mean and variance (C,) by batch-norm key: what a subnet needs besides the shared weights."""


def batch_norm(layer: ElasticBatchNorm2d, x: Tensor, channels: Channels) -> Tensor:
    """The training norm: statistics of the batch."""
    return layer.forward(x, channels)


def running_norm(layer: ElasticBatchNorm2d, x: Tensor, channels: Channels) -> Tensor:
    """The default in eval mode: the statistics of the largest subnet."""
    return layer.forward(x, channels, *layer.running(channels))


def cached_norm(statistics: Statistics) -> Norm:
    """The norm of one calibrated subnet."""

    def norm(layer: ElasticBatchNorm2d, x: Tensor, channels: Channels) -> Tensor:
        return layer.forward(x, channels, *statistics[layer.key])

    return norm


def bf16_pays(device: str = "cpu") -> bool:
    """Whether bf16 autocast is faster: GPUs that have it, CPUs with AVX512-BF16 or AMX."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
