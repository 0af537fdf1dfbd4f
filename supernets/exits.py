"""Classifiers along the depth."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from supernets.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    Norm,
    Statistics,
)
from supernets.static import ConvNorm, GlobalMean, PoolTo


class ExitHead(nn.Module):
    """An early exit: pool to `side`, 3x3 convolution of stride 2, global pool, linear.

    The convolution lets shallow features be looked at once more, as in HADAS (Bouzidi et al.,
    2023, arXiv:2212.03354); pooling first keeps its cost to a few percent of the trunk.
    """

    def __init__(self, c_in: int, hidden: int, n_classes: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.conv = ElasticConv2d(c_in, hidden, 3, stride=2)
        self.norm = ElasticBatchNorm2d(hidden)
        self.linear = ElasticLinear(hidden, n_classes)

    def forward(self, x: Tensor, norm: Norm) -> Tensor:
        """Map features (N, C, H, H) to logits (N, classes)."""
        if x.shape[-1] > self.side:
            x = F.avg_pool2d(x, x.shape[-1] // self.side)
        x = F.relu(norm(self.norm, self.conv(x, self.norm.weight.shape[0])))
        return self.linear(x.mean(dim=(2, 3)))

    def static(self, c_in: int, statistics: Statistics | None) -> nn.Sequential:
        """The plain head behind features of `c_in` channels."""
        hidden = self.norm.weight.shape[0]
        conv = ConvNorm(self.conv.static(c_in, hidden), self.norm.static(hidden, statistics))
        linear = self.linear.static(hidden)
        return nn.Sequential(PoolTo(self.side), conv, nn.ReLU(), GlobalMean(), linear)


class FinalHead(nn.Module):
    """The classifier behind the last stage: global pool, linear."""

    def __init__(self, c_in: int, n_classes: int) -> None:
        super().__init__()
        self.linear = ElasticLinear(c_in, n_classes)

    def forward(self, x: Tensor, norm: Norm) -> Tensor:
        """Map features (N, C, H, H) to logits (N, classes)."""
        del norm
        return self.linear(x.mean(dim=(2, 3)))

    def static(self, c_in: int, statistics: Statistics | None) -> nn.Sequential:
        """The plain head behind features of `c_in` channels."""
        del statistics
        return nn.Sequential(GlobalMean(), self.linear.static(c_in))
