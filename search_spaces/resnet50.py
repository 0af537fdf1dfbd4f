"""Once-for-all ResNet50: depth and width per stage, expand ratio per block, stem, resolution.

Cai et al., 2020 (arXiv:1908.09791), over ResNet50-D (He et al., 2019, arXiv:1812.01187).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.arrays import Bools, Ints
from search_spaces.errors import InputError
from search_spaces.ofa import Config, OnceForAllSpace, divisible_by_8, half
from search_spaces.operators import Operators, Slot
from search_spaces.space import GeneGroup, Genes
from search_spaces.subnet import Subnet

STAGE_WIDTHS = (256, 512, 1024, 2048)
STEM_WIDTHS = (32, 64)  # inside the stem, behind it


@dataclass(frozen=True)
class ResNet50Space(OnceForAllSpace):
    """Four stages of bottleneck blocks; stage s owns `max(extra_depths)` slots over its base.

    Genes: `stem0` 1 where the stem has its residual block, `depth0..` blocks kept per stage,
    `width0..` channels inside the stem, behind it and of every stage, `expand0..` percent of the
    stage width inside a block (0 where the depth skips it), `resolution0` the side of the image.
    """

    head_width: int = 512
    width_mults: tuple[float, ...] = (0.65, 0.8, 1.0)
    base_depths: tuple[int, ...] = (2, 2, 4, 2)
    extra_depths: tuple[int, ...] = (0, 1, 2)
    expands: tuple[int, ...] = (20, 25, 35)

    kind = "ofa-resnet50"
    strides = (1, 2, 2, 2)

    @property
    def width_choices(self) -> tuple[tuple[int, ...], ...]:
        """Channels by width index of OFA: inside the stem, behind it, of every stage."""
        bases = np.outer((STEM_WIDTHS[1], *STAGE_WIDTHS), self.width_mults)
        rows = divisible_by_8(bases).tolist()
        return tuple(map(tuple, [divisible_by_8(np.array(rows[0]) // 2).tolist(), *rows]))

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(max(choices) for choices in self.width_choices[2:])

    @property
    def stage_slots(self) -> tuple[int, ...]:
        """Block slots of every stage."""
        return tuple(base + max(self.extra_depths) for base in self.base_depths)

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        depths = tuple(tuple(b + d for d in self.extra_depths) for b in self.base_depths)
        widths = tuple(tuple(sorted(set(choices))) for choices in self.width_choices)
        return (
            GeneGroup("s", "stem", ((0, 1),)),
            GeneGroup("d", "depth", depths),
            GeneGroup("w", "width", widths),
            GeneGroup("e", "expand", (self.expands,) * sum(self.stage_slots)),
            GeneGroup("r", "resolution", (self.resolutions,)),
        )

    @property
    def gene_stages(self) -> Ints:
        stages = np.arange(len(self.base_depths))
        blocks = np.repeat(stages, self.stage_slots)
        return np.concatenate([[-1], stages, [-1, -1], stages, blocks, [-1]])

    def active(self, genes: Genes) -> Bools:
        depth, active = self.by_letter(genes)["d"], np.ones_like(genes, dtype=bool)
        kept = [np.arange(n) < depth[:, [s]] for s, n in enumerate(self.stage_slots)]
        active[:, -1 - sum(self.stage_slots) : -1] = np.concatenate(kept, axis=1)
        return active

    def mid_width(self, width: Any, expand: Any) -> Any:
        """Channels inside a block: `expand` percent of the stage's `width`."""
        return divisible_by_8(np.rint(np.asarray(width) * expand / 100))

    def first_slot(self, stage: int) -> int:
        return sum(self.stage_slots[:stage])

    # ---- operators ---------------------------------------------------------------------------

    def operators(self, genes: Genes, heads: Bools) -> Operators:
        heads = np.broadcast_to(heads, (len(genes), self.n_exits + 1))
        reached, genes_of = self.reached(heads), self.by_letter(genes)
        image, width = genes_of["r"][:, 0], genes_of["w"]
        side = half(image)
        inner, c = width[:, 0], width[:, 1]
        slots = [
            Slot("conv", 0, self.in_channels, inner, 3, image, side),
            Slot("conv", 0, inner, inner * genes_of["s"][:, 0], 3, side, side, residual=True),
            Slot("conv", 0, inner, c, 3, side, side),
            Slot("pool", 0, c, c, 3, side, half(side)),
        ]
        side = half(side)
        for s, stride in enumerate(self.strides):
            c_out, side_in = width[:, 2 + s], side
            side = half(side) if stride == 2 else side
            for b in range(self.stage_slots[s]):
                on = reached[:, s] & (b < genes_of["d"][:, s])
                mid = self.mid_width(c_out, genes_of["e"][:, self.first_slot(s) + b]) * on
                sides = (side, side) if b else (side_in, side)
                slots += self._block_slots(s, c_out if b else c, mid, c_out * on, sides, b == 0)
            slots += self.head_slots(s, c_out, side, heads)
            c = c_out
        on = heads[:, -1]
        slots += [
            Slot("pool", self.n_exits, c, c * on, side, side, 1),
            Slot("linear", self.n_exits, c, self.n_classes * on, 1, 1, 1),
        ]
        return Operators.stack(slots)

    def _block_slots(
        self, s: int, c_in: Ints, mid: Ints, c_out: Ints, sides: tuple[Ints, Ints], project: bool
    ) -> list[Slot]:
        k, (side_in, side) = self.segment(s), sides
        slots = [
            Slot("conv", k, c_in, mid, 1, side_in, side_in),
            Slot("conv", k, mid, mid, 3, side_in, side),
            Slot("conv", k, mid, c_out, 1, side, side, residual=True),
        ]
        if not project:
            return slots
        shortcut = [Slot("conv", k, c_in, c_out, 1, side, side)]
        if self.strides[s] > 1:
            shortcut.insert(0, Slot("pool", k, c_in, c_in * (c_out > 0), 2, side_in, side))
        return shortcut + slots

    # ---- OFA's configurations ----------------------------------------------------------------

    def from_ofa(self, config: Config) -> Subnet:
        """Reads `{d: 5, e: 18, w: 6}` with `image_size` or `r`, each a list or one number for all.

        `d` holds the stem (its residual block stays at the largest value only) and the blocks over
        each stage's base; `e` are ratios, `w` indices into the width multipliers.
        """
        self.check_keys(config, ("d", "e", "w", "image_size", "r"))
        stem, *extra = self.read(config, "d", 1 + self.n_stages)
        indices = self.read(config, "w", len(self.width_choices))
        if not set(indices) <= set(range(len(self.width_mults))) or stem not in self.extra_depths:
            raise InputError(
                f"w of a configuration of {self.name} must lie in 0..{len(self.width_mults) - 1} "
                f"and d[0] in {self.extra_depths}, got w {indices} and d[0] {stem}"
            )
        row = [
            int(stem == max(self.extra_depths)),
            *np.add(self.base_depths, extra),
            *(c[int(i)] for c, i in zip(self.width_choices, indices, strict=True)),
            *(round(100 * e) for e in self.read(config, "e", sum(self.stage_slots), ratio=True)),
            self.read_resolution(config),
        ]
        return self.subnet(row)

    def to_ofa(self, subnet: Subnet) -> dict[str, Any]:
        """`{"d": [5], "e": [18], "w": [6], "image_size": r}`; equal widths take the lower index."""
        stem = max(self.extra_depths) if subnet["s"][0] else min(self.extra_depths)
        return {
            "d": [stem, *np.subtract(subnet["d"], self.base_depths).tolist()],
            "e": [percent / 100 for percent in subnet["e"]],
            "w": [c.index(w) for c, w in zip(self.width_choices, subnet["w"], strict=True)],
            "image_size": subnet["r"][0],
        }
