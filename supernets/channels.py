"""Which channels of a shared weight a configuration uses.

A number c stands for the first c channels, as in slimmable networks (Yu et al., 2019,
arXiv:1812.08928): a view of the weight, nothing is copied. A tensor of indices (c,) stands for
those channels in that order: a copy, through which gradients reach the shared weight.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

Channels = int | Tensor


class Slice(NamedTuple):
    """How one weight of a plain layer comes from shared tensors, in words instead of values.

    `tensor` at `picks` of its first dimensions (None: whole), every filter then made smaller by the
    square matrices `through`, a 1x1 filter `flat`. `norm` is the batch norm that is folded in.
    """

    tensor: str
    picks: tuple[Channels | None, ...] = ()
    through: tuple[str, ...] = ()
    flat: bool = False
    norm: str = ""


def count(channels: Channels) -> int:
    """How many they are."""
    return channels if isinstance(channels, int) else len(channels)


def take(weight: Tensor, *channels: Channels | None) -> Tensor:
    """`weight` with the given channels of its first dimensions; None keeps a dimension whole."""
    if not any(isinstance(c, Tensor) for c in channels):
        return weight[tuple(map(slice, channels))]
    for dim, c in enumerate(channels):
        if isinstance(c, Tensor):
            weight = weight.index_select(dim, c)
        elif c is not None:
            weight = weight.narrow(dim, 0, c)
    return weight


@torch.no_grad()
def reorder(dimensions: Iterable[tuple[Tensor, int]], order: Tensor) -> None:
    """Put the channels along every (weight, dimension) in `order`, in place.

    `dimensions` are all that hold the same channels: a convolution's output, its batch norm, the
    inputs of what reads it. The largest network computes what it did, up to the order in which
    sums are taken; the first c channels are then `order[:c]` of before, again a view.
    """
    for weight, dim in dimensions:
        weight.copy_(weight.index_select(dim, order))
