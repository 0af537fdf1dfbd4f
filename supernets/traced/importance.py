"""How important every channel of a group is, so that each width keeps the most important.

Without images a channel weighs how strong it is (its filter's energy, or its norm's scale where a
norm follows, which undoes the filter's) times how much its readers make of it (Li et al., 2017,
arXiv:1608.08710, look at the filter alone). With images it weighs how much the logits would change
without it, to first order and image by image (Molchanov et al., 2019, arXiv:1906.10771, take the
loss instead, whose slope is nearly zero once a network is trained). A channel's mean counts for
nothing where a norm follows: a subnet's own statistics make up for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from supernets.traced.calls import Call
from supernets.traced.groups import Axis, Groups
from supernets.traced.layers import TracedConv2d
from supernets.traced.network import TracedSupernet

BATCH = 8  # images whose maps are kept at a time, about their size in memory,
MAP_BYTES = 1 << 31  # and at most so much of it; ResNet-50's at 224 pixels are half of this

Scores = dict[int, Tensor]
"""Of every set of channels (size,), by its root."""


def by_size(calls: Sequence[Call], groups: Groups) -> Scores:
    """From the weights alone; layers that a group ties together count alike."""
    normed = {call.inputs[0] for call in calls if call.kind == "norm"}
    made: Scores = {}
    read: Scores = {}
    for axis in groups.axes:
        if axis.tensor == "weight" and (axis.dim == 1 or axis.call not in normed):
            energy = _energy(calls[axis.call], axis)
            for root, part in _parts(groups, axis, energy):
                found = read if axis.dim == 1 else made
                if float(part.sum()) > 0:
                    found[root] = found.get(root, 0) + part / part.mean()
    return {root: score * read.get(root, 1) for root, score in {**read, **made}.items()}


def _energy(call: Call, axis: Axis) -> Tensor:
    """The squares (channels,) of one weight along one dimension."""
    squared = call.weights[axis.tensor].detach().double().square()
    others = [d for d in range(squared.ndim) if d != axis.dim]
    return squared.sum(dim=others) if others else squared


@torch.enable_grad()
def by_change(supernet: TracedSupernet, groups: Groups, images: Tensor, *, seed: int = 0) -> Scores:
    """The squared change of the logits without a channel, over `images` (N, C, H, W), normalised.

    All that reads a channel is given a factor of one per image; the slope of the logits along the
    factors is the change, to first order. The logits are added up with random signs, which keeps
    the sum of their squares in the mean.
    """
    normed = {call.inputs[0] for call in groups.calls if call.kind == "norm"}
    generator = torch.Generator().manual_seed(seed)
    subnet = supernet.space.subnet(supernet.space.largest)
    readers = [axis for axis in groups.axes if axis.tensor == "weight" and axis.dim == 1]
    found: Scores = {}
    one = 4 * sum(math.prod(call.shape) for call in groups.calls)
    for x in torch.split(images, max(1, min(BATCH, MAP_BYTES // one))):
        factors: dict[int, Tensor] = {}
        hooks = [
            supernet.layers[a.call].register_forward_pre_hook(
                _scaled(factors, a.call, a.call in normed)
            )
            for a in readers
        ]
        try:
            logits = supernet(x, subnet, heads=[supernet.space.n_exits])[0]
        finally:
            for hook in hooks:
                hook.remove()
        signs = torch.randint(0, 2, logits.shape, generator=generator) * 2.0 - 1
        slopes = torch.autograd.grad((logits * signs).sum(), list(factors.values()))
        change: Scores = {}
        for axis, slope in zip(readers, slopes, strict=True):
            for root, part in _parts(groups, axis, slope.double()):
                change[root] = change.get(root, 0) + part
        for root, part in change.items():
            found[root] = found.get(root, 0) + part.square().sum(dim=0)
    return found


def _scaled(factors: dict[int, Tensor], key: int, normed: bool) -> Any:
    """A hook that multiplies what a layer reads by a factor for every image and channel.

    Where a norm follows, what differs from the channel's mean.
    """

    def hook(layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        x, *sizes = given
        axis = 1 if isinstance(layer, TracedConv2d) else x.ndim - 1
        factors[key] = x.new_ones(x.shape[0], x.shape[axis], requires_grad=True)
        factor = factors[key].view([n if d in (0, axis) else 1 for d, n in enumerate(x.shape)])
        if not normed:
            return x * factor, *sizes
        mean = x.detach().mean([d for d in range(x.ndim) if d != axis], keepdim=True)
        return torch.lerp(mean, x, factor), *sizes

    return hook


def _parts(groups: Groups, axis: Axis, values: Tensor) -> list[tuple[int, Tensor]]:
    """`values` (..., channels) along one dimension of a weight, cut into sets that are not frozen.

    What one channel of a set stands for is added up.
    """
    sets, start, found = groups.sets, 0, []
    for one, repeat in axis.spans:
        root = sets.root(one)
        n = sets.size[root] * repeat
        part = values[..., start : start + n]
        start += n
        if not sets.frozen[root]:
            found.append((root, part.view(*part.shape[:-1], -1, repeat).sum(dim=-1)))
    return found


def order(score: Tensor, unit: int) -> tuple[int, ...]:
    """Channels by falling importance; `unit` neighbours that stay together move together."""
    first = score.view(-1, unit).sum(dim=1).argsort(descending=True, stable=True) * unit
    return tuple((first[:, None] + torch.arange(unit)).flatten().tolist())
