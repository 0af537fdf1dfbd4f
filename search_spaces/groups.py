"""Networks of G groups side by side: a configuration keeps the first of them.

Every convolution behind the image is split into G groups, and group i reads group i alone, so the
first i groups are a network of their own (Xun et al., 2020, arXiv:2105.03600). Two shapes: basic
residual blocks, and convolutions behind max pools like those of AlexNet (Krizhevsky et al., 2012).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from math import gcd
from numbers import Integral
from typing import Any, ClassVar

import numpy as np

from search_spaces.arrays import Ints
from search_spaces.errors import InputError
from search_spaces.operators import Map, OperatorBuilder
from search_spaces.resnet import ResNetSpace, resnet_for
from search_spaces.space import GeneGroup, Space
from search_spaces.stages import StagedSpace, Values
from search_spaces.subnet import Subnet

SHAPES = ("resnet", "alexnet")


@dataclass(frozen=True)
class GroupSpace(StagedSpace):
    """One gene, `groups`: how many of the `n_groups` are computed. Widths are those of all.

    The first layer is split as well, but every group of it reads the whole image; the classifier
    adds what the groups say. Parameters and MACs are therefore proportional to the gene, but for
    the classifier's bias, which belongs to the first group.
    """

    name: str
    n_groups: int
    resolution: int
    in_channels: int
    n_classes: int
    stem: int  # channels of the first layer
    widths: tuple[int, ...]  # of every stage
    slots: tuple[int, ...]  # blocks of every stage
    strides: tuple[int, ...]
    residual: bool  # basic blocks; else convolutions, and strides are max pools before them
    exits: tuple[int, ...] = ()  # stages that carry an early exit
    head_widths: tuple[int, ...] = ()  # channels inside the heads of the early exits
    head_side: int = 8  # early heads pool their input to at most this side

    shapes: ClassVar[tuple[str, ...]] = SHAPES  # that groups come in, besides an elastic ResNet's
    block_letters = ""  # no block is ever skipped

    @classmethod
    def of(
        cls,
        shape: str | Space,
        groups: int,
        resolution: int = 32,
        in_channels: int = 3,
        n_classes: int = 10,
    ) -> GroupSpace:
        """`groups` groups in the shape "resnet" (the zoo's, at its largest) or "alexnet".

        An elastic ResNet's space stands for its largest network. InputError names what is wrong: an
        unknown shape, a space of other blocks, a width `groups` does not divide.
        """
        groups = _whole("groups", groups)
        resolution = _whole("resolution", resolution)
        in_channels = _whole("in_channels", in_channels)
        n_classes = _whole("n_classes", n_classes)
        if shape == "alexnet":
            return _alexnet(groups, resolution, in_channels, n_classes)
        if shape == "resnet":
            images = f"{resolution}x{resolution}x{in_channels}-{n_classes}"
            space = _wide(resnet_for(resolution, in_channels, n_classes))
            return _resnet(space, groups, f"resnet-g{groups}-{images}")
        if isinstance(shape, ResNetSpace):
            return _resnet(shape, groups, f"{shape.name}-g{groups}")
        if isinstance(shape, Space):
            raise InputError(f"{shape.name} cannot be grouped; {' and '.join(SHAPES)} can")
        raise InputError(f"`shape` must be one of {', '.join(SHAPES)}, got {shape!r}")

    def __post_init__(self) -> None:
        _whole("groups", self.n_groups)
        for layer, width in self.layer_widths().items():
            if width % self.n_groups:
                most = gcd(*self.layer_widths().values())
                possible = [g for g in range(1, most + 1) if most % g == 0]
                raise InputError(
                    f"`groups` {self.n_groups} does not divide the {width} channels of {layer} of "
                    f"{self.name}; {', '.join(map(str, possible))} divide every layer"
                )

    def layer_widths(self) -> dict[str, int]:
        """Channels by the name of the layers that have them."""
        stages = {f"stages.{s}": width for s, width in enumerate(self.widths)}
        heads = {f"heads.{k}": width for k, width in enumerate(self.head_widths)}
        return {"stem": self.stem, **stages, **heads}

    def first(self, n: int) -> GroupSpace:
        """The first `n` groups as a network of their own; of more groups, with more like them."""
        if n == self.n_groups:
            return self

        def kept(widths: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(width * n // self.n_groups for width in widths)

        return replace(
            self,
            name=f"{self.name.rpartition('-first')[0] or self.name}-first{n}",
            n_groups=n,
            stem=self.stem * n // self.n_groups,
            widths=kept(self.widths),
            head_widths=kept(self.head_widths),
        )

    @property
    def groups(self) -> tuple[GeneGroup, ...]:  # type: ignore[override]
        return (GeneGroup("g", "groups", (tuple(range(1, self.n_groups + 1)),)),)

    @property
    def gene_stages(self) -> Ints:
        return np.array([-1])

    @property
    def stage_slots(self) -> tuple[int, ...]:
        return self.slots

    def kept(self, width: int, values: Values) -> Any:
        """Those of `width` channels that the chosen groups have."""
        return width // self.n_groups * values["g"][0]

    def stage_width(self, stage: int, values: Values) -> Any:
        return self.kept(self.widths[stage], values)

    def block_sizes(self, stage: int, values: Values) -> Iterator[tuple[Any, ...]]:
        """True, then channels before and behind each block."""
        before = self.stage_width(stage - 1, values) if stage else self.kept(self.stem, values)
        for _ in range(self.slots[stage]):
            yield True, before, self.stage_width(stage, values)
            before = self.stage_width(stage, values)

    def exit_width(self, exit_: int) -> int:
        return self.head_widths[exit_]

    def projects(self, stage: int) -> bool:
        """Whether the stage's first residual block has a convolution on its shortcut."""
        before = self.widths[stage - 1] if stage else self.stem
        return self.strides[stage] != 1 or before != self.widths[stage]

    def image_side(self, values: Values) -> int:
        return self.resolution

    def add_stem(self, net: OperatorBuilder, values: Values) -> Map:
        x = net.conv(net.image, self.kept(self.stem, values), 3)
        net.groups = values["g"][0]
        return x

    def add_block(self, net: OperatorBuilder, x: Map, stage: int, slot: int, *sizes: Any) -> Map:
        c_out, stride = sizes[1], 1 if slot else self.strides[stage]
        if not self.residual:
            return net.conv(net.pool(x, stride, x.side // stride) if stride > 1 else x, c_out, 3)
        project = not slot and self.projects(stage)
        shortcut = net.conv(x, c_out, 1, stride) if project else x
        return net.conv(net.conv(x, c_out, 3, stride), c_out, 3, add=shortcut)

    def add_exit(self, net: OperatorBuilder, x: Map, hidden: int) -> None:
        super().add_exit(net, x, hidden // self.n_groups * net.groups)  # type: ignore[arg-type]

    def input_shape(self, subnet: Subnet) -> tuple[int, int, int]:
        return self.in_channels, self.resolution, self.resolution

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "groups", **asdict(self)}


def _whole(name: str, value: Any) -> int:
    """`value` as an int; InputError: no whole number, or below 1."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"`{name}` must be a whole number, got {value!r}")
    if value < 1:
        raise InputError(f"`{name}` must be at least 1, got {value}")
    return int(value)


def _wide(space: ResNetSpace) -> ResNetSpace:
    """`space` with 8 to 64 channels in each of four groups: whole vectors, without which PyTorch
    takes eight times as long where images are not channels-last.
    """
    if space.resolution == 8:
        return space
    return replace(space, widths=((32,), (64,), (128,), (256,)), head_widths=(64, 64, 96))


def _resnet(space: ResNetSpace, groups: int, name: str) -> GroupSpace:
    widths = tuple(map(max, space.widths))
    return GroupSpace(
        name=name,
        n_groups=groups,
        resolution=space.resolution,
        in_channels=space.in_channels,
        n_classes=space.n_classes,
        stem=widths[0],
        widths=widths,
        slots=(space.slots,) * len(widths),
        strides=space.strides,
        residual=True,
        exits=space.exits,
        head_widths=space.head_widths,
        head_side=space.head_side,
    )


def _alexnet(groups: int, resolution: int, in_channels: int, n_classes: int) -> GroupSpace:
    """Five convolutions of 32 to 192 channels; at 32x32 a quarter of them has 2.6 MMACs.

    As many stages pool as leave the last map 8 to 15 pixels, and at least one.
    """
    resnet_for(resolution, in_channels, n_classes)  # the same resolutions
    n_pools = min(4, max(1, int(np.log2(resolution / 8))))
    return GroupSpace(
        name=f"alexnet-g{groups}-{resolution}x{resolution}x{in_channels}-{n_classes}",
        n_groups=groups,
        resolution=resolution,
        in_channels=in_channels,
        n_classes=n_classes,
        stem=32,
        widths=(64, 128, 192, 128),
        slots=(1, 1, 1, 1),
        strides=(2,) * n_pools + (1,) * (4 - n_pools),
        residual=False,
    )
