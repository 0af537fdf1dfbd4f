"""A plain network in words: which slices of the shared tensors its weights are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from search_spaces import InputError, Subnet
from supernets.channels import Slice
from supernets.elastic import ElasticBatchNorm2d, ElasticLayer
from supernets.layers import Block, Graph, Layer, Sized
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
        if isinstance(item, Graph):
            made += _walk(_in_line(item), names)
        elif isinstance(item, Block):
            made += [*_walk(item.body, names), *_walk(item.shortcut or [], names)]
        elif isinstance(item.layer, ElasticBatchNorm2d):
            key = item.layer.key
            _check_foldable(made, item.layer)
            made[-1] = made[-1]._replace(norm=key)
            made.append(Slice(f"{key}.bias", item.sizes, norm=key))
        elif isinstance(item.layer, ElasticLayer):
            made += [_named(part, names[item.layer]) for part in item.layer.slices(*item.sizes)]
        elif next(item.layer.parameters(), None) is not None:
            raise InputError(f"a layer of type {type(item.layer).__name__} has no slices")
    return made


def _in_line(graph: Graph) -> list[Sized]:
    """The layers of a graph in the order of their twins: a convolution right before its norm."""
    norm_of = graph.norm_of()
    conv_of = {norm: conv for conv, norm in norm_of.items()}
    line: list[Sized] = []
    for i, (item, _) in enumerate(graph.wires):
        if isinstance(item.layer, ElasticBatchNorm2d) and i not in conv_of:
            raise InputError(f"{item.layer.key}: a batch norm behind no convolution has no slices")
        if i in conv_of:
            line.append(graph.wires[conv_of[i]].item)
        if i not in norm_of:
            line.append(item)
    return line


def _check_foldable(made: Sequence[Slice], norm: ElasticBatchNorm2d) -> None:
    """InputError: the board folds a norm into a weight without bias, with the usual eps."""
    if made[-1].tensor.endswith(".bias"):
        raise InputError(f"{norm.key}: a batch norm behind a bias has no slices")
    if norm.eps != ElasticBatchNorm2d.eps:
        raise InputError(f"{norm.key}: slices of batch norms have eps {ElasticBatchNorm2d.eps:g}")


def _named(part: Slice, layer: str) -> Slice:
    through = tuple(f"{layer}.{name}" for name in part.through)
    return part._replace(tensor=f"{layer}.{part.tensor}", through=through)
