"""Pruning ratios of blocks and patterns: dense weights, and of every unit how many ratios keep it.

That number takes 7/3 bits for five ratios, so the file is little larger than the dense network's.
Batch norm is a ratio's own, as with channels (`supernets.all_in_one`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search_spaces import InputError, Subnet, UnitRatioSpace
from supernets.all_in_one import AllInOneSupernet
from supernets.blocks import ElasticBasicBlock
from supernets.channels import Channels, Slice
from supernets.elastic import ElasticConv2d, plain_conv
from supernets.layers import Sized, changed
from supernets.supernet import Program

TAPS = 9
# beside the middle: two sides and the corner between them, or three sides
PATTERNS = ((0, 1, 3), (1, 2, 5), (3, 6, 7), (5, 7, 8), (1, 3, 5), (1, 3, 7), (1, 5, 7), (3, 5, 7))


class UnitConv2d(ElasticConv2d):
    """A convolution of units of `g` rows, each of which the first of `n_ratios` ratios keep.

    Blocks are numbered by row, input and tap. A 3x3 kernel of patterns is two units: its pattern,
    and, behind all of these, its other five taps, which no ratio keeps without the pattern. 1x1
    kernels are blocks always. `index` holds the numbers of ratios and `patterns` those of patterns,
    packed into bits (`pack_digits`). With `dense` the first ratio keeps everything.
    """

    index: Tensor
    patterns: Tensor

    def __init__(
        self, conv: ElasticConv2d, g: int, n_ratios: int, *, dense: bool, pattern: bool
    ) -> None:
        nn.Module.__init__(self)
        self.stride, self.padding, self.n_groups = conv.stride, conv.padding, conv.n_groups
        self.weight, self.g, self.least = conv.weight, g, int(dense)
        self.n_levels = n_ratios - self.least + 1
        c_out, c_in, kernel, _ = conv.weight.shape
        self.shape = c_out // g, c_in, kernel * kernel
        self.n_kernels = c_out // g * c_in if pattern and kernel * kernel == TAPS else 0
        self.n_units = 2 * self.n_kernels or int(np.prod(self.shape))
        self._kept: dict[int, Tensor] = {}  # by the ratio's place
        self.register_buffer("index", pack_digits(torch.zeros(self.n_units), self.n_levels))
        if self.n_kernels:
            first = torch.zeros(self.n_kernels)
            self.register_buffer("patterns", pack_digits(first, len(PATTERNS)))
        self.register_load_state_dict_post_hook(_forget)  # type: ignore[no-untyped-call]

    @property
    def levels(self) -> Tensor:
        """How many ratios keep each unit, (units,)."""
        return unpack_digits(self.index, self.n_units, self.n_levels) + self.least

    def set_levels(self, levels: Tensor) -> None:
        self.index.copy_(pack_digits(levels - self.least, self.n_levels))
        self._kept.clear()

    @property
    def sizes(self) -> Tensor:
        """Weights of each unit, (units,)."""
        if not self.n_kernels:
            return torch.full((self.n_units,), self.g)
        both = torch.tensor([len(PATTERNS[0]) + 1, TAPS - len(PATTERNS[0]) - 1])
        return self.g * both.repeat_interleave(self.n_kernels)

    @torch.no_grad()
    def choose_patterns(self) -> None:
        """Give every kernel the pattern that has most of its |w|."""
        if self.n_kernels:
            cells = self._cells().flatten(0, 1)
            worth = [cells[:, [4, *taps]].sum(dim=1) for taps in PATTERNS]
            best = torch.stack(worth).argmax(dim=0)
            self.patterns.copy_(pack_digits(best, len(PATTERNS)))

    @torch.no_grad()
    def worth(self) -> Tensor:
        """The mean |w| of each unit, (units,)."""
        cells = self._cells()
        sums = torch.zeros(self.n_units).index_add_(0, self._unit_of().flatten(), cells.flatten())
        return sums / self.sizes

    def expand(self, units: Tensor) -> Tensor:
        """What each unit has (units,) as what each weight has."""
        cells = units[self._unit_of()] if self.n_kernels else units.view(self.shape)
        return cells.repeat_interleave(self.g, dim=0).view(self.weight.shape)

    def kept(self, k: int) -> Tensor:
        """The weight at the k-th ratio, zero where it keeps no unit."""
        if k not in self._kept:
            self._kept[k] = self.expand(self.levels > k)
        return self.weight * self._kept[k].to(self.weight.device)

    def forward(  # type: ignore[override]
        self, x: Tensor, c_in: Channels, c_out: Channels, ratio: int | Tensor
    ) -> Tensor:
        """Map (N, c_in, H, W) at the k-th ratio, or with a mask of units (units,)."""
        whole = isinstance(ratio, Tensor)
        weight = self.weight * self.expand(ratio) if whole else self.kept(ratio)  # type: ignore[arg-type]
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding)

    def static(  # type: ignore[override]
        self, c_in: Channels, c_out: Channels, ratio: int
    ) -> nn.Module:
        return plain_conv(self.kept(ratio), self.stride)

    def slices(self, *sizes: Channels) -> list[Slice]:
        c_in, c_out, ratio = sizes
        if int(ratio) >= self.least:
            raise InputError("weights that are pruned in blocks have no slices")
        return super().slices(c_in, c_out)

    def _cells(self) -> Tensor:
        """The sum of |w| over the rows of a unit, (rows, inputs, taps)."""
        rows, c_in, taps = self.shape
        return self.weight.detach().abs().reshape(rows, self.g, c_in, taps).sum(dim=1)

    def _unit_of(self) -> Tensor:
        """The unit of every cell, (rows, inputs, taps)."""
        if not self.n_kernels:
            return torch.arange(self.n_units).view(self.shape)
        inside = torch.zeros(len(PATTERNS), TAPS, dtype=torch.bool)
        for i, taps in enumerate(PATTERNS):
            inside[i, [4, *taps]] = True
        chosen = unpack_digits(self.patterns, self.n_kernels, len(PATTERNS))
        kernel = torch.arange(self.n_kernels)[:, None]
        return torch.where(inside[chosen], kernel, kernel + self.n_kernels).view(self.shape)


class UnitSupernet(AllInOneSupernet):
    """A ResNet whose convolutions between stem and classifier are pruned in units of `space`."""

    space: UnitRatioSpace

    def __init__(self, space: UnitRatioSpace) -> None:
        super().__init__(space)
        self.block_rows = space.g
        known = {"dense": space.ratios[-1] == 1000, "pattern": space.unit == "pattern"}
        names = {module: name for name, module in self.named_modules()}
        for conv in self._convolutions():
            layer = UnitConv2d(conv, space.g, len(space.ratios), **known)
            self.set_submodule(names[conv], layer)
        generator = torch.Generator().manual_seed(0)
        for layer, shares in zip(self.unit_layers.values(), self._shares(), strict=True):
            worth = torch.rand(layer.n_units, generator=generator)  # stand for trained weights
            worth = first_before_second(worth, layer.n_kernels)
            layer.set_levels(levels_at(worth, layer.sizes, shares))

    @property
    def unit_layers(self) -> dict[str, UnitConv2d]:
        """The layers that hold units by name, in the order of the space's densities."""
        names = {module: name for name, module in self.named_modules()}
        return {names[conv]: cast(UnitConv2d, conv) for conv in self._convolutions()}

    def tensor_bytes(self, bytes_each: int = 2) -> int:
        """What a checkpoint holds behind its header: weights, batch norm per ratio, and the index.

        That is 2 (W + sum of 4 C) bytes as with channels, and in every layer what the numbers of
        units and patterns take (`pack_digits`), rounded up to bytes.
        """
        packed = [b.numel() for b in self.buffers() if b.dtype == torch.uint8]
        return super().tensor_bytes(bytes_each) + sum(packed)

    def _listed(self, subnet: Subnet, wanted: Sequence[int]) -> Program:
        return at_ratio(super()._listed(subnet, wanted), {}, self.place(subnet))

    def _convolutions(self) -> list[ElasticConv2d]:
        """In the order of the operators: a block's shortcut first."""
        blocks = [cast(ElasticBasicBlock, b) for s in self.stages for b in cast(nn.ModuleList, s)]
        found = [conv for b in blocks for conv in (b.project, b.conv1, b.conv2)]
        return [conv for conv in found if conv is not None]

    def _shares(self) -> list[list[float]]:
        """Of the weights of every layer that stay, at falling ratios."""
        return [
            [percent / 100 for percent in row[::-1]]
            for row in zip(*self.space.densities, strict=True)
        ]


