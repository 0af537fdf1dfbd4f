"""What every weight-sharing network shares: a trunk in segments, a head behind each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import Space, Subnet
from supernets.elastic import ElasticBatchNorm2d, Norm, Statistics, batch_norm, running_norm


def at_resolution(images: Tensor, space: Space, subnet: Subnet) -> Tensor:
    """`images` (N, C, H, H) at the side that `subnet` takes (bilinear, antialiased)."""
    side = space.input_shape(subnet)[1]
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


class Supernet(nn.Module, ABC):
    """Every subnet of `space` in one set of weights; the subnet is an argument of each call.

    A concrete supernet fills `heads` (early exits in order of depth, the final classifier last),
    says what `segment` computes, and ends its constructor with `name_norms`.
    """

    space: Space
    heads: nn.ModuleList

    def name_norms(self) -> None:
        """Tell every batch-norm layer its key, by which its statistics are found."""
        for key, layer in self.norms():
            layer.key = key

    def norms(self) -> Iterator[tuple[str, ElasticBatchNorm2d]]:
        """Every batch-norm layer with its key."""
        for name, module in self.named_modules():
            if isinstance(module, ElasticBatchNorm2d):
                yield name, module

    @abstractmethod
    def segment(self, k: int, x: Tensor, subnet: Subnet, norm: Norm) -> Tensor:
        """Features behind exit k from those behind exit k - 1; segment 0 takes the images."""

    @abstractmethod
    def static_segment(
        self, k: int, subnet: Subnet, statistics: Statistics | None
    ) -> tuple[list[nn.Module], int]:
        """The plain layers that compute segment k, and how many channels they end with."""

    def forward(
        self,
        x: Tensor,
        subnet: Subnet,
        *,
        heads: Sequence[int] | None = None,
        norm: Norm | None = None,
    ) -> list[Tensor]:
        """Logits (N, classes) of `heads` in order of depth, of all exits when None.

        `x` is (N, in_channels, H, H). The trunk stops at the deepest head. `norm` defaults to the
        statistics of the batch in training mode and to those of the largest subnet in eval mode.
        """
        norm = norm or (batch_norm if self.training else running_norm)
        wanted = set(range(self.space.n_exits + 1) if heads is None else heads)
        logits = []
        for k in range(max(wanted) + 1):
            x = self.segment(k, x, subnet, norm)
            if k in wanted:
                logits.append(self.heads[k](x, norm))
        return logits
