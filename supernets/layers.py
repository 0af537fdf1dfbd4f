"""The layers of a subnet at their sizes, run with shared weights or copied into a plain network.

A family lists them once, for a segment or a head; `run` and `static` walk the same list, so that
what is trained and what is exported cannot differ.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from torch import Tensor, nn

from supernets.channels import Channels
from supernets.elastic import ElasticBatchNorm2d, ElasticConv2d, ElasticLayer, Norm, Statistics
from supernets.static import ConvNorm, GlobalMean, Residual


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


Layer = Sized | Block


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


def run(layers: Sequence[Layer], x: Tensor, norm: Norm) -> Tensor:
    """What `layers` make of `x` with the shared weights."""
    for item in layers:
        if isinstance(item, Block):
            y = run(item.body, x, norm)
            x = y if item.shortcut is None else y + run(item.shortcut, x, norm)
        elif isinstance(item.layer, ElasticBatchNorm2d):
            x = norm(item.layer, x, *item.sizes)
        else:
            x = item.layer(x, *item.sizes)
    return x


def static(layers: Sequence[Layer], statistics: Statistics | None) -> list[nn.Module]:
    """Plain copies of `layers`, normalised by `statistics` (None: those of the largest subnet)."""
    made: list[nn.Module] = []
    for item in layers:
        if isinstance(item, Block):
            made.append(_block(item, statistics))
        elif isinstance(item.layer, ElasticBatchNorm2d):
            (channels,) = item.sizes
            conv = cast(nn.Conv2d, made.pop())
            made.append(ConvNorm(conv, item.layer.static(channels, statistics)))
        elif isinstance(item.layer, ElasticLayer):
            made.append(item.layer.static(*item.sizes))
        else:
            made.append(copy.deepcopy(item.layer))
    return made


def _block(block: Block, statistics: Statistics | None) -> nn.Module:
    body = nn.Sequential(*static(block.body, statistics))
    if block.shortcut is None:
        return body
    return Residual(body, nn.Sequential(*static(block.shortcut, statistics)))
