"""Spaces of networks from outside: the user's own operations, a width per group of channels.

A traced network is a list of nodes; a node reads earlier ones. Its output channels are spans: a
span (group, repeat) holds `repeat` channels for each one that the group keeps, a span (-1, n)
always holds n. So are residual sums, concatenations and flattened maps told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from search_spaces.arrays import Bools, Genes, Ints
from search_spaces.operators import Map, OperatorBuilder, Operators
from search_spaces.space import GeneGroup, Space
from search_spaces.stages import Values, add_exit
from search_spaces.subnet import Subnet

Spans = tuple[tuple[int, int], ...]

WEIGHTED = ("conv", "linear")
POOLS = ("avg_pool", "max_pool", "adaptive_avg_pool", "mean", "amax", "l2")
PASSES = ("layer_norm", "group_norm", "mul")  # passes over a map of their own, not fused


class Node(NamedTuple):
    """One operation of a traced network; node 0 is the image."""

    name: str  # of the module or function in the user's network
    kind: str
    inputs: tuple[int, ...]  # numbers of earlier nodes
    spans: Spans  # of its output's channels
    side: int  # of its output's map; 1 for a vector, 0 for what is neither
    options: tuple[tuple[str, Any], ...] = ()
    block: int = -1  # the block slot that it is left out with

    def get(self, option: str, default: Any = None) -> Any:
        return dict(self.options).get(option, default)


class BlockSlot(NamedTuple):
    """A residual block that can be left out: the sum `node` is then its shortcut."""

    stage: int
    slot: int
    shortcut: int
    node: int


def n_channels(spans: Spans, widths: Sequence[Any]) -> Any:
    """Channels of `spans`, where `widths` are those of the groups: numbers, or arrays (n,)."""
    return sum(repeat * (1 if group < 0 else widths[group]) for group, repeat in spans)


@dataclass(frozen=True)
class TracedSpace(Space):
    """A width for every elastic group of channels, a depth for every stage of residual blocks.

    Genes: `depth0..` blocks kept per stage, `width0..` channels per group; 0 where all that uses a
    group is left out. A width w keeps the w most important channels, each in its place: the
    largest subnet is the user's network. Exit k reads node `exits[k]`; the last head begins behind
    node `final`.
    """

    name: str
    resolution: int
    in_channels: int
    n_classes: int
    nodes: tuple[Node, ...]
    widths: tuple[tuple[int, ...], ...]
    depths: tuple[tuple[int, ...], ...]
    blocks: tuple[BlockSlot, ...]
    exits: tuple[int, ...]
    final: int
    head_widths: tuple[int, ...]
    head_side: int = 8
    orders: tuple[tuple[int, ...], ...] = ()
    """Of every group its channels, the most important first; as they stand where there are none."""

    kind: ClassVar[str] = "traced"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(Node(*node) for node in self.nodes))
        object.__setattr__(self, "blocks", tuple(BlockSlot(*slot) for slot in self.blocks))

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        found = GeneGroup("d", "depth", self.depths), GeneGroup("w", "width", self.widths)
        return tuple(group for group in found if group.choices)

    @property
    def n_exits(self) -> int:  # type: ignore[override]
        return len(self.exits)

    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        return self.in_channels, self.resolution, self.resolution

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}

    # ---- what a subnet uses --------------------------------------------------------------------

    def bounds(self, segment: int) -> tuple[int, int]:
        """The node that enters a segment and the one that leaves it."""
        ends = (0, *self.exits, self.final)
        return ends[segment], ends[segment + 1]

    def segment_of(self, node: int) -> int:
        """The segment that computes a node; the last head counts to the last segment."""
        return sum(node > end for end in self.exits)

    def kept(self, block: int, values: Values) -> Any:
        """Whether a block slot is kept; true for -1, which is none."""
        if block < 0:
            return True
        return values["d"][self.blocks[block].stage] > self.blocks[block].slot

    def widths_of(self, values: Values) -> Sequence[Any]:
        return values["w"] if self.widths else ()  # type: ignore[return-value]

    def places(self, group: int, width: int) -> Ints:
        """Which channels of a group a width keeps, rising."""
        if not self.orders:
            return np.arange(width)
        return np.sort(np.array(self.orders[group][:width], dtype=np.int64))

    @cached_property
    def skipped(self) -> dict[int, int]:
        """Block slot by the node of its sum."""
        return {slot.node: i for i, slot in enumerate(self.blocks)}

    @cached_property
    def _users(self) -> list[set[tuple[int, int]]]:
        """Of every width gene: the (segment, block slot) of the nodes whose channels it decides."""
        users: list[set[tuple[int, int]]] = [set() for _ in self.widths]
        for i, node in enumerate(self.nodes):
            for group, _ in node.spans:
                if group >= 0:
                    users[group].add((self.segment_of(i), node.block))
        return users

    def active(self, genes: Genes) -> Bools:
        active = np.ones(genes.shape, dtype=bool)
        for gene, users in enumerate(self._users, start=len(self.depths)):
            blocks = {block for _, block in users}
            if len(blocks) == 1 and -1 not in blocks:
                slot = self.blocks[blocks.pop()]
                active[:, gene] = genes[:, slot.stage] > slot.slot
        return active

    def used_genes(self, heads: Bools) -> Bools:
        first = [min(self.segment_of(b.node) for b in self._of(s)) for s in range(len(self.depths))]
        first += [min(segment for segment, _ in users) for users in self._users]
        used: Bools = self._reached(heads)[:, first]
        return used

    def _of(self, stage: int) -> Iterator[BlockSlot]:
        return (slot for slot in self.blocks if slot.stage == stage)

    def _reached(self, heads: Bools) -> Bools:
        """Which segments the programs compute, `(n, segments)`."""
        reached: Bools = np.logical_or.accumulate(heads[:, ::-1], axis=1)[:, ::-1]
        return reached

    # ---- operators -----------------------------------------------------------------------------

    def operators(self, genes: Genes, heads: Bools) -> Operators:
        """Those of the nodes in the order of the network, each exit's behind its node."""
        heads = np.broadcast_to(heads, (len(genes), self.n_exits + 1))
        n_depths = len(self.depths)
        values = {"d": genes[:, :n_depths].T, "w": genes[:, n_depths:].T}
        reached = self._reached(heads)
        net = OperatorBuilder(self.in_channels, self.resolution)
        maps = {0: net.image}
        for i, node in enumerate(self.nodes[1:], start=1):
            net.stage = self.segment_of(i)
            on = reached[:, net.stage] if i <= self.final else heads[:, -1]
            net.on = on & self.kept(node.block, values)
            maps[i] = self._operator(net, node, [maps[j] for j in node.inputs], values)
            if i in self.exits:
                k = self.exits.index(i)
                net.stage, net.on = k, heads[:, k]
                add_exit(net, maps[i], self.head_widths[k], self.head_side, self.n_classes)
        return net.done()

    def _operator(
        self, net: OperatorBuilder, node: Node, read: Sequence[Map], values: Mapping[str, Genes]
    ) -> Map:
        """Add the operator of a node, if it is one of its own; returns its output."""
        x, channels = read[0], n_channels(node.spans, list(values["w"]))
        if node.kind == "conv":
            kernel, groups = node.get("kernel"), self.conv_groups(node, x.channels, channels)
            if node.get("depthwise"):
                return net.slot("depthwise", x, channels, kernel, node.side)
            net.groups = groups
            made = net.slot("conv", x, channels, kernel, node.side)
            net.groups = 1
            return made
        if node.kind == "linear":
            return net.slot("linear" if node.side == 1 else "conv", x, channels, 1, node.side)
        if node.kind in POOLS:
            return net.slot("pool", x, channels, node.get("kernel") or x.side, node.side)
        if node.kind == "add" and len(read) == 2:
            return self._sum(net, node, read, channels)
        if node.kind in PASSES:
            joined = x if len(read) == 1 else x + read[1]
            return net.slot("scale", joined, channels, 1, node.side)
        slots = tuple(dict.fromkeys(slot for part in read for slot in part.slots))
        return Map(channels, node.side or x.side, slots)

    def _sum(self, net: OperatorBuilder, node: Node, read: Sequence[Map], channels: Any) -> Map:
        """A residual addition: part of the last convolution that it adds to."""
        for x, other in sorted(
            (tuple(read), tuple(read[::-1])), key=lambda p: -max(p[0].slots, default=-1)
        ):
            if len(x.slots) == 1 and net.slots[x.slots[0]].kind in ("conv", "depthwise"):
                fits = not other.slots or max(other.slots) < x.slots[0]
                if fits and not net.slots[x.slots[0]].residual:
                    return net.add_to(x, other)
        return net.slot("scale", read[0] + read[1], channels, 1, node.side)

    def conv_groups(self, node: Node, c_in: Any, c_out: Any) -> Any:
        """Groups of a convolution: their size stays, so that fewer channels are fewer groups."""
        groups = node.get("groups", 1)
        if groups == 1 or node.get("depthwise"):
            return groups if groups == 1 else c_in
        return c_in // node.get("per_group")
