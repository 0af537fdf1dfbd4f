"""From a trained torch network to a supernet that begins as this network."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from math import isnan, lcm
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from search_spaces import InputError
from search_spaces.traced import Node, TracedSpace
from supernets.guest import bare, in_eval
from supernets.supernet import check_images
from supernets.traced.blocks import Place, chosen, last_head, places, residuals, slots, work
from supernets.traced.calls import Call, NotUnderstood
from supernets.traced.capture import capture
from supernets.traced.groups import Groups
from supernets.traced.importance import by_change, by_size, order
from supernets.traced.network import TracedSupernet

RATIOS = (0.5, 0.75, 1.0)  # widths of a group
MULTIPLE = 8  # of channels, as hardware likes them
MIN_SHARE = 0.005  # of all work: a group with less is not worth a gene
TOLERANCE = 1e-5  # of the largest logit, between the supernet and the user's network


class Wrapped:
    """A traced network, what was found in it, and the supernet that is made of it.

    `net` takes square images (N, `in_channels`, `resolution`, `resolution`) and returns logits
    (N, classes); it stays as it is, and `name` names the space. NotUnderstood, which is an
    InputError, says which module cannot be wrapped.
    """

    def __init__(self, net: nn.Module, in_channels: int, resolution: int, *, name: str) -> None:
        for argument, value in (("in_channels", in_channels), ("resolution", resolution)):
            if not isinstance(value, Integral) or value < 1:
                raise InputError(f"`{argument}` must be a whole number above 0, got {value!r}")
        self.name, self.net = name, bare(net)
        self.in_channels, self.resolution = in_channels, resolution
        self.calls = capture(self.net, in_channels, resolution)
        for call in self.calls:
            call.weights = {k: v.detach().clone() for k, v in call.weights.items()}
        self.groups = Groups(self.calls)
        self.residuals = residuals(self.calls, self.groups)
        self.final = last_head(self.calls)
        self.places = [p for p in places(self.calls, self.groups) if p.node < self.final]
        self.genes = self._numbered()
        self.orders: dict[int, tuple[int, ...]] = {}  # of the channels of every gene, by its root

    @property
    def n_classes(self) -> int:
        return self.calls[-1].shape[0]

    def sort(self, images: Tensor | None = None) -> None:
        """Find the order of importance of all channels that are elastic.

        By what `images` (N, C, H, W), normalised, say of them, or by the size of the filters.
        """
        self.orders = {}
        if images is not None:
            check_images(images)
        if images is None:
            found = by_size(self.calls, self.groups)
        else:
            found = by_change(self.supernet([]), self.groups, images)
        for root in self.genes:
            n, unit = self.groups.sets.size[root], self.groups.sets.unit[root]
            score = found.get(root, torch.zeros(n))
            self.orders[root] = order(score, unit)

    def supernet(self, exits: Sequence[int] | None = None) -> TracedSupernet:
        """The supernet, with early exits at the `places` of these numbers.

        NotUnderstood: it does not answer as the network does. InputError: no such place.
        """
        space = self.space(exits)
        supernet = TracedSupernet(space).eval()
        with torch.no_grad():
            for i, call in enumerate(self.calls):
                layer = supernet.layers[i]
                for tensor, values in call.weights.items():
                    getattr(layer, tensor).copy_(values)
        self._check(supernet)
        return supernet

    # ---- the space -----------------------------------------------------------------------------

    def _numbered(self) -> dict[int, int]:
        """The gene of every set that is elastic, by its root, in order of depth."""
        sets = self.groups.sets
        macs = work(self.calls)
        share: dict[int, float] = {}
        for axis in self.groups.axes:
            for one, _ in axis.spans if axis.tensor == "weight" else ():
                root = sets.root(one)
                share[root] = share.get(root, 0) + macs[axis.call] / max(1, sum(macs))
        elastic = [
            root
            for root in share
            if not sets.frozen[root] and share[root] >= MIN_SHARE and len(self._widths(root)) > 1
        ]
        return {root: gene for gene, root in enumerate(elastic)}

    def _widths(self, root: int) -> tuple[int, ...]:
        """The widths of a set: some of its ratios, in whole units."""
        size, unit = self.groups.sets.size[root], self.groups.sets.unit[root]
        step = lcm(MULTIPLE, unit)
        smaller = {int(size * ratio) // step * step for ratio in RATIOS}
        return tuple(sorted({n for n in smaller if 0 < n < size} | {size}))

    def spans(self, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """With genes instead of sets; sets without one are plain numbers, neighbours are one."""
        sets = self.groups.sets
        made: list[tuple[int, int]] = []
        for one, repeat in spans:
            root = sets.root(one)
            gene = self.genes.get(root, -1)
            if gene >= 0:
                made.append((gene, repeat))
            elif made and made[-1][0] < 0:
                made[-1] = -1, made[-1][1] + sets.size[root] * repeat
            else:
                made.append((-1, sets.size[root] * repeat))
        return tuple(made)

    def space(self, exits: Sequence[int] | None = None) -> TracedSpace:
        """What can be chosen, as plain data."""
        found = slots(self.calls, self.residuals)
        stages = [sum(s.stage == k for s in found) for k in range(len({s.stage for s in found}))]
        widths = tuple(self._widths(root) for root in self.genes)
        if not widths and not stages:
            raise NotUnderstood(
                f"{self.name} has nothing elastic: no group of {2 * MULTIPLE} channels or more "
                "that can be cut, no residual block"
            )
        at = [p.node for p in self._exits(exits)]
        block_of = {i: k for k, r in enumerate(self.residuals) for i in r.branch}
        nodes = tuple(self._node(i, call, block_of.get(i, -1)) for i, call in enumerate(self.calls))
        space = TracedSpace(
            name=self.name,
            resolution=self.resolution,
            in_channels=self.in_channels,
            n_classes=self.n_classes,
            nodes=nodes,
            widths=widths,
            depths=tuple(tuple(range(n // 2, n + 1)) for n in stages),
            blocks=tuple(found),
            exits=tuple(at),
            final=self.final,
            head_widths=tuple(max(16, min(96, self.calls[i].shape[0])) for i in at),
            orders=tuple(self.orders.values()),
        )
        return _named(space)

    def _exits(self, exits: Sequence[int] | None) -> list[Place]:
        numbers = chosen(self.places) if exits is None else list(exits)
        known = range(len(self.places))
        if numbers and not known:
            raise InputError(f"{self.name} has no place for `exits`: nowhere a single map passes")
        if numbers != sorted(set(numbers)) or not set(numbers) <= set(known):
            raise InputError(
                f"`exits` must rise and be of the places 0 to {len(known) - 1}, where a single map "
                f"passes; got {','.join(map(str, numbers))}"
            )
        return [self.places[k] for k in numbers]

    def _node(self, i: int, call: Call, block: int) -> Node:
        layout = self.groups.layouts[i]
        options = dict(call.options)
        if call.kind in ("conv", "linear"):
            options["bias"] = "bias" in call.weights
        if call.kind == "conv" and options["groups"] > 1:
            c_in = self.calls[call.inputs[0]].shape[0]
            options["per_group"] = c_in // options["groups"]
            options["depthwise"] = options["per_group"] == 1
        if call.kind == "factors":
            options["n_dims"] = len(call.shape) + 1
        if call.kind == "reshape":
            sizes = list(call.shape)
            sizes[layout.axis] = -1  # the channels
            options["shape"] = tuple(sizes)
        if call.kind == "slice":
            options["before"] = self._before(call)
        return Node(
            name=call.name,
            kind=call.kind,
            inputs=call.inputs,
            spans=self.spans(layout.spans),
            side=_side(call.shape, layout.axis),
            options=tuple((k, v) for k, v in options.items() if v is not None),
            block=block,
        )

    def _before(self, call: Call) -> tuple[tuple[int, int], ...] | None:
        """Of a slice along whole spans: the spans before it; None for any other."""
        source = self.groups.layouts[call.inputs[0]]
        if call.options["dim"] != source.axis:
            return None
        before: list[tuple[int, int]] = []
        for span in source.spans:
            if self.groups.sets.count(before) == call.options["start"]:
                return self.spans(before)
            before.append(span)
        return None

    def _check(self, supernet: TracedSupernet) -> None:
        """The largest subnet is the user's network; in float64 where rounding hides it."""
        with in_eval(self.net):
            error = self.difference(supernet, self.net)
            if error > TOLERANCE:
                twins = copy.deepcopy(supernet).double(), copy.deepcopy(self.net).double()
                error = self.difference(*twins)
        if isnan(error):
            raise NotUnderstood(f"{self.name}: its logits are no finite numbers")
        if error > TOLERANCE:
            raise NotUnderstood(
                f"{self.name}: what was traced answers otherwise than the network (by {error:.1e} "
                "of the largest logit): it has a state, draws at "
                "random (dropout without `self.training`), or works on tensors in place"
            )

    @torch.no_grad()
    def difference(self, supernet: TracedSupernet, net: nn.Module) -> float:
        """The largest difference of two images' logits, of the largest logit."""
        shape = 2, self.in_channels, self.resolution, self.resolution
        images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        images = images.to(next(supernet.parameters()).dtype)
        space = supernet.space
        wanted: Any = net(images.clone())
        wanted = wanted[0] if isinstance(wanted, list | tuple) else wanted
        found = supernet(images, space.subnet(space.largest), heads=[space.n_exits])[0]
        return float((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-12))


def wrap(
    net: nn.Module,
    in_channels: int,
    resolution: int,
    *,
    name: str = "network",
    exits: Sequence[int] | None = None,
    sort: bool = True,
) -> TracedSupernet:
    """The supernet of a trained network for square images of `resolution` pixels."""
    found = Wrapped(net, in_channels, resolution, name=name)
    if sort:
        found.sort()
    return found.supernet(exits)


def _side(shape: tuple[int, ...], axis: int) -> int:
    """Of a square map; 1 for a vector, 0 for anything else."""
    others = [n for i, n in enumerate(shape) if i != axis]
    if not others:
        return 1
    return others[0] if len(others) == 2 and others[0] == others[1] else 0


def _named(space: TracedSpace) -> TracedSpace:
    """With a checksum in its name: tables of two networks are told apart."""
    told = json.dumps(space.to_dict(), sort_keys=True).encode()
    return replace(space, name=f"{space.name}-{hashlib.sha256(told).hexdigest()[:8]}")
