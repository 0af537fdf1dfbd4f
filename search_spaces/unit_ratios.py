"""One network at several pruning ratios whose units are smaller than channels: blocks, patterns.

A `block` is `g` output channels of one input and one tap. A `pattern` is 4 of the 9 taps of a 3x3
kernel, the same for `g` output channels; such a kernel keeps all its taps, its pattern, or nothing
(PatDNN, arXiv:2001.00138). Channels all stay, kernels skip what is zero (`supernets.kernels`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from search_spaces.arrays import Bools, Genes, Ints
from search_spaces.errors import InputError
from search_spaces.operators import DENSE, Operators
from search_spaces.ratios import RatioSpace
from search_spaces.resnet import ResNetSpace
from search_spaces.space import Space

UNITS = ("filter", "block", "pattern")
ROWS = {"block": 8, "pattern": 4}  # `g` where none is given: what an index may take, 1.05 of dense
NAME = re.compile(r"(.+)-ratios-(block|pattern)(\d+)((?:-r\d+d[\d.]+)+)")


@dataclass(frozen=True)
class UnitRatioSpace(RatioSpace):
    """The largest network of `base`; `densities` (ratios, layers) are percent of weights that stay.

    Layers are the convolutions between the stem and the classifier in the order of `operators`.
    The stem, the heads of early exits and the classifier are dense at every ratio.
    """

    unit: str = "block"
    g: int = ROWS["block"]
    densities: tuple[tuple[int, ...], ...] = ()

    measured_alone = True
    units: ClassVar[tuple[str, ...]] = UNITS  # what ratios can be of; filters are `RatioSpace`'s

    @classmethod
    def of(
        cls,
        base: ResNetSpace,
        ratios: tuple[int, ...],
        unit: str,
        g: int = 0,
        densities: tuple[tuple[int, ...], ...] = (),
    ) -> UnitRatioSpace:
        """The space of `ratios` (thousandths, rising), dense without `densities`; `g` 0: as usual.

        InputError: no such unit, or `g` does not divide the channels of a layer.
        """
        if unit not in ROWS:
            raise InputError(f"`unit` must be one of {', '.join(UNITS)}, got {unit!r}")
        g = g or ROWS[unit]
        largest = base.subnet(base.largest)
        stages = range(base.n_stages)
        widths = tuple(int(base.stage_width(s, largest)) for s in stages)
        mids = tuple(int(mid) for s in stages for _, _, mid, _ in base.block_sizes(s, largest))
        for n in dict.fromkeys((*widths, *mids)):
            if g < 1 or n % g:
                raise InputError(
                    f"`g` must divide the channels of every layer, got {g}, and a layer of "
                    f"{base.name} has {n}"
                )
        n = len(ratios)
        n_layers = len(mids) * 2 + sum(map(base.projects, stages))
        densities = densities or ((DENSE,) * n_layers,) * n
        return cls(base, ratios, (widths,) * n, (mids,) * n, unit, g, densities)

    def __post_init__(self) -> None:
        super().__post_init__()
        table = np.array(self.densities)
        if table.shape != (len(self.ratios), len(self.unit_slots)):
            raise InputError(
                f"{len(self.ratios)} ratios of {self.base.name} need densities of "
                f"{len(self.unit_slots)} layers each, got {[len(row) for row in self.densities]}"
            )
        if (table < 1).any() or (table > DENSE).any() or (np.diff(table, axis=0) < 0).any():
            raise InputError(f"densities must be percent and rise, got {table.tolist()}")

    @property
    def name(self) -> str:  # type: ignore[override]
        rows = zip(self.ratios, self.densities, strict=True)
        parts = [f"r{r}d{'.'.join(map(str, d))}" for r, d in rows]
        return "-".join([f"{self.base.name}-ratios-{self.unit}{self.g}", *parts])

    @cached_property
    def unit_slots(self) -> tuple[int, ...]:
        """Slots of `operators` that hold units."""
        last = np.arange(self.n_exits + 1) == self.n_exits
        dense = super().operators(self.largest, last[None])
        return tuple(
            i for i, kind in enumerate(dense.kinds) if i and kind == "conv" and dense.present[0, i]
        )

    def operators(self, genes: Genes, heads: Bools) -> Operators:
        dense = super().operators(genes, heads)
        density = np.array(dense.density)
        kept = np.array(self.densities)[self._index(self.by_letter(genes))]
        slots = list(self.unit_slots)
        density[:, slots] = np.where(dense.present[:, slots], kept, density[:, slots])
        return replace(dense, density=density)

    def layer_macs(self) -> Ints:
        """MACs of every layer that holds units, (layers,), dense."""
        return self._dense_macs[list(self.unit_slots)]

    def other_macs(self) -> int:
        """MACs that every ratio has: those of the stem and of the classifier."""
        return int(self._dense_macs.sum() - self.layer_macs().sum())

    @cached_property
    def _dense_macs(self) -> Ints:
        last = np.arange(self.n_exits + 1) == self.n_exits
        macs: Ints = super().operators(self.largest, last[None]).macs[0]
        return macs


def unit_ratio_space(name: str, find: Callable[[str], Space]) -> UnitRatioSpace | None:
    """The space that `UnitRatioSpace.name` wrote, None for another name; `find` knows its base."""
    found = NAME.fullmatch(name)
    base = find(found[1]) if found else None
    if not found or type(base) is not ResNetSpace:
        return None
    rows = [re.split("[rd]", part)[1:] for part in found[4].split("-")[1:]]
    try:
        densities = tuple(tuple(map(int, kept.split("."))) for _, kept in rows)
    except ValueError:
        return None
    ratios = tuple(int(ratio) for ratio, _ in rows)
    return UnitRatioSpace.of(base, ratios, found[2], int(found[3]), densities)
