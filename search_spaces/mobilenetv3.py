"""Once-for-all MobileNetV3: kernel and expand ratio per block, depth per stage, resolution.

Cai et al., 2020 (arXiv:1908.09791), over MobileNetV3-Large (Howard et al., 2019, arXiv:1905.02244).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.arrays import Bools, Ints
from search_spaces.errors import InputError
from search_spaces.ofa import Config, OnceForAllSpace, divisible_by_8, half
from search_spaces.operators import Operators, Slot
from search_spaces.space import GeneGroup, Genes
from search_spaces.subnet import Subnet

BASE_WIDTHS = (16, 16, 24, 40, 80, 112, 160, 960, 1280)  # stem, first block, stages, head


@dataclass(frozen=True)
class MobileNetV3Space(OnceForAllSpace):
    """Five stages of inverted residual blocks; every stage owns `max(depths)` block slots.

    Genes: `kernel0..` and `expand0..` per block slot (0 where the depth skips the slot), `depth0..`
    blocks kept per stage, `resolution0` the side of the image in pixels. Their order is the one in
    which progressive shrinking opens them.
    """

    width_mult: float = 1.0
    depths: tuple[int, ...] = (2, 3, 4)
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 4, 6)

    kind = "ofa-mobilenetv3"
    strides = (2, 2, 2, 1, 2)
    squeezes = (False, True, False, True, True)  # stages whose blocks squeeze and excite

    @property
    def family(self) -> str:
        return self.kind + (f"-w{self.width_mult:g}" if self.width_mult != 1 else "")

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Channels of stem, first block, the stages, and the two layers before the classifier."""
        return tuple(int(divisible_by_8(width * self.width_mult)) for width in BASE_WIDTHS)

    @property
    def widths(self) -> tuple[int, ...]:
        return self.layer_widths[2:7]

    @property
    def slots(self) -> int:
        """Block slots of one stage."""
        return max(self.depths)

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        n = len(self.strides)
        return (
            GeneGroup("k", "kernel", (self.kernels,) * (n * self.slots)),
            GeneGroup("d", "depth", (self.depths,) * n),
            GeneGroup("e", "expand", (self.expands,) * (n * self.slots)),
            GeneGroup("r", "resolution", (self.resolutions,)),
        )

    @property
    def gene_stages(self) -> Ints:
        stages = np.arange(len(self.strides))
        blocks = np.repeat(stages, self.slots)
        return np.concatenate([blocks, stages, blocks, [-1]])

    def active(self, genes: Genes) -> Bools:
        depth = self.by_letter(genes)["d"]
        kept = np.arange(self.slots) < depth[:, :, None]
        kept = kept.reshape(len(genes), self.n_stages * self.slots)  # an empty population too
        always = np.ones((len(genes), 1), dtype=bool)
        return np.concatenate(
            [kept, np.repeat(always, self.n_stages, axis=1), kept, always], axis=1
        )

    def mid_width(self, c_in: Any, expand: Any) -> Any:
        """Channels inside a block that has `c_in` before it."""
        return divisible_by_8(np.asarray(c_in) * expand)

    def squeeze_width(self, mid: Any) -> Any:
        """Channels inside the squeeze-excite of a block with `mid` channels."""
        return divisible_by_8(np.asarray(mid) // 4)

    def first_slot(self, stage: int) -> int:
        return stage * self.slots

    def blocks(self, stage: int) -> Iterator[tuple[int, int, int]]:
        """Input channels, output channels and stride of every block slot of `stage`."""
        width = self.widths[stage]
        yield self.layer_widths[1 + stage], width, self.strides[stage]
        yield from ((width, width, 1) for _ in range(self.slots - 1))

    # ---- operators ---------------------------------------------------------------------------

    def operators(self, genes: Genes, heads: Bools) -> Operators:
        heads = np.broadcast_to(heads, (len(genes), self.n_exits + 1))
        reached, genes_of = self.reached(heads), self.by_letter(genes)
        side_in = genes_of["r"][:, 0]
        side = half(side_in)
        stem, first = self.layer_widths[:2]
        slots = [
            Slot("conv", 0, self.in_channels, stem, 3, side_in, side),
            Slot("depthwise", 0, stem, stem, 3, side, side),
            Slot("conv", 0, stem, first, 1, side, side, residual=stem == first),
        ]
        for s, width in enumerate(self.widths):
            for b, (c_in, c_out, stride) in enumerate(self.blocks(s)):
                i = s * self.slots + b
                on = reached[:, s] & (b < genes_of["d"][:, s])
                kernel, mid = genes_of["k"][:, i], self.mid_width(c_in, genes_of["e"][:, i]) * on
                block = self._block_slots(s, c_in, mid, c_out * on, kernel, side, stride)
                slots, side = slots + block, half(side) if stride == 2 else side
            slots += self.head_slots(s, width, side, heads)
        return Operators.stack(slots + self._final_slots(side, heads[:, -1]))

    def _block_slots(
        self, s: int, c_in: int, mid: Ints, c_out: Ints, kernel: Ints, side_in: Ints, stride: int
    ) -> list[Slot]:
        k, side = self.segment(s), half(side_in) if stride == 2 else side_in
        slots = [
            Slot("conv", k, c_in, mid, 1, side_in, side_in),
            Slot("depthwise", k, mid, mid, kernel, side_in, side),
        ]
        if self.squeezes[s]:
            hidden = self.squeeze_width(mid) * (mid > 0)
            slots += [
                Slot("pool", k, mid, mid, side, side, 1),
                Slot("linear", k, mid, hidden, 1, 1, 1),
                Slot("linear", k, hidden, mid, 1, 1, 1),
                Slot("scale", k, mid, mid, 1, side, side),
            ]
        shortcut = stride == 1 and c_in == self.widths[s]
        return [*slots, Slot("conv", k, mid, c_out, 1, side, side, residual=shortcut)]

    def _final_slots(self, side: Ints, on: Bools) -> list[Slot]:
        k, (c_in, wide, mixed) = self.n_exits, self.layer_widths[-3:]
        return [
            Slot("conv", k, c_in, wide * on, 1, side, side),
            Slot("pool", k, wide, wide * on, side, side, 1),
            Slot("linear", k, wide, mixed * on, 1, 1, 1),
            Slot("linear", k, mixed, self.n_classes * on, 1, 1, 1),
        ]

    # ---- OFA's configurations ----------------------------------------------------------------

    def from_ofa(self, config: Config) -> Subnet:
        """Reads `{ks, e, d}` with `image_size` or `r`, each a list or one number for all.

        `wid` may be None or this space's width multiplier. Without a resolution it is the largest.
        """
        self.check_keys(config, ("ks", "e", "d", "image_size", "r", "wid"))
        if config.get("wid") not in (None, self.width_mult):
            raise InputError(
                f"wid {config['wid']} is another supernet than {self.name} ({self.width_mult:g})"
            )
        n = self.n_stages * self.slots
        row = [
            *self.read(config, "ks", n),
            *self.read(config, "d", self.n_stages),
            *self.read(config, "e", n),
            self.read_resolution(config),
        ]
        return self.subnet(row)

    def to_ofa(self, subnet: Subnet) -> dict[str, Any]:
        """`{"ks": [20], "e": [20], "d": [5], "image_size": r}`, as OFA's encoders write it."""
        ks, e, d = (list(subnet[letter]) for letter in "ked")
        return {"ks": ks, "e": e, "d": d, "image_size": subnet["r"][0]}
