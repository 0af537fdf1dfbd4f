"""A plain network in words: which slices of the shared tensors its weights are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from search_spaces import InputError, Subnet
from supernets.channels import Slice
from supernets.elastic import ElasticBatchNorm2d, ElasticLayer
from supernets.layers import Block, Layer
from supernets.supernet import Supernet


def slices(
    supernet: Supernet, subnet: Subnet, heads: Sequence[int] | None = None
) -> list[list[Slice]]:
    """Of every segment of `extract(...).fold()`: its weights in the order of its layers.

    The walk is that of `supernets.layers.static`. InputError: a layer that slices do not describe.
    """
    names = {module: name for name, module in supernet.named_modules()}
    return [
        [*_walk(trunk, names), *_walk(head, names)]
        for _, trunk, head in supernet.program(subnet, heads)
    ]


def _walk(layers: Sequence[Layer], names: Mapping[nn.Module, str]) -> list[Slice]:
    made: list[Slice] = []
    for item in layers:
        if isinstance(item, Block):
            made += [*_walk(item.body, names), *_walk(item.shortcut or [], names)]
        elif isinstance(item.layer, ElasticBatchNorm2d):
            key = item.layer.key
            made[-1] = made[-1]._replace(norm=key)
            made.append(Slice(f"{key}.bias", item.sizes, norm=key))
        elif isinstance(item.layer, ElasticLayer):
            made += [_named(part, names[item.layer]) for part in item.layer.slices(*item.sizes)]
        elif next(item.layer.parameters(), None) is not None:
            raise InputError(f"a layer of type {type(item.layer).__name__} has no slices")
    return made


def _named(part: Slice, layer: str) -> Slice:
    through = tuple(f"{layer}.{name}" for name in part.through)
    return part._replace(tensor=f"{layer}.{part.tensor}", through=through)
