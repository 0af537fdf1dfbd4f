"""Classifiers along the depth."""

from __future__ import annotations

from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from supernets.layers import MEAN, RELU, ElasticBlock, Layer, Sized, conv_norm
from supernets.static import PoolTo


class ExitHead(ElasticBlock):
    """An early exit: pool to `side`, 3x3 convolution of stride 2, global pool, linear.

    The convolution lets shallow features be looked at once more, as in HADAS (Bouzidi et al.,
    2023, arXiv:2212.03354); pooling first keeps its cost to a few percent of the trunk.
    """

    def __init__(
        self, c_in: int, hidden: int, n_classes: int, side: int, *, n_groups: int = 1
    ) -> None:
        super().__init__()
        self.hidden, self.pool = hidden, PoolTo(side)
        self.conv = ElasticConv2d(c_in, hidden, 3, stride=2, n_groups=n_groups)
        self.norm = ElasticBatchNorm2d(hidden)
        self.linear = ElasticLinear(hidden, n_classes)

    def layers(self, c_in: Channels) -> list[Layer]:
        """From features (N, c_in, H, H) to logits (N, classes)."""
        hidden = self.inner(c_in)
        return [
            Sized(self.pool),
            *conv_norm(self.conv, self.norm, c_in, hidden),
            RELU,
            MEAN,
            Sized(self.linear, (hidden,)),
        ]

    def inner(self, c_in: Channels) -> int:
        """Channels behind the convolution."""
        del c_in
        return self.hidden


class FinalHead(ElasticBlock):
    """The classifier behind the last stage: global pool, linear."""

    def __init__(self, c_in: int, n_classes: int) -> None:
        super().__init__()
        self.linear = ElasticLinear(c_in, n_classes)

    def layers(self, c_in: Channels) -> list[Layer]:
        """From features (N, c_in, H, H) to logits (N, classes)."""
        return [MEAN, Sized(self.linear, (c_in,))]
