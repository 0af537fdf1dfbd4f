"""Once-for-all MobileNetV3: kernel and expand ratio per block, depth per stage, resolution.

Cai et al., 2020 (arXiv:1908.09791), over MobileNetV3-Large (Howard et al., 2019, arXiv:1905.02244).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from search_spaces.arrays import Ints
from search_spaces.errors import InputError
from search_spaces.ofa import Config, OnceForAllSpace, divisible_by_8
from search_spaces.operators import Map, OperatorBuilder
from search_spaces.presets import is_preset, preset_config
from search_spaces.space import GeneGroup
from search_spaces.stages import Values
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
    preset = "MobileNetV3"  # as `net.config` names the family
    base_widths = BASE_WIDTHS
    block_letters = "ke"
    strides: ClassVar[tuple[int, ...]] = (2, 2, 2, 1, 2)
    squeezes: ClassVar[tuple[bool, ...]] = (
        False,
        True,
        False,
        True,
        True,
    )  # stages whose blocks squeeze and excite

    @property
    def family(self) -> str:
        return self.kind + (f"-w{self.width_mult:g}" if self.width_mult != 1 else "")

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Channels of stem, first block, the stages, and the layers before the classifier."""
        return tuple(int(divisible_by_8(width * self.width_mult)) for width in self.base_widths)

    @property
    def widths(self) -> tuple[int, ...]:
        return self.layer_widths[2 : 2 + len(self.strides)]

    @property
    def stage_depths(self) -> tuple[tuple[int, ...], ...]:
        """Blocks that every stage may keep."""
        return (self.depths,) * len(self.strides)

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        n = sum(self.stage_slots)
        return self.narrowed(
            GeneGroup("k", "kernel", (self.kernels,) * n),
            GeneGroup("d", "depth", self.stage_depths),
            GeneGroup("e", "expand", (self.expands,) * n),
            GeneGroup("r", "resolution", (self.resolutions,)),
        )

    @property
    def gene_stages(self) -> Ints:
        stages = np.arange(len(self.strides))
        blocks = np.repeat(stages, self.stage_slots)
        return np.concatenate([blocks, stages, blocks, [-1]])

    @property
    def stage_slots(self) -> tuple[int, ...]:
        return tuple(map(max, self.stage_depths))

    def mid_width(self, c_in: Any, expand: Any) -> Any:
        """Channels inside a block that has `c_in` before it."""
        return divisible_by_8(np.asarray(c_in) * expand)

    def squeeze_width(self, mid: Any) -> Any:
        """Channels inside the squeeze-excite of a block with `mid` channels."""
        return divisible_by_8(np.asarray(mid) // 4)

    def stage_width(self, stage: int, values: Values) -> int:
        return self.widths[stage]

    def block_sizes(self, stage: int, values: Values) -> Iterator[tuple[Any, ...]]:
        """Kept, then channels before, kernel, channels inside, squeezed and behind each block."""
        c_in, c_out = self.layer_widths[1 + stage], self.widths[stage]
        for b in range(self.stage_slots[stage]):
            i = self.first_slot(stage) + b
            mid = self.mid_width(c_in, values["e"][i])
            kernel, squeezed = values["k"][i], self.squeeze_width(mid) * self.squeezes[stage]
            yield b < values["d"][stage], c_in, kernel, mid, squeezed, c_out
            c_in = c_out

    # ---- operators ---------------------------------------------------------------------------

    def add_stem(self, net: OperatorBuilder, values: Values) -> Map:
        """A 3x3 convolution, then a block that does not expand."""
        stem, first = self.layer_widths[:2]
        x = net.conv(net.image, stem, 3, 2)
        return net.conv(net.depthwise(x, 3), first, 1, add=x if stem == first else None)

    def add_block(self, net: OperatorBuilder, x: Map, stage: int, slot: int, *sizes: Any) -> Map:
        """Expand, depthwise, squeeze and excite, project; a shortcut where shapes agree."""
        (c_in, kernel, mid, squeezed, c_out), stride = sizes, 1 if slot else self.strides[stage]
        y = net.depthwise(net.conv(x, mid, 1), kernel, stride)
        if self.squeezes[stage]:
            y = net.scale(y, net.linear(net.linear(net.mean(y), squeezed), mid))
        return net.conv(y, c_out, 1, add=x if stride == 1 and c_in == c_out else None)

    def add_classifier(self, net: OperatorBuilder, x: Map) -> None:
        wide, mixed = self.layer_widths[-2:]
        x = net.mean(net.conv(x, wide, 1))
        net.linear(net.linear(x, mixed), self.n_classes)

    # ---- OFA's configurations ----------------------------------------------------------------

    def from_ofa(self, config: Config) -> Subnet:
        """Reads `{ks, e, d}` with `image_size` or `r`, each a list or one number for all.

        `wid` may be None or this space's width multiplier. Without a resolution it is the largest.
        A preset's `net.config`, a list of layers, is one too.
        """
        if is_preset(config):
            config = preset_config(config, self.preset, self.widths, self.stage_slots)
        self.check_keys(config, ("ks", "e", "d", "image_size", "r", "wid"))
        if config.get("wid") not in (None, self.width_mult):
            raise InputError(
                f"wid {config['wid']} is another supernet than {self.name} ({self.width_mult:g})"
            )
        n = sum(self.stage_slots)
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
