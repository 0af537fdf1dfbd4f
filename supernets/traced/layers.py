"""Elastic layers of traced networks: convolutions of any kind, linear layers, norms, factors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from supernets.channels import Channels, Slice, count, take
from supernets.elastic import ElasticLayer, copied, plain_linear
from supernets.operations import Operation


class TracedConv2d(ElasticLayer):
    """A convolution with the options of the user's own.

    With groups of `per_group` channels each, fewer channels are fewer groups; a group stays whole.
    """

    folds = True  # a batch norm behind it becomes part of it

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        *,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        groups: int,
        bias: bool,
    ) -> None:
        super().__init__()
        self.options = {"stride": stride, "padding": padding, "dilation": dilation}
        self.per_group = c_in // groups if groups > 1 else 0
        self.weight = nn.Parameter(torch.empty(c_out, c_in // groups, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(c_out)) if bias else None

    def _used(self, c_in: Channels, c_out: Channels) -> tuple[Tensor, Tensor | None, int]:
        """Weight, bias and groups."""
        bias = None if self.bias is None else take(self.bias, c_out)
        if not self.per_group:
            return take(self.weight, c_out, c_in), bias, 1
        return take(self.weight, c_out), bias, count(c_in) // self.per_group

    def forward(self, x: Tensor, c_in: Channels, c_out: Channels) -> Tensor:
        """Map (N, c_in, H, W) to (N, c_out, ...)."""
        weight, bias, groups = self._used(c_in, c_out)
        return F.conv2d(x, weight, bias, **self.options, groups=groups)  # type: ignore[arg-type]

    def static(self, c_in: Channels, c_out: Channels) -> nn.Conv2d:
        weight, bias, groups = self._used(c_in, c_out)
        options: dict[str, Any] = {**self.options, "groups": groups, "bias": bias is not None}
        n_out, n_in, kernel, _ = weight.shape
        # on the meta device no time goes into initial values
        conv = nn.Conv2d(n_in * groups, n_out, kernel, **options, device="meta")
        conv.weight, conv.bias = copied(weight), None if bias is None else copied(bias)
        return conv

    def slices(self, *sizes: Channels) -> list[Slice]:
        c_in, c_out = sizes
        weight = Slice("weight", (c_out,) if self.per_group else (c_out, c_in))
        return [weight, *([Slice("bias", (c_out,))] if self.bias is not None else [])]


class TracedLinear(ElasticLayer):
    """A linear layer over the last dimension, of any width on both sides."""

    def __init__(self, c_in: int, c_out: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c_out, c_in))
        self.bias = nn.Parameter(torch.empty(c_out)) if bias else None

    def _used(self, c_in: Channels, c_out: Channels) -> tuple[Tensor, Tensor | None]:
        bias = None if self.bias is None else take(self.bias, c_out)
        return take(self.weight, c_out, c_in), bias

    def forward(self, x: Tensor, c_in: Channels, c_out: Channels) -> Tensor:
        """Map (N, ..., c_in) to (N, ..., c_out)."""
        return F.linear(x, *self._used(c_in, c_out))

    def static(self, c_in: Channels, c_out: Channels) -> nn.Linear:
        return plain_linear(*self._used(c_in, c_out))

    def slices(self, *sizes: Channels) -> list[Slice]:
        c_in, c_out = sizes
        bias = [Slice("bias", (c_out,))] if self.bias is not None else []
        return [Slice("weight", (c_out, c_in)), *bias]


class TracedLayerNorm(ElasticLayer):
    """Layer norm over the last dimension, of any width."""

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, channels: Channels) -> Tensor:
        weight, bias = take(self.weight, channels), take(self.bias, channels)
        return F.layer_norm(x, (len(weight),), weight, bias, self.eps)

    def static(self, channels: Channels) -> nn.LayerNorm:
        norm = nn.LayerNorm(count(channels), self.eps, device="meta")
        norm.weight, norm.bias = (copied(take(p, channels)) for p in (self.weight, self.bias))
        return norm

    def slices(self, *sizes: Channels) -> list[Slice]:
        return [Slice("weight", sizes), Slice("bias", sizes)]


class Factors(nn.Module):
    """`x * weight`, or `x + weight`, with a number for every channel along the dimension `axis`."""

    def __init__(self, kind: str, weight: Tensor, axis: int, n_dims: int) -> None:
        super().__init__()
        self.kind, self.weight = kind, nn.Parameter(weight)
        self.shape = [-1 if dim == axis else 1 for dim in range(n_dims)]

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.view(self.shape)
        return x * weight if self.kind == "mul" else x + weight


class TracedFactors(ElasticLayer):
    """A factor, or a summand, for every channel, as in layer scale."""

    def __init__(self, kind: str, channels: int, axis: int, n_dims: int) -> None:
        super().__init__()
        self.kind, self.axis, self.n_dims = kind, axis, n_dims
        self.weight = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor, channels: Channels) -> Tensor:
        weight = take(self.weight, channels)
        weight = weight.view([-1 if dim == self.axis else 1 for dim in range(self.n_dims)])
        return x * weight if self.kind == "mul" else x + weight

    def static(self, channels: Channels) -> Factors:
        return Factors(self.kind, copied(take(self.weight, channels)), self.axis, self.n_dims)

    def slices(self, *sizes: Channels) -> list[Slice]:
        return [Slice("weight", sizes)]


class TracedSlice(ElasticLayer):
    """The values from `start` to `stop` along a dimension."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor, start: int, stop: int) -> Tensor:
        return x.narrow(self.dim + 1, start, stop - start)

    def static(self, start: int, stop: int) -> Operation:
        return Operation("slice", dim=self.dim, start=start, stop=stop)

    def slices(self, *sizes: Channels) -> list[Slice]:
        return []
