"""Once-for-all ResNet50: depth and width per stage, expand ratio per block, stem, resolution.

Cai et al., 2020 (arXiv:1908.09791), over ResNet50-D (He et al., 2019, arXiv:1812.01187).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.arrays import Ints
from search_spaces.errors import InputError
from search_spaces.ofa import Config, OnceForAllSpace, divisible_by_8
from search_spaces.operators import ALWAYS, Map, OperatorBuilder, half
from search_spaces.presets import is_preset, resnet_config
from search_spaces.space import GeneGroup
from search_spaces.stages import Values
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
    block_letters = "e"
    strides = (1, 2, 2, 2)

    @property
    def width_choices(self) -> tuple[tuple[int, ...], ...]:
        """Channels by width index of OFA: inside the stem, behind it, of every stage."""
        bases = np.outer((STEM_WIDTHS[1], *STAGE_WIDTHS), self.width_mults)
        rows = divisible_by_8(bases).tolist()
        return tuple(map(tuple, [divisible_by_8(np.array(rows[0]) // 2).tolist(), *rows]))

    @property
    def widths(self) -> tuple[int, ...]:
        (chosen,) = (group.choices[2:] for group in self.groups if group.letter == "w")
        return tuple(map(max, chosen))

    @property
    def stage_slots(self) -> tuple[int, ...]:
        return tuple(base + max(self.extra_depths) for base in self.base_depths)

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        depths = tuple(tuple(b + d for d in self.extra_depths) for b in self.base_depths)
        widths = tuple(tuple(sorted(set(choices))) for choices in self.width_choices)
        return self.narrowed(
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

    def mid_width(self, width: Any, expand: Any) -> Any:
        """Channels inside a block: `expand` percent of the stage's `width`."""
        return divisible_by_8(np.rint(np.asarray(width) * expand / 100))

    def stage_width(self, stage: int, values: Values) -> Any:
        return values["w"][2 + stage]

    def block_sizes(self, stage: int, values: Values) -> Iterator[tuple[Any, ...]]:
        """Kept, then channels before, inside and behind each block."""
        c_in, c_out = values["w"][1 + stage], values["w"][2 + stage]
        for b in range(self.stage_slots[stage]):
            expand = values["e"][self.first_slot(stage) + b]
            yield b < values["d"][stage], c_in, self.mid_width(c_out, expand), c_out
            c_in = c_out

    # ---- operators ---------------------------------------------------------------------------

    def add_stem(self, net: OperatorBuilder, values: Values) -> Map:
        """Three 3x3 convolutions, the middle one with a shortcut or absent, and a max pool."""
        inner, behind = values["w"][0], values["w"][1]
        x = net.conv(net.image, inner, 3, 2)
        net.on = np.asarray(values["s"][0]) == 1
        x = net.conv(x, inner, 3, add=x)
        net.on = ALWAYS
        x = net.conv(x, behind, 3)
        return net.pool(x, 3, half(x.side))

    def add_block(self, net: OperatorBuilder, x: Map, stage: int, slot: int, *sizes: Any) -> Map:
        """1x1, 3x3, 1x1; the first shortcut of a stage pools, then projects."""
        (_, mid, c_out), stride = sizes, 1 if slot else self.strides[stage]
        shortcut = net.pool(x, 2, half(x.side)) if stride == 2 else x
        shortcut = x if slot else net.conv(shortcut, c_out, 1)
        y = net.conv(net.conv(x, mid, 1), mid, 3, stride)
        return net.conv(y, c_out, 1, add=shortcut)

    # ---- OFA's configurations ----------------------------------------------------------------

    def from_ofa(self, config: Config) -> Subnet:
        """Reads `{d: 5, e: 18, w: 6}` with `image_size` or `r`, each a list or one number for all.

        `d` holds the stem (its residual block stays at the largest value only) and the blocks over
        each stage's base; `e` are ratios, `w` indices into the width multipliers. A preset's
        `net.config`, a list of layers, is one too.
        """
        if is_preset(config):
            sizes = self.width_choices, self.base_depths, self.extra_depths
            config = resnet_config(config, *sizes)
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
