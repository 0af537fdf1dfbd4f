"""All pruning ratios of a network in one set of weights (All-in-One, arXiv:2212.05122).

Channels stand in the order in which pruning gives them up, so the network of a ratio is made of
the first channels of every layer: views, nothing is copied. Batch norm alone is a ratio's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from torch import nn

from search_spaces import RatioSpace, Subnet
from supernets.elastic import ElasticBatchNorm2d
from supernets.layers import Block, Layer, Sized, changed
from supernets.resnet import ResNetSupernet
from supernets.supernet import Program


class AllInOneSupernet(ResNetSupernet):
    """A ResNet at the ratios of `space`; every ratio has scale, shift and statistics of its own.

    The largest ratio has the batch norm of the layers themselves, a smaller one that of `own`, as
    wide as it needs them.
    """

    kind = "all-in-one"
    space: RatioSpace

    def __init__(self, space: RatioSpace) -> None:
        super().__init__(space)
        heads = range(space.n_exits + 1)
        shared = super()._listed
        norms = [list(_norms(shared(subnet, heads))) for subnet in self.by_ratio.values()]
        self._place = {layer.key: i for i, (layer, _) in enumerate(norms[-1])}
        self.own = nn.ModuleDict(
            {
                str(ratio): nn.ModuleList(ElasticBatchNorm2d(channels) for _, channels in found)
                for ratio, found in zip(space.ratios[:-1], norms, strict=False)
            }
        )
        self.name_norms()

    @property
    def by_ratio(self) -> dict[int, Subnet]:
        """The network of every ratio, the smallest first."""
        return {r: self.space.subnet([r]) for r in self.space.ratios}

    def place(self, subnet: Subnet) -> int:
        """The place of a network's ratio among the falling ones."""
        return len(self.space.ratios) - 1 - self.space.ratios.index(subnet["r"][0])

    def twins(self) -> Iterator[tuple[str, ElasticBatchNorm2d]]:
        """The batch norms of the smaller ratios, with the key of the layer that each replaces."""
        for own in self.own.values():
            for key, i in self._place.items():
                yield key, cast(nn.ModuleList, own)[i]  # type: ignore[misc]

    def with_own_norms(self) -> list[Subnet]:
        return list(self.by_ratio.values())

    def tensor_bytes(self, bytes_each: int = 2) -> int:
        """What a checkpoint holds behind its header: every weight once, and batch norm per ratio.

        W + sum over ratios of 4 C numbers, where C are the channels of all batch norms of a ratio:
        scale, shift, mean, variance. Which channels a ratio keeps takes nothing: the first ones.
        """
        norms = 4 * sum(layer.weight.numel() for _, layer in self.norms())
        shared = sum(p.numel() for p in self.parameters()) - norms // 2
        return bytes_each * (shared + norms)

    def _listed(self, subnet: Subnet, wanted: Sequence[int]) -> Program:
        program = super()._listed(subnet, wanted)
        ratio = subnet["r"][0]
        if ratio == max(self.space.ratios):
            return program
        own = cast(nn.ModuleList, self.own[str(ratio)])
        norms = {key: cast(ElasticBatchNorm2d, own[i]) for key, i in self._place.items()}

        def own_norm(item: Sized) -> Sized:
            return Sized(norms.get(getattr(item.layer, "key", ""), item.layer), item.sizes)

        return [
            (k, changed(trunk, own_norm), changed(head, own_norm)) for k, trunk, head in program
        ]


def _norms(program: Program) -> Iterator[tuple[ElasticBatchNorm2d, int]]:
    """The batch norms of a program in their order, and their channels."""

    def walk(layers: Sequence[Layer]) -> Iterator[tuple[ElasticBatchNorm2d, int]]:
        for item in layers:
            if isinstance(item, Block):
                yield from walk(item.body)
                yield from walk(item.shortcut or [])
            elif isinstance(item, Sized) and isinstance(item.layer, ElasticBatchNorm2d):
                yield item.layer, cast(int, item.sizes[0])

    for _, trunk, head in program:
        yield from walk([*trunk, *head])
