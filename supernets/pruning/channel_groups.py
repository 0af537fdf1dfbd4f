"""Channels that stay or go together, found in the list of layers that a network runs.

A convolution's outputs are its batch norm's channels and the inputs of all that reads them. What a
residual block adds to its shortcut has the shortcut's channels: those of a stage are one group.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from search_spaces import InputError
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLinear
from supernets.layers import Block, Graph, Layer
from supernets.supernet import Program

Place = tuple[Tensor, int]
"""A tensor and the dimension along which its channels lie."""


class ChannelGroups:
    """Groups of the trunk of `program`, named by the first batch norm of each, in their order.

    `places` has all tensors of a group, `of_norm` the group of a batch norm by its key. What heads
    compute inside is in no group, and neither is the image.
    """

    def __init__(self, program: Program) -> None:
        self.places: dict[str, list[Place]] = {}
        self.of_norm: dict[str, str] = {}
        x = ""
        for _, trunk, head in program:
            x = self._walk(trunk, x)
            self._walk(head, x, inside_head=True)

    @property
    def sizes(self) -> dict[str, int]:
        """Channels of every group."""
        return {name: t.shape[dim] for name, ((t, dim), *_) in self.places.items()}

    def join(self, one: str, other: str) -> str:
        """Make two groups one; returns its name, that of the earlier."""
        if one == other:
            return one
        first, second = sorted((one, other), key=list(self.places).index)
        self.places[first] += self.places.pop(second)
        self.of_norm = {k: first if v == second else v for k, v in self.of_norm.items()}
        return first

    def _walk(self, layers: Sequence[Layer], x: str, *, inside_head: bool = False) -> str:
        """Add `layers` that read the group `x` ("": what is in none); returns what they write."""
        written: list[Place] = []
        for item in layers:
            if isinstance(item, Block):
                y = self._walk(item.body, x)
                if item.shortcut is not None:
                    y = self.join(y, self._walk(item.shortcut, x))
                x = y
            elif isinstance(item, Graph):
                raise InputError("channels of a graph of layers are in no groups yet; use a ResNet")
            elif isinstance(item.layer, ElasticConv2d | ElasticLinear):
                if x:
                    self.places[x].append((item.layer.weight, 1))
                written, x = [(item.layer.weight, 0)], ""
            elif isinstance(item.layer, ElasticBatchNorm2d) and not inside_head:
                x = item.layer.key
                self.places[x] = [*written, *norm_places(item.layer)]
                self.of_norm[x] = x
        return x


def norm_places(norm: ElasticBatchNorm2d) -> list[Place]:
    """The tensors of a batch norm."""
    return [(t, 0) for t in (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
