"""Spaces whose networks are stages of block slots, with a classifier behind some of the stages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from search_spaces.arrays import Bools, Genes, Ints
from search_spaces.operators import Map, OperatorBuilder, Operators
from search_spaces.space import Space
from search_spaces.subnet import Subnet

Values = Subnet | Mapping[str, Genes]
"""Values by letter and slot: numbers of one subnet, or arrays (n,) of a population."""


class StagedSpace(Space):
    """Stages of block slots; a depth gene keeps the first blocks of its stage.

    A concrete space says with which sizes a subnet uses a block (`block_sizes`, which its supernet
    asks too) and which operators a block of these sizes has. Segment k ends at exit k.
    """

    in_channels: int
    exits: tuple[int, ...]  # stages (0-based) that carry an early exit
    block_letters: str  # of the groups that have one gene for every block slot
    head_side: int  # early heads pool a larger input to about this side before their convolution

    @property
    @abstractmethod
    def gene_stages(self) -> Ints:
        """The stage of every gene, -1 for those that all programs depend on, `(genes,)`."""

    @property
    @abstractmethod
    def stage_slots(self) -> tuple[int, ...]:
        """Block slots of every stage."""

    @abstractmethod
    def stage_width(self, stage: int, values: Values) -> Any:
        """Channels behind `stage`."""

    @abstractmethod
    def block_sizes(self, stage: int, values: Values) -> Iterator[tuple[Any, ...]]:
        """For every block slot of `stage`: whether it is kept, then the sizes of its layers."""

    @abstractmethod
    def exit_width(self, exit_: int) -> int:
        """Channels inside the head of an early exit."""

    @abstractmethod
    def image_side(self, values: Values) -> Any:
        """Side of the image."""

    # ---- genes ---------------------------------------------------------------------------------

    @property
    def n_stages(self) -> int:
        return len(self.stage_slots)

    @property
    def n_exits(self) -> int:  # type: ignore[override]
        return len(self.exits)

    def first_slot(self, stage: int) -> int:
        """The index of the stage's first block among all block slots."""
        return sum(self.stage_slots[:stage])

    def segment(self, stage: int) -> int:
        """The segment that computes `stage`."""
        return sum(stage > exit_ for exit_ in self.exits)

    def stages(self, segment: int) -> range:
        """The stages of a segment."""
        ends = [0, *(exit_ + 1 for exit_ in self.exits), self.n_stages]
        return range(ends[segment], ends[segment + 1])

    def reached(self, heads: Bools) -> Bools:
        """Which stages the programs compute: all up to their deepest exit, `(n, n_stages)`."""
        segments = np.logical_or.accumulate(heads[:, ::-1], axis=1)[:, ::-1]
        return segments[:, [self.segment(stage) for stage in range(self.n_stages)]]

    def used_genes(self, heads: Bools) -> Bools:
        used: Bools = (self.gene_stages < 0) | self.reached(heads)[:, self.gene_stages]
        return used

    def by_letter(self, genes: Genes) -> dict[str, Genes]:
        """The genes of every group, `(slots, n)` by its letter."""
        ends = np.cumsum([len(group.choices) for group in self.groups])[:-1]
        parts = np.split(genes.T, ends)
        return {group.letter: part for group, part in zip(self.groups, parts, strict=True)}

    @cached_property
    def _places(self) -> tuple[Ints, Ints]:
        """Of every gene: the column of its stage's depth, and its slot in that stage `(genes,)`.

        The slot of a gene that no depth skips is below any depth.
        """
        letters = [group.letter for group in self.groups for _ in group.choices]
        depths = np.flatnonzero([letter == "d" for letter in letters])
        stage = np.repeat(np.arange(self.n_stages), self.stage_slots)
        column = np.zeros(len(letters), dtype=np.int64)
        slot = np.full(len(letters), np.iinfo(np.int64).min)
        for letter in self.block_letters:
            own = [x == letter for x in letters]
            column[own] = depths[stage]
            slot[own] = np.concatenate([np.arange(n) for n in self.stage_slots])
        return column, slot

    def active(self, genes: Genes) -> Bools:
        column, slot = self._places
        active: Bools = genes[:, column] > slot
        return active

    # ---- operators -------------------------------------------------------------------------------

    @abstractmethod
    def add_stem(self, net: OperatorBuilder, values: Values) -> Map:
        """Add what comes before the first stage; returns its output."""

    @abstractmethod
    def add_block(self, net: OperatorBuilder, x: Map, stage: int, slot: int, *sizes: Any) -> Map:
        """Add a block of `sizes` behind `x`; returns its output."""

    def operators(self, genes: Genes, heads: Bools) -> Operators:
        """Stem, blocks and heads in the order in which they run."""
        heads = np.broadcast_to(heads, (len(genes), self.n_exits + 1))
        reached, values = self.reached(heads), self.by_letter(genes)
        net = OperatorBuilder(self.in_channels, self.image_side(values))
        x = self.add_stem(net, values)
        for s in range(self.n_stages):
            net.stage = self.segment(s)
            for slot, (kept, *sizes) in enumerate(self.block_sizes(s, values)):
                net.on = reached[:, s] & kept
                x = self.add_block(net, x, s, slot, *sizes)
            if s in self.exits:
                net.on = heads[:, net.stage]
                self.add_exit(net, x, self.exit_width(net.stage))
        net.on = heads[:, -1]
        self.add_classifier(net, x)
        return net.done()

    def add_exit(self, net: OperatorBuilder, x: Map, hidden: int) -> None:
        """Add the head of an early exit."""
        add_exit(net, x, hidden, self.head_side, self.n_classes)

    def add_classifier(self, net: OperatorBuilder, x: Map) -> None:
        """Add the last head."""
        net.linear(net.mean(x), self.n_classes)


def add_exit(net: OperatorBuilder, x: Map, hidden: int, side: int, n_classes: int) -> None:
    """Add the head of an early exit: pool to `side`, 3x3 convolution of stride 2, classifier."""
    on, factor = net.on, np.maximum(1, x.side // side)
    if np.ndim(factor) or factor > 1:  # of subnets that differ in their resolution some pool
        net.on = on & (factor > 1)
        x = net.pool(x, factor, x.side // factor)
    net.on = on
    x = net.conv(x, hidden, 3, 2)
    net.linear(net.mean(x), n_classes)