def at_ratio(program: Program, masks: dict[nn.Module, Tensor], k: int) -> Program:
    """`program` with the layers of units at the k-th ratio, or with a mask where `masks` has it."""

    def chosen(item: Sized) -> Sized:
        if not isinstance(item.layer, UnitConv2d):
            return item
        return Sized(item.layer, (*item.sizes[:2], masks.get(item.layer, k)))

    return [(exit_, changed(trunk, chosen), head) for exit_, trunk, head in program]


def levels_at(worth: Tensor, sizes: Tensor, shares: Sequence[float]) -> Tensor:
    """How many of the falling `shares` of the weights keep each unit, the best ones longest."""
    order = worth.argsort(descending=True, stable=True)
    above = sizes[order].cumsum(0)[:, None] <= torch.tensor(shares) * int(sizes.sum()) + 1e-6
    above[0] = True  # no layer is removed
    levels = torch.empty(len(worth), dtype=torch.int64)
    levels[order] = above.sum(dim=1)
    return levels


def first_before_second(scores: Tensor, n: int) -> Tensor:
    """Scores of `n` units and of as many that must not outlast them; all of them for 0."""
    if not n:
        return scores
    return torch.cat([scores[:n], torch.minimum(scores[:n], scores[n:])])


def pack_digits(values: Tensor, base: int) -> Tensor:
    """Whole numbers (n,) below `base` as bytes, a few of them together in a word of few bits.

    Five levels take 7 bits for three (5^3 is below 2^7) instead of 3 bits each. Words lie plane
    after plane, the lowest bits first, and the last one is filled up with zeros.
    """
    digits, bits = _word(base)
    filled = np.zeros((-(-len(values) // digits), digits), dtype=np.int64)
    filled.reshape(-1)[: len(values)] = values.cpu().numpy()
    words = filled @ base ** np.arange(digits)
    planes = (words >> np.arange(bits)[:, None]) & 1
    return torch.from_numpy(np.packbits(planes.astype(np.uint8)))


def unpack_digits(packed: Tensor, n: int, base: int) -> Tensor:
    """The numbers (n,) that `pack_digits` wrote."""
    digits, bits = _word(base)
    n_words = -(-n // digits)
    planes = np.unpackbits(packed.cpu().numpy(), count=bits * n_words).reshape(bits, n_words)
    words = (1 << np.arange(bits)) @ planes.astype(np.int64)
    values = words[:, None] // base ** np.arange(digits) % base
    return torch.from_numpy(values.reshape(-1)[:n])


def _word(base: int) -> tuple[int, int]:
    """How many numbers below `base` make a word, at most eight, and its bits, fewest for each."""
    bits = {digits: (base**digits - 1).bit_length() for digits in range(1, 9)}
    digits = min(bits, key=lambda digits: bits[digits] / digits)
    return digits, bits[digits]


def _forget(layer: UnitConv2d, _: object) -> None:
    layer._kept.clear()
