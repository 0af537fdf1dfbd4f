"""The supernet of a traced network: the user's weights, elastic in width and depth, with exits."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from search_spaces import Subnet
from search_spaces.traced import Node, TracedSpace, n_channels
from supernets.channels import Channels, count
from supernets.elastic import ElasticBatchNorm2d
from supernets.exits import ExitHead
from supernets.layers import ElasticBlock, Graph, Layer, Sized, Wire
from supernets.operations import OPERATIONS, Operation
from supernets.supernet import Supernet
from supernets.traced.layers import (
    TracedConv2d,
    TracedFactors,
    TracedLayerNorm,
    TracedLinear,
    TracedSlice,
)

Spans = tuple[tuple[int, int], ...]
Find = Callable[[Spans], Channels]
"""Which channels of its full spans a subnet uses."""


class TracedSupernet(Supernet):
    """The operations of a `TracedSpace`; layers have the user's names below `trunk`."""

    space: TracedSpace

    def __init__(self, space: TracedSpace) -> None:
        super().__init__()
        self.space = space
        self.full = [max(choices) for choices in space.widths]
        self.trunk = nn.Module()
        self.layers = [self._layer(node) for node in space.nodes]
        tail = range(space.final + 1, len(space.nodes))
        early = [
            ExitHead(self._full(node), space.head_widths[k], space.n_classes, space.head_side)
            for k, node in enumerate(space.exits)
        ]
        last = TracedHead(space, [(i, self.layers[i]) for i in tail])
        self.heads = nn.ModuleList([*early, last])
        for i in range(1, space.final + 1):
            place(self.trunk, space.nodes[i].name, self.layers[i])
        self.name_norms()

    def _full(self, node: int) -> int:
        return int(n_channels(self.space.nodes[node].spans, self.full))

    def _layer(self, node: Node) -> nn.Module:
        c_in = self._full(node.inputs[0]) if node.inputs else 0
        c_out = int(n_channels(node.spans, self.full))
        return make_layer(node, c_in, c_out)

    def segment(self, k: int, subnet: Subnet) -> tuple[list[Layer], Channels]:
        """Its nodes as one graph; a block that is skipped hands on what its shortcut has."""
        space = self.space
        first, last = space.bounds(k)
        find = self.finder(subnet)
        wires: list[Wire] = []
        at = {first: 0}
        for i in range(first + 1, last + 1):
            node, slot = space.nodes[i], space.skipped.get(i, -1)
            if slot >= 0 and not space.kept(slot, subnet):
                at[i] = at[space.blocks[slot].shortcut]
            elif space.kept(node.block, subnet):
                item = Sized(self.layers[i], sizes_of(space.nodes, i, find))
                wires.append(Wire(item, tuple(at[j] for j in node.inputs)))
                at[i] = len(wires)
        return [Graph(wires, at[last])], find(space.nodes[last].spans)

    def finder(self, subnet: Subnet) -> Find:
        """Channels by their spans: a number where they are the first ones, else indices."""
        widths = cast(Sequence[int], self.space.widths_of(subnet))
        device = next(self.parameters()).device

        @functools.cache
        def find(spans: Spans) -> Channels:
            parts, start = [np.arange(0)], 0
            for group, repeat in spans:
                kept = np.arange(1) if group < 0 else self.space.places(group, widths[group])
                parts.append(start + (kept[:, None] * repeat + np.arange(repeat)).flatten())
                start += repeat * (1 if group < 0 else self.full[group])
            places = np.concatenate(parts)
            if np.array_equal(places, np.arange(len(places))):
                return len(places)
            return torch.from_numpy(places).to(device)

        return find


class TracedHead(ElasticBlock):
    """The user's own classifier: what is behind the last value that passes alone."""

    def __init__(self, space: TracedSpace, layers: Sequence[tuple[int, nn.Module]]) -> None:
        super().__init__()
        self.space, self.numbered = space, list(layers)
        self.own = nn.Module()
        for i, layer in self.numbered:
            place(self.own, space.nodes[i].name, layer)

    def layers(self, c_in: Channels) -> list[Layer]:  # type: ignore[override]
        """From what enters, with channels `c_in`, to logits (N, classes)."""
        nodes, entry = self.space.nodes, self.space.nodes[self.space.final].spans

        def find(spans: Spans) -> Channels:
            return c_in if spans == entry else sum(n for _, n in spans)

        wires = []
        at = {self.space.final: 0}
        for i, layer in self.numbered:
            inputs = tuple(at[j] for j in nodes[i].inputs)
            wires.append(Wire(Sized(layer, sizes_of(nodes, i, find)), inputs))
            at[i] = len(wires)
        return [Graph(wires, len(wires))]


def place(root: nn.Module, path: str, layer: nn.Module) -> None:
    """Put a layer with weights where the user has it."""
    if next(layer.parameters(), None) is None:
        return
    *folders, name = path.split(".")
    for folder in folders:
        if folder not in dict(root.named_children()):
            root.add_module(folder, nn.Module())
        root = root.get_submodule(folder)
    root.add_module(name, layer)


def sizes_of(nodes: Sequence[Node], i: int, find: Find) -> tuple[Channels, ...]:
    """The sizes that the layer of a node takes."""
    node = nodes[i]
    if node.kind in ("conv", "linear"):
        return find(nodes[node.inputs[0]].spans), find(node.spans)
    if node.kind in ("norm", "layer_norm", "factors"):
        return (find(node.spans),)
    if node.kind == "slice":
        start, stop = node.get("start"), node.get("stop")
        if (before := node.get("before")) is not None:  # whole spans: their places move
            start = count(find(before))
            stop = start + count(find(node.spans))
        return start, stop
    return ()


def make_layer(node: Node, c_in: int, c_out: int) -> nn.Module:
    """The layer of a node at its full size, its weights not set."""
    options = dict(node.options)
    if node.kind == "conv":
        names = "stride", "padding", "dilation", "groups", "bias"
        given = {name: options[name] for name in names}
        return TracedConv2d(c_in, c_out, options["kernel"], **given)
    if node.kind == "linear":
        return TracedLinear(c_in, c_out, bias=options["bias"])
    if node.kind == "norm":
        return ElasticBatchNorm2d(c_out, options["eps"])
    if node.kind == "layer_norm":
        return TracedLayerNorm(c_out, options["eps"])
    if node.kind == "factors":
        return TracedFactors(options["operation"], c_out, options["axis"] + 1, options["n_dims"])
    if node.kind == "slice":
        return TracedSlice(options["dim"])
    if node.kind == "image":
        return nn.Identity()
    assert node.kind in OPERATIONS, node.kind
    return Operation(node.kind, **options)
