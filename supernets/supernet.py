"""What every weight-sharing network shares: a trunk in segments, a head behind each of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, cast

import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError, Space, Subnet
from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, Norm, Statistics, batch_norm, running_norm
from supernets.layers import ElasticBlock, Layer, norms, run


def at_resolution(images: Tensor, space: Space, subnet: Subnet, share: float = 1.0) -> Tensor:
    """`images` (N, C, H, H) at `share` of the side that `subnet` takes (bilinear, antialiased)."""
    side = round(share * space.input_shape(subnet)[1])
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def check_images(images: Tensor) -> None:
    """InputError unless `images` are a float tensor (N, C, H, H): pixels in bytes are not."""
    found = type(images).__name__
    if isinstance(images, Tensor):
        if images.ndim == 4 and images.is_floating_point():
            return
        found = f"{tuple(images.shape)} of {images.dtype}"
    raise InputError(
        f"images must be a float tensor (N, C, H, H), as `Dataset.normalise` makes it, got {found}"
    )


Program = list[tuple[int, list[Layer], list[Layer]]]
"""Of every exit: its number, the trunk since the exit before, its head."""

N_PROGRAMS = 64  # kept, so that a subnet that runs again and again is listed once


class Supernet(nn.Module, ABC):
    """Every subnet of `space` in one set of weights; the subnet is an argument of each call.

    A concrete supernet fills `heads` (early exits in order of depth, the final classifier last),
    lists the layers of every `segment`, and ends its constructor with `name_norms`.
    """

    kind: ClassVar[str] = "elastic"  # how the weights are trained, one of `supernets.catalog.KINDS`
    space: Space
    heads: nn.ModuleList
    block_rows: int = 0  # of the blocks that layers are pruned in; 0: none is

    def __init__(self) -> None:
        super().__init__()
        self._programs: dict[tuple[Subnet, tuple[int, ...]], Program] = {}

    def name_norms(self) -> None:
        """Tell every batch-norm layer its key, by which its statistics are found."""
        for key, layer in self.norms():
            layer.key = key

    def norms(self) -> Iterator[tuple[str, ElasticBatchNorm2d]]:
        """Every batch-norm layer with its key."""
        for name, module in self.named_modules():
            if isinstance(module, ElasticBatchNorm2d):
                yield name, module

    def with_own_norms(self) -> list[Subnet]:
        """Subnets that share no batch norm, so that their statistics can be stored with it."""
        return [self.space.subnet(self.space.largest)]

    def widest(self, subnet: Subnet) -> Subnet:
        """The subnet whose batch-norm statistics begin with those of `subnet`: mostly itself."""
        return subnet

    def stored_statistics(self, subnet: Subnet) -> Statistics | None:
        """Those in the weights, for `subnet` and its batch norms alone; None where others share."""
        if self.widest(subnet) not in self.with_own_norms():
            return None
        of_layer = dict(self.norms())
        return {key: of_layer[key].running(n) for key, n in self.norm_channels(subnet)}

    def norm_channels(self, subnet: Subnet) -> Iterator[tuple[str, int]]:
        """The key and the channels of every batch norm of `subnet`."""
        return norms([x for _, trunk, head in self.program(subnet) for x in (*trunk, *head)])

    def penalty(self, subnet: Subnet) -> Tensor | float:
        """What is added to the loss of `subnet` while it is trained."""
        del subnet
        return 0.0

    @abstractmethod
    def segment(self, k: int, subnet: Subnet) -> tuple[list[Layer], Channels]:
        """The trunk's layers from exit k - 1 (the image for 0) to exit k, and their channels."""

    def program(self, subnet: Subnet, heads: Sequence[int] | None = None) -> Program:
        """The layers of `subnet` up to the deepest of `heads`; all exits for None.

        The lists of the programs used last are kept: they hold layers and
        sizes, no weights.
        """
        wanted = tuple(range(self.space.n_exits + 1) if heads is None else sorted(set(heads)))
        made = self._programs.pop((subnet, wanted), None) or self._listed(subnet, wanted)
        if len(self._programs) >= N_PROGRAMS:
            del self._programs[next(iter(self._programs))]
        self._programs[subnet, wanted] = made
        return made

    def _listed(self, subnet: Subnet, wanted: Sequence[int]) -> Program:
        self.space.genes([subnet])  # InputError: it is of another space
        if not wanted or wanted[0] < 0 or wanted[-1] > self.space.n_exits:
            raise InputError(
                f"`heads` must be one or more of 0 to {self.space.n_exits}, got {list(wanted)}"
            )
        program: Program = []
        trunk: list[Layer] = []
        for k in range(wanted[-1] + 1):
            layers, channels = self.segment(k, subnet)
            trunk += layers
            if k in wanted:
                program.append((k, trunk, cast(ElasticBlock, self.heads[k]).layers(channels)))
                trunk = []
        return program

    def whole(self) -> Supernet:
        """What a checkpoint of this network holds: itself, unless it is a part of another."""
        return self

    def forward(
        self,
        x: Tensor,
        subnet: Subnet,
        *,
        heads: Sequence[int] | None = None,
        norm: Norm | None = None,
    ) -> list[Tensor]:
        """Logits (N, classes) of `heads` in order of depth, of all exits when None.

        `x` is (N, in_channels, H, H), float, normalised. The trunk stops at the deepest head.
        `norm` defaults to the statistics of the batch in training mode and to those of the largest
        subnet in eval mode.
        """
        check_images(x)
        norm = norm or (batch_norm if self.training else running_norm)
        logits = []
        for _, trunk, head in self.program(subnet, heads):
            x = run(trunk, x, norm)
            logits.append(run(head, x, norm))
        return logits
