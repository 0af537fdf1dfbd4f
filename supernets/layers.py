"""The layers of a subnet at their sizes, run with shared weights or copied into a plain network.

A family lists them once, for a segment or a head; `run` and `static` walk the same list, so that
what is trained and what is exported cannot differ.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

from torch import Tensor, nn

from supernets.channels import Channels, count
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLayer, Norm, Statistics
from supernets.static import ConvNorm, GlobalMean, Residual, Wired


class Sized(NamedTuple):
    """A layer and the sizes of this subnet, `layer(x, *sizes)`; a plain layer has none."""

    layer: nn.Module
    sizes: tuple[Channels, ...] = ()


@dataclass(frozen=True)
class Block:
    """Layers that belong together, `body(x)`, or `body(x) + shortcut(x)` where there is a shortcut.

    A shortcut without layers is the identity.
    """

    body: Sequence[Layer]
    shortcut: Sequence[Layer] | None = None


class Wire(NamedTuple):
    """One layer of a graph and the values it reads: 0 is what enters, i what wire i - 1 made."""

    item: Sized
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """Layers that read one or several values by number; `output` is the value that leaves."""

    wires: Sequence[Wire]
    output: int

    def norm_of(self) -> dict[int, int]:
        """Of every convolution that a batch norm alone reads: the norm's wire."""
        reads = [i for wire in self.wires for i in wire.inputs] + [self.output]
        found = {}
        for i, (item, inputs) in enumerate(self.wires):
            source = inputs[0] - 1
            if isinstance(item.layer, ElasticBatchNorm2d) and source >= 0:
                before = self.wires[source].item.layer
                if getattr(before, "folds", False) and reads.count(source + 1) == 1:
                    found[source] = i
        return found


Layer = Sized | Block | Graph


class ElasticBlock(nn.Module):
    """Weights of a block, a stem or a head; `layers(*sizes)` says how a subnet uses them."""

    layers: Callable[..., list[Layer]]


RELU, HARDSWISH, MEAN = Sized(nn.ReLU()), Sized(nn.Hardswish()), Sized(GlobalMean())


def conv_norm(
    conv: ElasticConv2d | None, norm: ElasticBatchNorm2d | None, c_in: Channels, c_out: Channels
) -> list[Layer]:
    """A convolution and its batch norm, where the block has them."""
    if conv is None or norm is None:
        return []
    return [Sized(conv, (c_in, c_out)), Sized(norm, (c_out,))]


def changed(layers: Sequence[Layer], change: Callable[[Sized], Sized]) -> list[Layer]:
    """`layers` with another layer or other sizes wherever `change` says so."""
    made: list[Layer] = []
    for item in layers:
        if isinstance(item, Block):
            shortcut = None if item.shortcut is None else changed(item.shortcut, change)
            made.append(replace(item, body=changed(item.body, change), shortcut=shortcut))
        elif isinstance(item, Graph):
            wires = [wire._replace(item=change(wire.item)) for wire in item.wires]
            made.append(replace(item, wires=wires))
        else:
            made.append(change(item))
    return made


def run(layers: Sequence[Layer], x: Tensor, norm: Norm) -> Tensor:
    """What `layers` make of `x` with the shared weights."""
    for item in layers:
        if isinstance(item, Graph):
            x = _run_graph(item, x, norm)
        elif isinstance(item, Block):
            y = run(item.body, x, norm)
            x = y if item.shortcut is None else y + run(item.shortcut, x, norm)
        elif isinstance(item.layer, ElasticBatchNorm2d):
            x = norm(item.layer, x, *item.sizes)
        else:
            x = item.layer(x, *item.sizes)
    return x


def _run_graph(graph: Graph, x: Tensor, norm: Norm) -> Tensor:
    values = [x]
    for item, inputs in graph.wires:
        read = [values[i] for i in inputs]
        if isinstance(item.layer, ElasticBatchNorm2d):
            values.append(norm(item.layer, read[0], *item.sizes))
        else:
            values.append(item.layer(*read, *item.sizes))
    return values[graph.output]


def norms(layers: Sequence[Layer]) -> Iterator[tuple[str, int]]:
    """Keys of the batch norms of `layers` with their channels, in the order in which they run."""
    for item in layers:
        if isinstance(item, Graph):
            yield from norms([sized for sized, _ in item.wires])
        elif isinstance(item, Block):
            yield from norms([*item.body, *(item.shortcut or [])])
        elif isinstance(item.layer, ElasticBatchNorm2d):
            (channels,) = item.sizes
            yield item.layer.key, count(channels)


def static(layers: Sequence[Layer], statistics: Statistics | None) -> list[nn.Module]:
    """Plain copies of `layers`, normalised by `statistics` (None: those of the largest subnet)."""
    made: list[nn.Module] = []
    for item in layers:
        if isinstance(item, Graph):
            made.append(_wired(item, statistics))
        elif isinstance(item, Block):
            made.append(_block(item, statistics))
        elif isinstance(item.layer, ElasticBatchNorm2d):
            (channels,) = item.sizes
            conv = cast(nn.Conv2d, made.pop())
            made.append(ConvNorm(conv, item.layer.static(channels, statistics)))
        else:
            made.append(_plain(item))
    return made


def _plain(item: Sized) -> nn.Module:
    if isinstance(item.layer, ElasticLayer):
        return item.layer.static(*item.sizes)
    return copy.deepcopy(item.layer)


def _wired(graph: Graph, statistics: Statistics | None) -> Wired:
    """The plain twin of a graph; a convolution and the norm that alone reads it are one layer."""
    norm_of = graph.norm_of()
    conv_of = {norm: conv for conv, norm in norm_of.items()}
    made: list[nn.Module] = []
    reads: list[tuple[int, ...]] = []
    place = {0: 0}  # of every value among those of the twin
    for i, (item, inputs) in enumerate(graph.wires):
        if i in norm_of:
            continue
        layer, conv = item.layer, conv_of.get(i)
        if isinstance(layer, ElasticBatchNorm2d):
            (channels,) = item.sizes
            plain: nn.Module = layer.static(channels, statistics)
            if conv is not None:
                before, inputs = graph.wires[conv]
                plain = ConvNorm(cast(nn.Conv2d, _plain(before)), cast(nn.BatchNorm2d, plain))
        else:
            plain = _plain(item)
        made.append(plain)
        reads.append(tuple(place[j] for j in inputs))
        place[i + 1] = len(made)
    return Wired(made, reads, place[graph.output])


def _block(block: Block, statistics: Statistics | None) -> nn.Module:
    body = nn.Sequential(*static(block.body, statistics))
    if block.shortcut is None:
        return body
    return Residual(body, nn.Sequential(*static(block.shortcut, statistics)))
