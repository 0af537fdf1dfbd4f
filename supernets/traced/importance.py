"""The channels of every group in order of importance, so that each width is the most important.

A channel weighs what its filters weigh (L2, Li et al., 2017, arXiv:1608.08710) or, with images, how
much the loss would change without it (first-order Taylor, Molchanov et al., 2019,
arXiv:1906.10771); both over all layers that the group ties together, each divided by its mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from supernets.channels import reorder
from supernets.traced.calls import Call
from supernets.traced.groups import Axis, Groups


def scores(
    calls: Sequence[Call], groups: Groups, gradients: dict[str, Tensor] | None = None
) -> dict[int, Tensor]:
    """How important every channel of every set is, by the set's root; frozen ones are left out."""
    sets = groups.sets
    found: dict[int, Tensor] = {}
    for axis in groups.axes:
        call = calls[axis.call]
        if axis.tensor.startswith("running_") or (axis.tensor == "bias" and gradients is None):
            continue
        weight = _own(call, axis, gradients)
        start = 0
        for one, repeat in axis.spans:
            root = sets.root(one)
            n = sets.size[root] * repeat
            part = weight[start : start + n].view(-1, repeat).sum(dim=1)
            start += n
            if not sets.frozen[root] and float(part.sum()) > 0:
                found[root] = found.get(root, 0) + part / part.mean()
    return found


def _own(call: Call, axis: Axis, gradients: dict[str, Tensor] | None) -> Tensor:
    """The score (channels,) of one weight along one dimension."""
    weight = call.weights[axis.tensor].detach().double()
    others = [d for d in range(weight.ndim) if d != axis.dim]
    if gradients is None:
        squared = weight.square()
        return squared.sum(dim=others) if others else squared
    slope = gradients.get(f"{call.name}.{axis.tensor}")
    if slope is None:
        return torch.zeros(weight.shape[axis.dim], dtype=weight.dtype)
    change = weight * slope.double()
    return (change.sum(dim=others) if others else change).square()


def orders(groups: Groups, found: dict[int, Tensor]) -> dict[int, Tensor]:
    """Channels by falling importance; those that stay together move together."""
    made = {}
    for root, score in found.items():
        unit = groups.sets.unit[root]
        first = score.view(-1, unit).sum(dim=1).argsort(descending=True, stable=True) * unit
        made[root] = (first[:, None] + torch.arange(unit)).flatten()
    return made


def sort_channels(calls: Sequence[Call], groups: Groups, order: dict[int, Tensor]) -> None:
    """Put all weights in order, in place; the network answers as before."""
    for axis in groups.axes:
        index, start = [], 0
        for one, repeat in axis.spans:
            root = groups.sets.root(one)
            n = groups.sets.size[root]
            kept = order.get(root, torch.arange(n))
            places = (kept[:, None] * repeat + torch.arange(repeat)).flatten()
            index.append(start + places)
            start += n * repeat
        weight = calls[axis.call].weights[axis.tensor]
        reorder([(weight, axis.dim)], torch.cat(index))
