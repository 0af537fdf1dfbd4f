"""Elastic ResNet for small images: per-stage depth and width, per-block expand ratio, exits.

Basic blocks (He et al., 2016, arXiv:1512.03385) of two dense 3x3 convolutions whose inner width is
`expand` percent of the stage width; slimmable widths as in Yu et al., 2019 (arXiv:1812.08928); one
early exit behind every stage but the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from search_spaces.arrays import Ints
from search_spaces.errors import InputError
from search_spaces.operators import Map, OperatorBuilder
from search_spaces.space import GeneGroup
from search_spaces.stages import StagedSpace, Values
from search_spaces.subnet import Subnet

# Sides whose feature maps the early heads can pool evenly; 28 is MNIST's.
RESOLUTIONS = (8, 16, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224)


@dataclass(frozen=True)
class ResNetSpace(StagedSpace):
    """Stages at `strides`; every stage owns `max(depths)` block slots.

    Genes: `depth0..` blocks kept per stage, `width0..` channels per stage, `expand0..` percent per
    block slot (0 where the depth skips the slot). The stem has the width of the first stage.
    """

    name: str
    resolution: int
    in_channels: int
    n_classes: int
    widths: tuple[tuple[int, ...], ...]
    depths: tuple[int, ...]
    expands: tuple[int, ...]
    strides: tuple[int, ...]
    head_widths: tuple[int, ...]  # channels inside the heads of the early exits
    head_side: int = 8  # early heads pool their input to at most this side before their convolution

    block_letters = "e"

    @property
    def exits(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(range(len(self.widths) - 1))

    @property
    def slots(self) -> int:
        """Block slots of one stage."""
        return max(self.depths)

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        n = self.n_stages
        return (
            GeneGroup("d", "depth", (self.depths,) * n),
            GeneGroup("w", "width", self.widths),
            GeneGroup("e", "expand", (self.expands,) * (n * self.slots)),
        )

    @property
    def sides(self) -> tuple[int, ...]:
        """Side of the feature map of every stage, rounded up as padded convolutions do."""
        return tuple((-(-self.resolution // np.cumprod(self.strides))).tolist())

    def mid_width(self, width: Any, expand: Any) -> Any:
        """Channels inside a block: `expand` percent of `width`, a multiple of 4, at least 4."""
        return np.maximum(4, np.asarray(width) * expand // 400 * 4)

    @property
    def gene_stages(self) -> Ints:
        stages = np.arange(self.n_stages)
        return np.concatenate([stages, stages, np.repeat(stages, self.slots)])

    @property
    def stage_slots(self) -> tuple[int, ...]:
        return (self.slots,) * len(self.widths)

    def stage_width(self, stage: int, values: Values) -> Any:
        return values["w"][stage]

    def block_sizes(self, stage: int, values: Values) -> Iterator[tuple[Any, ...]]:
        """Kept, then channels before, inside and behind each block."""
        c_in, c_out = (values["w"][s] for s in (max(stage - 1, 0), stage))
        for b in range(self.slots):
            expand = values["e"][stage * self.slots + b]
            yield b < values["d"][stage], c_in, self.mid_width(c_out, expand), c_out
            c_in = c_out

    def exit_width(self, exit_: int) -> int:
        return self.head_widths[exit_]

    def projects(self, stage: int) -> bool:
        """Whether the stage's first block has a 1x1 convolution on its shortcut."""
        return stage > 0 or self.strides[0] != 1

    def image_side(self, values: Values) -> int:
        return self.resolution

    def add_stem(self, net: OperatorBuilder, values: Values) -> Map:
        return net.conv(net.image, values["w"][0], 3)

    def add_block(self, net: OperatorBuilder, x: Map, stage: int, slot: int, *sizes: Any) -> Map:
        """Two 3x3 convolutions, and a projection on the first shortcut where shapes change."""
        _, mid, c_out = sizes
        stride = 1 if slot else self.strides[stage]
        project = not slot and self.projects(stage)
        shortcut = net.conv(x, c_out, 1, stride) if project else x
        return net.conv(net.conv(x, mid, 3, stride), c_out, 3, add=shortcut)

    def macs(self, widths: Any, mids: Any) -> Any:
        """MACs with the channels `widths` of the stages and `mids` inside the blocks; no exits.

        Numbers, or any values that can be multiplied and added, as tensors with a gradient.
        """
        per_stage = len(mids) // self.n_stages
        stem = self.in_channels * widths[0] * 9 * self.resolution**2
        macs = stem + widths[-1] * self.n_classes
        for s, side in enumerate(self.sides):
            c_in, c_out = widths[max(s - 1, 0)], widths[s]
            if self.projects(s):
                macs = macs + c_in * c_out * side**2
            for mid in mids[s * per_stage : (s + 1) * per_stage]:
                macs = macs + (c_in + c_out) * mid * 9 * side**2
                c_in = c_out
        return macs

    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        return self.in_channels, self.resolution, self.resolution

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "resnet", **asdict(self)}


def resnet_cifar(n_classes: int = 10) -> ResNetSpace:
    """32x32 colour images: 4.0 million subnets from about 4 to 100 million MACs."""
    return ResNetSpace(
        name="resnet-cifar",
        resolution=32,
        in_channels=3,
        n_classes=n_classes,
        widths=((8, 12, 16), (24, 32, 40, 56), (48, 72, 96, 128), (96, 144, 192, 256)),
        depths=(1, 2),
        expands=(50, 75, 100),
        strides=(1, 2, 2, 2),
        head_widths=(48, 64, 96),
    )


def resnet_digits() -> ResNetSpace:
    """scikit-learn's 8x8 grey digits: small enough to train in seconds, with the same structure."""
    return ResNetSpace(
        name="resnet-digits",
        resolution=8,
        in_channels=1,
        n_classes=10,
        widths=((8, 16), (16, 24), (24, 32), (32, 48)),
        depths=(1, 2),
        expands=(50, 100),
        strides=(1, 2, 1, 2),
        head_widths=(16, 16, 24),
    )


def resnet_for(resolution: int, in_channels: int, n_classes: int) -> ResNetSpace:
    """The space for square images of `resolution` pixels, for example `resnet-28x28x1-10`.

    8x8 images get the shape of `resnet_digits`, larger ones that of `resnet_cifar`; strides keep
    the last map from 3 to 5 pixels up to 64x64. Ten classes of 32x32 colour images are
    `resnet-cifar`. InputError where `resolution` is none of RESOLUTIONS, or there is no class.
    """
    if n_classes < 1:
        raise InputError(f"a space needs at least one class, got {n_classes}")
    if resolution not in RESOLUTIONS:
        raise InputError(
            f"no space for {resolution}x{resolution} images; resolutions are "
            f"{', '.join(map(str, RESOLUTIONS))}"
        )
    shape = resnet_digits() if resolution == 8 else resnet_cifar()
    if (resolution, in_channels, n_classes) == (shape.resolution, shape.in_channels, 10):
        return shape
    if resolution < 24:
        strides: tuple[int, ...] = (1, 2, 1, 2)
    else:
        strides = (1, 2, 2, 2) if resolution < 48 else (2, 2, 2, 2)
    space = replace(
        shape,
        name=f"resnet-{resolution}x{resolution}x{in_channels}-{n_classes}",
        resolution=resolution,
        in_channels=in_channels,
        n_classes=n_classes,
        strides=strides,
    )
    early = space.sides[: space.n_exits]
    even = (h for h in range(8, 0, -1) if all(side <= h or side % h == 0 for side in early))
    return replace(space, head_side=next(even))
