"""An elastic ResNet whose stages are pruned in blocks, each by a share of its own.

A block is `g` output channels of one input and may start at any row (arXiv:2407.19644); kernels
skip what no block holds (`supernets.kernels`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from search_spaces.arrays import Bools, Genes, Ints
from search_spaces.errors import InputError
from search_spaces.operators import DENSE, Operators
from search_spaces.resnet import ResNetSpace
from search_spaces.space import GeneGroup, Space

NAME = re.compile(r"(.+)-blocks(\d+)-([\d.]+)")


@dataclass(frozen=True)
class BlockSparseSpace(ResNetSpace):
    """The genes of a `ResNetSpace`, and `density` of every stage: percent of weights in blocks.

    A stage is the blocks up to an exit, and the exit's head. At 100 its layers are dense.
    """

    g: int = 4
    densities: tuple[int, ...] = (10, 20, 30, DENSE)  # rising

    measured_alone = True
    dense: ClassVar[int] = DENSE  # the density at which nothing is pruned

    @classmethod
    def of(cls, base: ResNetSpace, g: int, densities: tuple[int, ...]) -> BlockSparseSpace:
        """`base` with blocks of `g` rows; InputError names what is wrong with either number."""
        known = {field.name: getattr(base, field.name) for field in fields(ResNetSpace)}
        levels = tuple(sorted(set(densities)))
        name = f"{base.name}-blocks{g}-{'.'.join(map(str, levels))}"
        return cls(**{**known, "name": name}, g=g, densities=levels)

    def __post_init__(self) -> None:
        most = min(map(min, self.widths))
        if not 1 <= self.g <= most:
            raise InputError(
                f"`g` must be 1 to {most}, the channels of the narrowest stage, got {self.g}"
            )
        if not self.densities or not 1 <= min(self.densities) <= max(self.densities) <= DENSE:
            raise InputError(
                f"`densities` must be percent from 1 to {DENSE}, got {list(self.densities)}"
            )

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        densities = (self.densities,) * self.n_stages
        return (*super().groups, GeneGroup("b", "density", densities))

    @property
    def gene_stages(self) -> Ints:
        return np.concatenate([super().gene_stages, np.arange(self.n_stages)])

    def operators(self, genes: Genes, heads: Bools) -> Operators:
        """Those of the dense network, with the density of every layer that holds blocks."""
        dense = super().operators(genes, heads)
        conv = np.array([kind == "conv" for kind in dense.kinds])
        sparse = conv & self.holds_blocks(dense.c_in, dense.c_out, self.g)
        chosen = self.by_letter(genes)["b"][list(dense.stages)].T
        return replace(dense, density=np.where(sparse, chosen, dense.density))

    @staticmethod
    def holds_blocks(c_in: Any, c_out: Any, g: int) -> Any:
        """Whether a convolution of these channels is pruned: not one that reads the image."""
        return (c_in > 4) & (c_out >= g)

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "kind": "blocks"}


def block_sparse_space(name: str, find: Callable[[str], Space]) -> BlockSparseSpace | None:
    """The space that `of` named, None for another name; `find` knows its base."""
    found = NAME.fullmatch(name)
    base = find(found[1]) if found else None
    if not found or type(base) is not ResNetSpace:
        return None
    densities = tuple(int(part) for part in found[3].split(".") if part)
    return BlockSparseSpace.of(base, int(found[2]), densities)
