"""One network at several pruning ratios: the space of an All-in-One supernet (arXiv:2212.05122).

The only gene is the ratio, the share of the multiply-accumulates (MACs) of the full network in
thousandths. Which channels a ratio keeps was learned; the space says how many.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from search_spaces.arrays import Ints
from search_spaces.errors import InputError
from search_spaces.operators import Map, OperatorBuilder
from search_spaces.resnet import ResNetSpace
from search_spaces.space import GeneGroup, Space
from search_spaces.stages import StagedSpace, Values
from search_spaces.subnet import Subnet

SMALLEST = 0.01  # about the share of the MACs of the thinnest stand-in
NAME = re.compile(r"(.+)-ratios((?:-r\d+w[\d.]+m[\d.]+)+)")


@dataclass(frozen=True)
class RatioSpace(StagedSpace):
    """A ResNet shaped as those of `base`, with the channels that each of `ratios` keeps.

    `widths` (ratios, stages) are those of the stages, the stem has the first; `mids` (ratios,
    blocks) those inside the blocks. Both rise with the ratio: what a ratio keeps is a part of what
    a larger one keeps. The early exits are those of `base`, whole at every ratio.
    """

    base: ResNetSpace
    ratios: tuple[int, ...]  # thousandths, rising
    widths: tuple[tuple[int, ...], ...]
    mids: tuple[tuple[int, ...], ...]

    block_letters = ""

    def __post_init__(self) -> None:
        stages, blocks = {len(row) for row in self.widths}, {len(row) for row in self.mids}
        rows = len(self.ratios), len(self.widths), len(self.mids)
        n_stages = self.base.n_stages
        if len(set(rows)) != 1 or stages != {n_stages} or any(n % n_stages for n in blocks):
            raise InputError(
                f"ratios of {self.base.name} need {n_stages} stage widths each and as many blocks "
                f"in every stage, got {self.widths} and {self.mids}"
            )
        parts = (np.array(self.ratios)[:, None], self._widths, self._mids)
        table = np.concatenate(parts, axis=1)
        steps = np.diff(table, axis=0)
        if max(self.ratios, default=0) > 1000:
            raise InputError(f"ratios are thousandths, 1000 at most, got {max(self.ratios)}")
        if (table < 1).any() or (steps < 0).any() or (steps[:, 0] < 1).any():
            raise InputError(f"ratios must rise and their channels with them, got {table.tolist()}")

    @classmethod
    def evenly_pruned(cls, base: ResNetSpace, n: int = 120) -> RatioSpace:
        """The largest network of `base` and about `n` that are thinner everywhere by one factor.

        Stand-ins for what masks will keep, to choose ratios before anything is trained. None is so
        small that masks would remove the narrowest layer.
        """
        largest = base.subnet(base.largest)
        widths = np.array([base.stage_width(s, largest) for s in range(base.n_stages)])
        sizes = [row for s in range(base.n_stages) for row in base.block_sizes(s, largest)]
        mids = np.array([mid for _, _, mid, _ in sizes])
        full, thin = base.macs(widths, mids), {}
        for factor in np.sqrt(np.geomspace(SMALLEST, 1, n)):
            w, m = (np.maximum(1, np.rint(factor * x)).astype(int) for x in (widths, mids))
            thin[round(1000 * base.macs(w, m) / full)] = tuple(w.tolist()), tuple(m.tolist())
        narrowest = min(*widths, *mids)
        thin = {r: kept for r, kept in thin.items() if math.sqrt(r / 1000) * narrowest >= 1}
        return cls(base, tuple(thin), *map(tuple, zip(*thin.values(), strict=True)))

    @property
    def name(self) -> str:  # type: ignore[override]
        """All that decides the space, so that a file needs the name alone."""
        dots = ".".join
        rows = zip(self.ratios, self.widths, self.mids, strict=True)
        parts = [f"r{r}w{dots(map(str, w))}m{dots(map(str, m))}" for r, w, m in rows]
        return "-".join([f"{self.base.name}-ratios", *parts])

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        return (GeneGroup("r", "ratio", (self.ratios,)),)

    @property
    def n_classes(self) -> int:  # type: ignore[override]
        return self.base.n_classes

    @property
    def in_channels(self) -> int:  # type: ignore[override]
        return self.base.in_channels

    @property
    def exits(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.base.exits

    @property
    def strides(self) -> tuple[int, ...]:
        return self.base.strides

    @property
    def head_side(self) -> int:  # type: ignore[override]
        return self.base.head_side

    @property
    def gene_stages(self) -> Ints:
        return np.array([-1])

    @property
    def stage_slots(self) -> tuple[int, ...]:
        n = len(self.widths[0])
        return (len(self.mids[0]) // n,) * n

    def stage_width(self, stage: int, values: Values) -> Any:
        return self._widths[self._index(values), stage]

    def block_sizes(self, stage: int, values: Values) -> Iterator[tuple[Any, ...]]:
        """Kept (always), then channels before, inside and behind each block."""
        c_in, c_out = (self.stage_width(s, values) for s in (max(stage - 1, 0), stage))
        for slot in range(self.stage_slots[stage]):
            yield True, c_in, self._mids[self._index(values), self.first_slot(stage) + slot], c_out
            c_in = c_out

    def exit_width(self, exit_: int) -> int:
        return self.base.exit_width(exit_)

    def projects(self, stage: int) -> bool:
        return self.base.projects(stage)

    def image_side(self, values: Values) -> int:
        return self.base.resolution

    def add_stem(self, net: OperatorBuilder, values: Values) -> Map:
        return net.conv(net.image, self.stage_width(0, values), 3)

    def add_block(self, net: OperatorBuilder, x: Map, stage: int, slot: int, *sizes: Any) -> Map:
        return self.base.add_block(net, x, stage, slot, *sizes)

    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        return self.in_channels, self.base.resolution, self.base.resolution

    @cached_property
    def _widths(self) -> Ints:
        return np.array(self.widths)

    @cached_property
    def _mids(self) -> Ints:
        return np.array(self.mids)

    def _index(self, values: Values) -> Any:
        """The row of each ratio."""
        return np.searchsorted(self.ratios, values["r"][0])


def ratio_space(name: str, find: Callable[[str], Space]) -> RatioSpace | None:
    """The space that `RatioSpace.name` wrote, None for another name; `find` knows its base."""
    found = NAME.fullmatch(name)
    base = find(found[1]) if found else None
    if not found or not isinstance(base, ResNetSpace):
        return None
    rows = [re.split("[rwm]", part)[1:] for part in found[2].split("-")[1:]]
    try:
        ratios = tuple(int(row[0]) for row in rows)
        widths, mids = (tuple(tuple(map(int, row[i].split("."))) for row in rows) for i in (1, 2))
    except ValueError:
        return None
    return RatioSpace(base, ratios, widths, mids)
