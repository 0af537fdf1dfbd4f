"""The channels of every group in order of importance, so that each width is the most important.

Without images a channel weighs how strong it is (its filter's energy, or its norm's scale where a
norm follows, which undoes the filter's) times how much its readers make of it (Li et al., 2017,
arXiv:1608.08710, look at the filter alone). With images it weighs how much the loss would change
without it (first-order Taylor, Molchanov et al., 2019, arXiv:1906.10771). Layers that the group
ties together count alike.
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
    normed = {call.inputs[0] for call in calls if call.kind == "norm"}
    made: dict[int, Tensor] = {}
    read: dict[int, Tensor] = {}
    for axis in groups.axes:
        if gradients is not None:
            if not axis.tensor.startswith("running_"):
                _add(made, groups, axis, _change(calls[axis.call], axis, gradients))
        elif axis.tensor == "weight" and (axis.dim == 1 or axis.call not in normed):
            _add(read if axis.dim == 1 else made, groups, axis, _energy(calls[axis.call], axis))
    return {root: score * read.get(root, 1) for root, score in {**read, **made}.items()}


def _add(found: dict[int, Tensor], groups: Groups, axis: Axis, weight: Tensor) -> None:
    """Add the scores along one dimension of a weight, each set's divided by their mean."""
    sets, start = groups.sets, 0
    for one, repeat in axis.spans:
        root = sets.root(one)
        n = sets.size[root] * repeat
        part = weight[start : start + n].view(-1, repeat).sum(dim=1)
        start += n
        if not sets.frozen[root] and float(part.sum()) > 0:
            found[root] = found.get(root, 0) + part / part.mean()


def _energy(call: Call, axis: Axis) -> Tensor:
    """The squares (channels,) of one weight along one dimension."""
    squared = call.weights[axis.tensor].detach().double().square()
    others = [d for d in range(squared.ndim) if d != axis.dim]
    return squared.sum(dim=others) if others else squared


def _change(call: Call, axis: Axis, gradients: dict[str, Tensor]) -> Tensor:
    """The squared change of the loss (channels,) without one weight's values, to first order."""
    weight = call.weights[axis.tensor].detach().double()
    slope = gradients.get(f"{call.name}.{axis.tensor}")
    if slope is None:
        return torch.zeros(weight.shape[axis.dim], dtype=weight.dtype)
    others = [d for d in range(weight.ndim) if d != axis.dim]
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
